"""Counts of notifications, as the library's own metrics would have them."""

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from service.notified import Notified

BOUNDS = (0.001, 0.5, 1, 10)
seconds = st.one_of(
    st.sampled_from((*BOUNDS, 0.0, -1.0)), st.floats(-5, 100, allow_nan=False)
)


def lines(registry: CollectorRegistry) -> list[str]:
    text = generate_latest(registry).decode().splitlines()
    return sorted(line for line in text if "_created" not in line)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), seconds), max_size=30))
def test_the_text_is_that_of_the_librarys_metrics(told):
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    notified = Notified(BOUNDS)
    ours.register(notified)
    counter = Counter(
        "meridian_notifications", "Matches sent.", ("written_in",), registry=theirs
    )
    histogram = Histogram(
        "meridian_notify_seconds",
        "Commit of a write to its notification.",
        buckets=BOUNDS,
        registry=theirs,
    )
    for region, late in told:
        notified.add(region, late)
        counter.labels(region).inc()
        histogram.observe(max(0.0, late))
    assert lines(ours) == lines(theirs)
