"""Counters and histograms of what happens many times a request, or a thousand a change.

The library's own take a lock for each number: a fifth of the CPU of a notification, and
20 us of a request's (benchmarks/README.md). Only the event loop counts here; what is
read is the same text (`tests/service/test_tally.py`).
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

Labels = tuple[str, ...]


class Count(Collector):
    """A counter with labels."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry
    ) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._counts: dict[Labels, int] = {}
        registry.register(self)

    def add(self, *labels: str, count: int = 1) -> None:
        """Counts so many more."""
        self._counts[labels] = self._counts.get(labels, 0) + count

    def collect(self) -> Iterator[Metric]:
        """The metric as Prometheus has it."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family


class Durations(Collector):
    """A histogram of seconds."""

    def __init__(
        self,
        name: str,
        text: str,
        bounds: Sequence[float],
        registry: CollectorRegistry,
        labels: Sequence[str] = (),
    ) -> None:
        """bounds: upper ends of the buckets, ascending."""
        self._name, self._text, self._labels = name, text, labels
        self._bounds = list(bounds)
        self._names = [*map(str, map(float, bounds)), "+Inf"]
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        if not labels:
            self._begin(())
        registry.register(self)

    def add(self, seconds: float, *labels: str) -> None:
        """Counts one that took so long."""
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._begin(labels)
        counts[bisect_left(self._bounds, seconds)] += 1
        self._sums[labels] += seconds

    def _begin(self, labels: Labels) -> list[int]:
        self._sums[labels] = 0.0
        counts = self._counts[labels] = [0] * len(self._names)
        return counts

    def collect(self) -> Iterator[Metric]:
        """The metric as Prometheus has it."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for labels, counts in self._counts.items():
            family.add_metric(labels, self._buckets(counts), self._sums[labels])
        yield family

    def _buckets(self, counts: list[int]) -> list[tuple[str, float]]:
        below, buckets = 0, []
        for name, count in zip(self._names, counts, strict=True):
            below += count
            buckets.append((name, float(below)))
        return buckets
