"""Scores by slot, and a graph over an index's rows."""

import numpy
import pytest

from service.kernel import metric
from service.kernel.graph import Graph
from tests.service.kernel_build import kernels, put, vectors

NONE = numpy.empty(0, numpy.int64)
EVERYTHING = -numpy.inf
DIMENSION = 32


@pytest.fixture(params=kernels(), ids=lambda k: k.name)
def kernel(request):
    return request.param


@pytest.mark.parametrize("name", metric.METRICS)
@pytest.mark.parametrize("element", ["f32", "f16"])
def test_slots_are_scored_as_searches_score_them(kernel, name, element):
    index = kernel.index(200, element)
    rows = vectors(1, 300, 200, "skewed").astype(numpy.float16).astype(numpy.float32)
    slots = [put(index, name, row) for row in rows]
    for slot in slots[::7]:
        index.remove(slot)
    query, offset = metric.asked(name, rows[5])
    found, scores = index.exact(query, 300, EVERYTHING, offset)
    again = index.score(query, found, offset)
    assert numpy.abs(again - scores).max() <= 1e-6 * numpy.abs(scores).max()
    nowhere = index.score(query, numpy.array([slots[0], 10**6]), offset)
    assert numpy.isnan(nowhere).all()
    with pytest.raises(ValueError, match="slots"):
        index.score(query, numpy.array([-1]))


@pytest.mark.parametrize("name", ["cosine", "l2"])
def test_a_graph_finds_the_nearest_with_the_kernels_scores(kernel, name):
    # Far from the origin, as the vectors of many models are.
    rows = vectors(2, 1500, DIMENSION, "unit") * 3 + 1
    index = kernel.index(DIMENSION)
    slots = numpy.array([put(index, name, row) for row in rows])
    graph = Graph(name, rows[:500])
    for at in range(0, len(rows), 100):
        graph.add(slots[at : at + 100], rows[at : at + 100])
    hits = 0
    for row in rows[:40]:
        query, offset = metric.asked(name, row + 0.1)
        found = graph.search(index, query, 10, EVERYTHING, offset, 256, NONE)
        exact = index.exact(query, 10, EVERYTHING, offset)
        same = dict(zip(exact[0].tolist(), exact[1].tolist(), strict=True))
        for slot, score in zip(*(part.tolist() for part in found), strict=True):
            if slot in same:
                hits += 1
                assert score == pytest.approx(same[slot], rel=1e-5, abs=1e-6)
    assert hits >= 0.98 * 400


def test_where_most_proposals_are_gone_the_kernel_is_asked(kernel):
    rows = vectors(3, 400, DIMENSION, "unit")
    index = kernel.index(DIMENSION)
    slots = index.add_many(rows)
    graph = Graph("cosine", rows)
    graph.add(slots, rows)
    assert graph.search(index, rows[0], 5, EVERYTHING, 0.0, 64, NONE) is not None
    for slot in index.exact(rows[0], 8, EVERYTHING)[0]:
        index.remove(slot)
    assert graph.search(index, rows[0], 5, EVERYTHING, 0.0, 64, NONE) is None
    worthless = numpy.full(DIMENSION, numpy.nan, numpy.float32)
    assert graph.search(index, worthless, 5, EVERYTHING, 0.0, 64, NONE) is None
