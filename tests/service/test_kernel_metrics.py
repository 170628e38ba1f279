"""Metrics, elements, masks and what is not finite, in every kernel."""

import threading

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.kernel import metric
from tests.service.kernel_build import KINDS, kernels, vectors

shapes = st.tuples(
    st.integers(0, 2**31),
    st.one_of(st.integers(1, 300), st.integers(300, 700)),
    st.one_of(st.integers(1, 520), st.sampled_from([768, 1000, 1536, 4095, 4096])),
    st.sampled_from(KINDS),
)


@pytest.fixture(params=kernels(), ids=lambda k: k.name)
def kernel(request):
    return request.param


def filled(kernel, name, element, rows, thresholds=None):
    """An index of rows under a metric and the slots."""
    index = kernel.index(rows.shape[1], element)
    kept = [metric.standing(name, row) for row in rows]
    factors = numpy.array([k.factor for k in kept], numpy.float32)
    biases = numpy.array([k.bias for k in kept], numpy.float32)
    return index, index.add_many(rows, thresholds, factors, biases)


def truth(name, rows, queries):
    """Scores (queries, rows) in float64, and by how much float32 may be off."""
    rows, queries = rows.astype(numpy.float64), queries.astype(numpy.float64)
    products = queries @ rows.T
    sizes = numpy.abs(queries) @ numpy.abs(rows.T)
    lengths = numpy.linalg.norm(rows, axis=1)
    own = numpy.linalg.norm(queries, axis=1)
    if name == "cosine":
        both = own[:, None] * lengths
        safe = numpy.where(both > 0, both, 1)
        return products / safe, 4e-6 * sizes / safe + 1e-6
    if name == "l2":
        squares = lengths**2 + own[:, None] ** 2
        return 2 * products - squares, 4e-6 * (2 * sizes + squares) + 1e-30
    return products, 4e-6 * sizes + 1e-30


def rounded(element, values):
    if element == "f16":
        return values.astype(numpy.float16).astype(numpy.float32)
    return values


@settings(deadline=None, max_examples=25)
@given(
    shapes,
    st.sampled_from(metric.METRICS),
    st.sampled_from(["f32", "f16"]),
    st.floats(0, 1),
    st.sampled_from([1, 3, 14, 40]),
)
def test_a_match_is_what_float64_arithmetic_says(shape, name, element, at, batch):
    seed, n, d, kind = shape
    rows = rounded(element, vectors(seed, n, d, kind))
    new = vectors(seed + 1, batch, d, kind)
    new[0] = rows[0]
    exact, unsure = truth(name, rows, new)
    thresholds = numpy.quantile(exact, at, axis=0).astype(numpy.float32)
    asked = [metric.written(name, v) for v in new]
    queries = numpy.stack([a.query for a in asked])
    offsets = numpy.array([a.offset for a in asked], numpy.float32)
    margin = exact - thresholds
    sure = numpy.abs(margin) > unsure
    for kernel in kernels():
        index, slots = filled(kernel, name, element, rows, thresholds)
        found = index.match(queries, offsets)
        got = numpy.zeros(exact.shape, bool)
        got[found.vectors, found.slots] = True
        assert numpy.array_equal(slots, numpy.arange(n))
        wrong = (got != (margin > 0)) & sure
        assert not wrong.any(), (kernel.name, numpy.argwhere(wrong)[:5])
        assert numpy.all(
            numpy.abs(found.scores - exact[found.vectors, found.slots])
            <= unsure[found.vectors, found.slots]
        ), kernel.name


@settings(deadline=None, max_examples=20)
@given(
    shapes,
    st.sampled_from(metric.METRICS),
    st.sampled_from(["f32", "f16"]),
    st.integers(1, 30),
    st.booleans(),
)
def test_a_search_finds_the_best_that_the_mask_leaves(shape, name, element, k, masked):
    seed, n, d, kind = shape
    rows = rounded(element, vectors(seed, n, d, kind))
    new = vectors(seed + 1, 3, d, kind)
    exact, unsure = truth(name, rows, new)
    mask = None
    allowed = numpy.ones(n, bool)
    if masked:
        allowed = numpy.random.default_rng(seed).random(n) < 0.4
        mask = allowed.astype(numpy.uint8)
    asked = [metric.asked(name, v) for v in new]
    queries = numpy.stack([a.query for a in asked])
    offsets = numpy.array([a.offset for a in asked], numpy.float32)
    for kernel in kernels():
        index, _ = filled(kernel, name, element, rows)
        together = index.search_many(queries, k, -numpy.inf, offsets, mask)
        for i, (query, offset) in enumerate(asked):
            best = numpy.sort(exact[i][allowed])[::-1][:k]
            alone = index.search(query, k, -numpy.inf, offset, mask)
            full = index.exact(query, k, -numpy.inf, offset, mask)
            for slots, scores in (together[i], alone, full):
                assert len(set(slots.tolist())) == len(best) == len(slots), kernel.name
                assert allowed[slots].all()
                tolerance = unsure[i].max() * 2
                assert numpy.all(exact[i][slots] >= best - tolerance), kernel.name
                assert numpy.all(numpy.diff(scores) <= 0)


def test_half_rows_are_kept_exactly(kernel):
    bits = numpy.arange(65536, dtype=numpy.uint16).view(numpy.float16)
    row = bits[numpy.isfinite(bits)].astype(numpy.float32)[:4096]
    for part in (row, row[::-1] * numpy.float32(-1)):
        index = kernel.index(len(part), "f16")
        assert numpy.array_equal(index.row(index.add(part)), part)
    everything = bits[numpy.isfinite(bits)].astype(numpy.float32)
    wide = kernel.index(len(everything), "f16")
    assert numpy.array_equal(wide.row(wide.add(everything)), everything)
    units = numpy.eye(64, dtype=numpy.float32)
    narrow = kernel.index(64, "f16")
    slot = narrow.add(everything[1000:1064])
    scores = [narrow.exact(u, 1, -numpy.inf)[1][0] for u in units]
    assert numpy.array_equal(scores, everything[1000:1064]), slot


@pytest.mark.parametrize("bad", [numpy.nan, numpy.inf, -numpy.inf])
def test_what_is_not_finite_harms_no_other_row(kernel, bad):
    rows = vectors(7, 600, 160, "unit")
    index = kernel.index(160)
    index.add_many(rows, numpy.full(600, 0.25, numpy.float32))
    spoilt = rows[:30].copy()
    spoilt[:, 3] = bad
    index.add_many(spoilt, numpy.full(30, 0.25, numpy.float32))
    index.add(rows[0], bad, bad, bad)
    queries = numpy.concatenate([rows[:20], spoilt[:2]])
    found = index.match(queries)
    pairs = set(zip(found.vectors.tolist(), found.slots.tolist(), strict=True))
    good = rows[:20] @ rows.T
    for v, slot in zip(*numpy.nonzero(numpy.abs(good - 0.25) > 1e-5), strict=True):
        assert ((v, slot) in pairs) == (good[v, slot] > 0.25)
    for query in queries:
        slots, scores = index.search(query, 5, -numpy.inf)
        assert len(slots) == len(scores)
        assert not numpy.isnan(scores).any()


def test_slots_of_removed_rows_are_used_again_and_score_as_the_new_row(kernel):
    rng = numpy.random.default_rng(11)
    index = kernel.index(130, "f16")
    rows = rounded("f16", vectors(12, 3000, 130, "unit"))
    alive = dict(zip(index.add_many(rows[:1000]).tolist(), range(1000), strict=True))
    for start in range(1000, 3000, 250):
        for slot in rng.choice(list(alive), 200, replace=False).tolist():
            index.remove(slot)
            del alive[slot]
        added = index.add_many(rows[start : start + 250], numpy.zeros(250, "f4"))
        assert len(set(added.tolist()) & set(alive)) == 0
        alive |= dict(zip(added.tolist(), range(start, start + 250), strict=True))
        query = rows[rng.integers(0, 3000)]
        slots, scores = index.search(query, 4000, -numpy.inf)
        assert set(slots.tolist()) == set(alive)
        expected = rows[[alive[s] for s in slots.tolist()]] @ query
        numpy.testing.assert_allclose(scores, expected, atol=1e-5)
    assert len(index) == len(alive) <= index.used < 2000


def test_a_search_stands_while_the_index_grows_in_another_thread(kernel):
    rows = vectors(5, 6000, 192, "unit")
    index = kernel.index(192)
    index.add_many(rows[:10])
    done, failures = threading.Event(), []

    def search():
        while not done.is_set():
            with index.reading():
                slots, scores = index.search(rows[0], 5, -numpy.inf)
            if slots[0] != 0 or not numpy.allclose(scores, rows[slots] @ rows[0], 1e-4):
                failures.append((slots, scores))

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for start in range(10, 6000, 10):
        index.add_many(rows[start : start + 10])
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(index) == 6000


def test_misuse_is_refused_with_what_was_given(kernel):
    index = kernel.index(8)
    slot = index.add(numpy.ones(8, numpy.float32))
    with pytest.raises(ValueError, match="dimension 8"):
        index.add(numpy.ones(7, numpy.float32))
    with pytest.raises(ValueError, match="f64"):
        kernel.index(8, "f64")
    with pytest.raises(ValueError, match="mask"):
        index.search(numpy.ones(8, numpy.float32), 1, 0.0, mask=numpy.ones(0, "u1"))
    with pytest.raises(ValueError, match="thresholds"):
        index.add_many(numpy.ones((2, 8), numpy.float32), numpy.ones(3, "f4"))
    with pytest.raises(KeyError, match="holds no row"):
        index.row(5)
    index.remove(slot)
    with pytest.raises(KeyError, match="holds no row"):
        index.remove(slot)
    with pytest.raises(ValueError, match="hamming"):
        metric.stored("hamming", numpy.ones(2, numpy.float32))


def test_a_zero_vector_scores_zero_under_cosine(kernel):
    zero, other = numpy.zeros(140, numpy.float32), vectors(1, 1, 140, "unit")[0]
    index = kernel.index(140)
    for row in (zero, other):
        index.add(row, 0.0, *metric.stored("cosine", row))
    for vector, expected in ((zero, [0, 0]), (other, [0, 1])):
        query, offset = metric.asked("cosine", vector)
        found = index.match(query[None], numpy.array([offset], numpy.float32))
        numpy.testing.assert_allclose(found.scores, expected, atol=1e-5)


def test_no_pair_of_two_million_is_missed(kernel):
    rows, new = vectors(21, 20_000, 192, "unit"), vectors(22, 100, 192, "unit")
    scores = new.astype(numpy.float64) @ rows.T.astype(numpy.float64)
    thresholds = numpy.quantile(scores, 0.99, axis=0).astype(numpy.float32)
    index = kernel.index(192)
    index.add_many(rows, thresholds)
    for batch in (1, 100) if kernel.name != "portable" else (100,):
        got = numpy.zeros(scores.shape, bool)
        for start in range(0, 100, batch):
            found = index.match(new[start : start + batch])
            got[found.vectors + start, found.slots] = True
        sure = numpy.abs(scores - thresholds) > 1e-5
        assert not ((got != (scores > thresholds)) & sure).any()
