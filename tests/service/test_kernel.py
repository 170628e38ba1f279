"""Every kernel against plain numpy arithmetic."""

import threading

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.kernel import native
from service.kernel.interface import unit
from tests.service.kernel_build import at_cosines, kernels, missed_at_threshold, vectors

KERNELS = kernels()


@pytest.fixture(params=KERNELS, ids=lambda k: k.name)
def kernel(request):
    return request.param


shapes = st.tuples(
    st.integers(0, 2**31),
    st.integers(1, 200),
    st.integers(1, 1024),
    st.sampled_from(["unit", "skewed", "repeated", "zero"]),
)


@settings(deadline=None, max_examples=25)
@given(shapes, st.floats(0, 1), st.integers(1, 5))
def test_matching_misses_no_pair_and_invents_none(shape, quantile, batch):
    seed, n, d, kind = shape
    rows, new = vectors(seed, n, d, kind), vectors(seed + 1, batch, d, kind)
    new[0] = rows[0]
    exact = new.astype(numpy.float64) @ rows.T.astype(numpy.float64)
    thresholds = numpy.quantile(exact, quantile, axis=0).astype(numpy.float32)
    scale = numpy.abs(new.astype(numpy.float64)) @ numpy.abs(
        rows.T.astype(numpy.float64)
    )
    for kernel in KERNELS:
        index = kernel.index(d)
        slots = [index.add(r, t) for r, t in zip(rows, thresholds, strict=True)]
        found = index.match(new)
        pairs = set(zip(found.vectors.tolist(), found.slots.tolist(), strict=True))
        margin = exact - thresholds
        # Pairs that float32 arithmetic cannot decide are left out.
        unsure = numpy.abs(margin) <= 1e-5 * scale + 1e-30
        for v, r in numpy.argwhere(~unsure):
            assert ((v, slots[r]) in pairs) == (margin[v, r] > 0), kernel.name
        order = list(zip(found.vectors.tolist(), found.slots.tolist(), strict=True))
        assert order == sorted(order)


@settings(deadline=None, max_examples=25)
@given(shapes, st.integers(1, 30))
def test_search_finds_the_best(shape, k):
    seed, n, d, kind = shape
    rows, query = vectors(seed, n, d, kind), vectors(seed + 1, 1, d, kind)[0]
    exact = rows.astype(numpy.float64) @ query.astype(numpy.float64)
    tolerance = 1e-5 * (numpy.abs(rows) @ numpy.abs(query)).max() + 1e-30
    for kernel in KERNELS:
        index = kernel.index(d)
        for row in rows:
            index.add(row)
        slots, scores = index.search(query, k, -numpy.inf)
        assert len(slots) == len(set(slots.tolist())) == min(k, n)
        assert numpy.all(numpy.diff(scores) <= 0)
        numpy.testing.assert_allclose(scores, exact[slots], atol=tolerance, rtol=1e-5)
        best = numpy.sort(exact)[::-1][: min(k, n)]
        assert numpy.all(numpy.sort(exact[slots])[::-1] >= best - 2 * tolerance)


def test_adding_and_removing_take_effect_at_once(kernel):
    index = kernel.index(4)
    rng = numpy.random.default_rng(3)
    alive = {}
    for step in range(600):
        if alive and rng.random() < 0.45:
            slot = int(rng.choice(list(alive)))
            index.remove(slot)
            del alive[slot]
        else:
            row = rng.normal(size=4).astype(numpy.float32)
            alive[index.add(row, 0.0)] = row
        if step % 50 == 0:
            query = rng.normal(size=4).astype(numpy.float32)
            slots, _ = index.search(query, 1000, -numpy.inf)
            assert set(slots.tolist()) == set(alive)
            expected = {s for s, row in alive.items() if row @ query >= 0}
            assert set(index.match(query[None]).slots.tolist()) == expected
    assert len(index) == len(alive)


def test_a_slot_is_not_used_again_while_somebody_reads(kernel):
    index = kernel.index(2)
    one = numpy.ones(2, numpy.float32)
    first = index.add(one)
    with index.reading():
        index.remove(first)
        assert index.add(one) != first
    assert index.add(one) == first


def test_a_minimum_leaves_lower_scores_out(kernel):
    index = kernel.index(2)
    for n in range(10):
        index.add(numpy.array([n, 0], numpy.float32))
    slots, scores = index.search(numpy.array([1, 0], numpy.float32), 100, 7.0)
    assert scores.tolist() == [9, 8, 7]
    assert len(slots) == 3


def test_searching_in_threads_while_rows_are_added_is_safe(kernel):
    index = kernel.index(32)
    rng = numpy.random.default_rng(5)
    rows = rng.normal(size=(6000, 32)).astype(numpy.float32)
    done = threading.Event()
    failures = []

    def search():
        while not done.is_set():
            with index.reading():
                slots, scores = index.search(rows[0], 5, -numpy.inf)
            exact = rows[slots] @ rows[0]
            if not numpy.allclose(scores, exact, rtol=1e-4, atol=1e-4):
                failures.append((slots, scores, exact))

    index.add(rows[0])
    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for row in rows[1:]:
        index.add(row)
    done.set()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_zero_vector_scores_nothing_and_survives():
    zero = numpy.zeros(8, numpy.float32)
    assert unit(zero).tolist() == zero.tolist()
    tiny = numpy.full(8, 1e-38, numpy.float32)
    assert abs(float(numpy.linalg.norm(unit(tiny))) - 1) < 1e-6


@pytest.mark.parametrize(("width", "share"), [(3.0, 1.35e-3), (5.0, 2.9e-7)])
@pytest.mark.parametrize("dimension", [128, 384])
def test_no_more_is_missed_at_a_threshold_than_the_width_says(
    kernel, dimension, width, share, monkeypatch
):
    """Where a pair lies exactly at its threshold, deviations are all that keeps it."""
    monkeypatch.setattr(native, "MATCH_WIDTH", width)
    given = at_cosines(dimension, 30_000, dimension)
    missed = missed_at_threshold(kernel, *given)
    expected = share * 30_000
    assert missed <= expected + 4 * expected**0.5
