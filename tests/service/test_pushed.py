"""Metrics that a process sends itself are those that a scrape would read."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from service.google import Google
from service.pushed import Pushed
from service.telemetry import Metrics
from tests.service.test_traces import settings


def made(export=lambda: None, **environment: str) -> tuple[Metrics, Pushed]:
    metrics = Metrics()
    return metrics, Pushed(metrics.registry, settings(**environment), export)


def read(data: bytes) -> tuple[dict[str, str], dict[tuple, float], list]:
    """Resource; (name, labels) -> value as a scrape writes it; histograms' points."""
    (group,) = ExportMetricsServiceRequest.FromString(data).resource_metrics
    resource = {a.key: a.value.string_value for a in group.resource.attributes}
    values: dict[tuple, float] = {}
    histograms = []
    for metric in group.scope_metrics[0].metrics:
        kind = metric.WhichOneof("data")
        for point in getattr(metric, kind).data_points:
            labels = {a.key: a.value.string_value for a in point.attributes}
            assert labels.pop("region") == "asia" and labels.pop("service")
            key = tuple(sorted(labels.items()))
            if kind == "histogram":
                values[f"{metric.name}_count", key] = point.count
                values[f"{metric.name}_sum", key] = point.sum
                below = 0
                for bound, count in zip(
                    [*point.explicit_bounds, float("inf")],
                    point.bucket_counts,
                    strict=True,
                ):
                    below += count
                    le = (*key, ("le", bound))
                    values[f"{metric.name}_bucket", le] = below
                histograms.append(point)
            else:
                values[metric.name, key] = point.as_double
    return resource, values, histograms


def scraped(metrics: Metrics) -> dict[tuple, float]:
    """The same, as the registry has it."""
    found = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            if sample.name.endswith("_created"):
                continue
            labels = sorted((k, v) for k, v in sample.labels.items() if k != "le")
            if "le" in sample.labels:
                labels.append(("le", float(sample.labels["le"])))
            found[sample.name, tuple(labels)] = sample.value
    return found


def used(metrics: Metrics) -> None:
    for seconds in (0.0004, 0.003, 0.003, 7.0, 100.0):
        metrics.answered("search", 200, seconds)
    metrics.answered("write", 503, 0.2)
    metrics.called("grpc", "search", "ok")
    metrics.connections.set(12)
    metrics.recall.labels("low").set(0.99)
    metrics.search_seconds.add(0.0002)


def test_what_is_sent_is_what_a_scrape_reads():
    metrics, pushed = made(K_SERVICE="meridian-stream")
    used(metrics)
    resource, values, histograms = read(pushed.request(2_000_000_000.0))
    assert values == scraped(metrics)
    assert values[
        "meridian_http_requests_total", (("code", "200"), ("route", "search"))
    ]
    assert resource["service.name"] == "meridian-stream"
    assert resource["cloud.region"] == "asia" and resource["service.instance.id"]
    (group,) = ExportMetricsServiceRequest.FromString(
        pushed.request(2.0)
    ).resource_metrics
    for metric in group.scope_metrics[0].metrics:
        assert getattr(metric, metric.WhichOneof("data")).data_points, metric.name
    for point in histograms:
        assert 0 < point.start_time_unix_nano < point.time_unix_nano


def test_two_processes_have_names_of_their_own():
    names = {read(made()[1].request(1.0))[0]["service.instance.id"] for _ in range(20)}
    assert len(names) == 20


def test_what_is_looked_up_when_asked_is_looked_up_before_sending():
    metrics, pushed = made(lambda: metrics.streams.set(41))
    assert read(pushed.request(1.0))[1]["meridian_streams", ()] == 41


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Pattern of Google's addresses, and what came there."""
    taken: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        assert request.content_type == "application/x-protobuf"
        taken.append(await request.read())
        return web.Response()

    app = web.Application()
    app.router.add_post("/telemetry.googleapis.com/v1/metrics", take)
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}/{{api}}", taken


async def test_it_is_sent_at_intervals_and_at_the_end(receiver):
    address, taken = receiver
    environment = {"MERIDIAN_PUSH_SECONDS": "0.1", "MERIDIAN_GOOGLE_API": address}
    metrics, pushed = made(**environment)
    google = Google(settings(**environment))
    task = asyncio.create_task(pushed.run(google))
    async with asyncio.timeout(10):
        while len(taken) < 2:
            await asyncio.sleep(0.02)
    task.cancel()
    metrics.connections.set(3)
    await pushed.send(google)
    await google.close()
    assert read(taken[-1])[1]["meridian_connections", ()] == 3


async def test_nothing_is_sent_where_others_scrape(receiver):
    address, taken = receiver
    _, pushed = made(MERIDIAN_GOOGLE_API=address)
    google = Google(settings(MERIDIAN_GOOGLE_API=address))
    await asyncio.wait_for(pushed.run(google), 5)
    await pushed.send(google)
    await google.close()
    assert taken == []


async def test_what_does_not_arrive_is_no_error(capsys):
    away = {"MERIDIAN_PUSH_SECONDS": "1", "MERIDIAN_GOOGLE_API": "http://127.0.0.1:9"}
    _, pushed = made(**away)
    google = Google(settings(**away))
    await pushed.send(google)
    await google.close()
    assert "metrics not sent" in capsys.readouterr().out


@pytest.mark.parametrize("given", ["0.05", "often", "-1"])
def test_a_wrong_interval_is_refused(given):
    with pytest.raises(SystemExit, match=r"MERIDIAN_PUSH_SECONDS.*0\.1 to 86400"):
        settings(MERIDIAN_PUSH_SECONDS=given)
