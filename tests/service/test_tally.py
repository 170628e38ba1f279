"""Tallies, beside the library's own metrics."""

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from service.tally import Count, Durations

BOUNDS = (0.001, 0.5, 1, 10)
seconds = st.one_of(st.sampled_from((*BOUNDS, 0.0)), st.floats(0, 100, allow_nan=False))
name = st.sampled_from(['a"\\\n', "b"])
events = st.lists(st.tuples(name, name, seconds, st.integers(1, 5)), max_size=30)


def lines(registry: CollectorRegistry) -> list[str]:
    """What is read, but the moments that the library adds."""
    text = generate_latest(registry).decode().splitlines()
    return sorted(line for line in text if "_created" not in line)


@settings(deadline=None)
@given(events)
def test_a_count_reads_as_the_librarys_counter(told):
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    count = Count("things", "Some.", ("kind", "place"), ours)
    counter = Counter("things", "Some.", ("kind", "place"), registry=theirs)
    for kind, place, _, many in told:
        count.add(kind, place, count=many)
        counter.labels(kind, place).inc(many)
    assert lines(ours) == lines(theirs)


@settings(deadline=None)
@given(events)
def test_durations_read_as_the_librarys_histogram(told):
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    plain = Durations("plain_seconds", "All.", BOUNDS, ours)
    kinds = Durations("kinds_seconds", "Each.", BOUNDS, ours, ("kind", "place"))
    library = {"buckets": BOUNDS, "registry": theirs}
    plain_too = Histogram("plain_seconds", "All.", **library)
    kinds_too = Histogram("kinds_seconds", "Each.", ("kind", "place"), **library)
    for kind, place, took, _ in told:
        plain.add(took)
        kinds.add(took, kind, place)
        plain_too.observe(took)
        kinds_too.labels(kind, place).observe(took)
    assert lines(ours) == lines(theirs)
