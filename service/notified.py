"""Counts of notifications, for every one of the thousands that a change may make.

The library's own counters take a lock for each number: a fifth of the CPU of a
notification (benchmarks/README.md). Only the event loop counts here.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class Notified(Collector):
    """Matches sent, by the region of their write, and how long after its commit."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """bounds: upper ends of the buckets in seconds, ascending."""
        self._bounds = list(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._seconds = 0.0
        self._written_in: dict[str, int] = {}

    def add(self, region: str, seconds: float) -> None:
        """Counts a match that was sent so long after its commit in a region."""
        # Clocks of two regions may disagree.
        seconds = max(0.0, seconds)
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._seconds += seconds
        self._written_in[region] = self._written_in.get(region, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """The two metrics as Prometheus has them."""
        sent = CounterMetricFamily(
            "meridian_notifications", "Matches sent.", labels=["written_in"]
        )
        for region, count in self._written_in.items():
            sent.add_metric([region], count)
        yield sent
        yield HistogramMetricFamily(
            "meridian_notify_seconds",
            "Commit of a write to its notification.",
            buckets=self._buckets(),
            sum_value=self._seconds,
        )

    def _buckets(self) -> list[tuple[str, float]]:
        below, buckets = 0, []
        names = [*map(str, map(float, self._bounds)), "+Inf"]
        for name, count in zip(names, self._counts, strict=True):
            below += count
            buckets.append((name, float(below)))
        return buckets
