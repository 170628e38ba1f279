"""The receiver of metrics: what it refuses, and what Prometheus gets of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from localcloud.control.pushed import NEEDED, PushedMetrics

Client = TestClient[web.Request, web.Application]
PATH = "/telemetry.googleapis.com/v1/metrics"


def sent(*attributes: str) -> bytes:
    """A gauge of a resource with such attributes."""
    made = ExportMetricsServiceRequest()
    group = made.resource_metrics.add()
    for name in attributes:
        group.resource.attributes.add(key=name).value.string_value = "x"
    metric = group.scope_metrics.add().metrics.add(name="meridian_streams")
    metric.gauge.data_points.add(as_double=1.0)
    return made.SerializeToString()


@pytest.fixture
async def client() -> AsyncIterator[tuple[Client, list[bytes]]]:
    """The receiver before a server in the place of Prometheus, and what came there."""
    taken: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        taken.append(await request.read())
        return web.Response()

    behind = web.Application()
    behind.router.add_post("/api/v1/otlp/v1/metrics", take)
    async with TestServer(behind) as prometheus:
        pushed = PushedMetrics(f"http://127.0.0.1:{prometheus.port}")
        app = web.Application()
        app.add_routes(pushed.routes())
        async with TestClient(TestServer(app)) as made:
            yield made, taken
        await pushed.close()


async def test_what_is_complete_is_handed_on_as_it_came(
    client: tuple[Client, list[bytes]],
) -> None:
    asked, taken = client
    data = sent(*NEEDED)
    assert (await asked.post(PATH, data=data)).status == 200
    assert taken == [data]


@pytest.mark.parametrize("missing", NEEDED)
async def test_a_resource_that_google_would_refuse_is_refused(
    client: tuple[Client, list[bytes]], missing: str
) -> None:
    asked, taken = client
    answer = await asked.post(PATH, data=sent(*(set(NEEDED) - {missing})))
    assert answer.status == 400 and missing in await answer.text()
    assert (await asked.post(PATH, data=b"\xff\xff")).status == 400
    assert taken == []


async def test_without_prometheus_the_sender_hears_that_it_is_away() -> None:
    app = web.Application()
    pushed = PushedMetrics("http://127.0.0.1:9")
    app.add_routes(pushed.routes())
    async with TestClient(TestServer(app)) as asked:
        assert (await asked.post(PATH, data=sent(*NEEDED))).status == 503
    await pushed.close()
