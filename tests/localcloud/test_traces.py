"""The receiver of spans: what it takes, keeps and shows."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from localcloud.control.traces import MOST_SPANS, MOST_TRACES, Traces

Client = TestClient[web.Request, web.Application]
PATH = "/telemetry.googleapis.com/v1/traces"


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    app = web.Application(client_max_size=2**26)
    app.add_routes(Traces().routes())
    async with TestClient(TestServer(app)) as made:
        yield made


def request(*spans: tuple[int, int, int, str, int, int]) -> bytes:
    """(trace, span, parent, name, start ms, end ms) each."""
    sent = ExportTraceServiceRequest()
    group = sent.resource_spans.add()
    pair = group.resource.attributes.add(key="cloud.region")
    pair.value.string_value = "asia"
    scope = group.scope_spans.add()
    for trace, span, parent, name, start, end in spans:
        scope.spans.add(
            trace_id=trace.to_bytes(16, "big"),
            span_id=span.to_bytes(8, "big"),
            parent_span_id=parent.to_bytes(8, "big") if parent else b"",
            name=name,
            start_time_unix_nano=start * 1_000_000,
            end_time_unix_nano=end * 1_000_000,
        )
    return sent.SerializeToString()


async def test_spans_of_a_trace_are_put_together_and_ordered(client: Client) -> None:
    first = await client.post(PATH, data=request((1, 2, 1, "feed", 30, 35)))
    assert first.status == 200
    await client.post(PATH, data=request((1, 1, 0, "write", 10, 20)))
    trace = await (await client.get(f"/console/traces/{1:032x}")).json()
    assert [span["name"] for span in trace["spans"]] == ["write", "feed"]
    assert (trace["name"], trace["region"]) == ("write", "asia")
    assert (trace["began"], trace["ms"]) == (10, 25)


async def test_the_newest_are_listed_by_name(client: Client) -> None:
    await client.post(
        PATH,
        data=request(
            (1, 1, 0, "write", 10, 20),
            (2, 1, 0, "search", 30, 31),
            (3, 1, 0, "write", 20, 30),
        ),
    )
    every = await (await client.get("/console/traces")).json()
    assert [int(t["id"], 16) for t in every["traces"]] == [2, 3, 1]
    writes = await (await client.get("/console/traces?name=write")).json()
    assert [int(t["id"], 16) for t in writes["traces"]] == [3, 1]


async def test_the_oldest_go_first_and_a_trace_has_its_most(client: Client) -> None:
    many = [(n, 1, 0, "write", n, n + 1) for n in range(1, MOST_TRACES + 2)]
    await client.post(PATH, data=request(*many))
    gone = await client.get(f"/console/traces/{1:032x}")
    assert gone.status == 404
    assert "trace_share" in (await gone.json())["error"]
    assert (await client.get(f"/console/traces/{2:032x}")).status == 200
    long = [(7, n, 1, "feed", n, n) for n in range(2, MOST_SPANS + 9)]
    await client.post(PATH, data=request(*long))
    seen = await (await client.get(f"/console/traces/{7:032x}")).json()
    assert len(seen["spans"]) == MOST_SPANS


async def test_what_is_no_request_is_refused(client: Client) -> None:
    answer = await client.post(PATH, data=b"\xff\xff\xff")
    assert answer.status == 400
