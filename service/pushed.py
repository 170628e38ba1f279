"""Metrics that a process sends itself, as OTLP, to Google's Telemetry API.

Behind a balancer a scrape reaches whichever instance it falls to; what each sends has
its own name. Google keeps them as Managed Prometheus does, so the same queries read
them (docs.cloud.google.com/stackdriver/docs/reference/telemetry/v1.metrics, 2026-11).
"""

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

from service.google import UNREACHABLE, Google
from service.settings import Settings
from service.telemetry import log
from service.tracing import pairs

_CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
Labels = tuple[tuple[str, str], ...]


class Pushed:
    """Sends what a registry holds, at intervals."""

    def __init__(
        self,
        registry: CollectorRegistry,
        settings: Settings,
        export: Callable[[], None],
    ) -> None:
        """export: writes into the registry what is looked up when somebody asks."""
        self._registry = registry
        self._export = export
        self._seconds = settings.push_seconds
        self._since = time.time()
        """From where counters count that do not say it themselves."""
        service = settings.service or f"meridian-{settings.role}"
        self._resource = {
            "service.name": service,
            # Drawn: in a container every process has the same number.
            "service.instance.id": secrets.token_hex(8),
            "cloud.platform": "gcp_cloud_run",
            "cloud.region": settings.region,
            "gcp.project_id": settings.project,
        }
        self._labels = {"region": settings.region, "service": service}

    async def run(self, google: Google) -> None:
        """Sends until cancelled; where nothing is to be sent, it ends at once."""
        while self._seconds:
            await asyncio.sleep(self._seconds)
            await self.send(google)

    async def send(self, google: Google) -> None:
        """Sends once. What does not arrive is in the next: counters go on counting."""
        if not self._seconds:
            return
        try:
            await google.write_metrics(self.request(time.time()))
        except UNREACHABLE as error:
            log("WARNING", "metrics not sent", error=type(error).__name__)

    def request(self, now: float) -> bytes:
        """An `ExportMetricsServiceRequest` of everything, at Unix seconds."""
        self._export()
        made = ExportMetricsServiceRequest()
        group = made.resource_metrics.add()
        group.resource.attributes.extend(pairs(self._resource))
        scope = group.scope_metrics.add()
        scope.scope.name = "meridian"
        for family in self._registry.collect():
            metric = _SHAPES[family.type](family, self._since, now)
            points = _points(metric)
            for point in points:
                point.attributes.extend(pairs(self._labels))
            if points:  # one that nobody has used yet would be dropped, with a warning
                scope.metrics.append(metric)
        data: bytes = made.SerializeToString()
        return data


def _points(metric: Metric) -> Any:
    kind: Any = metric.WhichOneof("data")
    return getattr(metric, kind).data_points


def _gauge(family: Family, since: float, now: float) -> Metric:
    made = Metric(name=family.name, description=family.documentation)
    made.gauge.SetInParent()
    for sample in family.samples:
        made.gauge.data_points.append(_number(sample, None, now))
    return made


def _counter(family: Family, since: float, now: float) -> Metric:
    name = f"{family.name}_total"
    made = Metric(name=name, description=family.documentation)
    made.sum.aggregation_temporality = _CUMULATIVE
    made.sum.is_monotonic = True
    created = _by_labels(family, "_created")
    for sample in family.samples:
        if sample.name == name:
            began = created.get(_labels(sample), since)
            made.sum.data_points.append(_number(sample, began, now))
    return made


def _histogram(family: Family, since: float, now: float) -> Metric:
    made = Metric(name=family.name, description=family.documentation)
    made.histogram.aggregation_temporality = _CUMULATIVE
    created = _by_labels(family, "_created")
    sums = _by_labels(family, "_sum")
    for labels, buckets in _buckets(family):
        counts = [count for _, count in buckets]
        below = [0.0, *counts]
        made.histogram.data_points.append(
            HistogramDataPoint(
                start_time_unix_nano=_nano(created.get(labels, since)),
                time_unix_nano=_nano(now),
                count=int(counts[-1]),
                sum=sums[labels],
                explicit_bounds=[bound for bound, _ in buckets[:-1]],
                bucket_counts=[int(b - a) for a, b in zip(below, counts, strict=False)],
                attributes=pairs(dict(labels)),
            )
        )
    return made


_SHAPES = {"gauge": _gauge, "counter": _counter, "histogram": _histogram}


def _buckets(family: Family) -> Iterator[tuple[Labels, list[tuple[float, float]]]]:
    """(labels, [(upper bound, count up to it)]), bounds ascending, infinity last."""
    found: dict[Labels, list[tuple[float, float]]] = defaultdict(list)
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            bound = float(sample.labels["le"])
            found[_labels(sample)].append((bound, sample.value))
    for labels, buckets in found.items():
        yield labels, sorted(buckets)


def _by_labels(family: Family, suffix: str) -> dict[Labels, float]:
    name = family.name + suffix
    return {_labels(s): s.value for s in family.samples if s.name == name}


def _labels(sample: Sample) -> Labels:
    return tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))


def _number(sample: Sample, since: float | None, now: float) -> NumberDataPoint:
    return NumberDataPoint(
        start_time_unix_nano=0 if since is None else _nano(since),
        time_unix_nano=_nano(now),
        as_double=sample.value,
        attributes=pairs(dict(sample.labels)),
    )


def _nano(seconds: float) -> int:
    return int(seconds * 1e9)
