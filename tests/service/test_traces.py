"""Spans: one trace from a write in one region to its notifications in others."""

import asyncio
import collections
import json
import os
import uuid

import aiohttp
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
    InMemorySpanExporter,
)
from prometheus_client import CollectorRegistry, Counter

from service import telemetry
from service.client import Client
from service.contract import ServiceError
from service.google import Google
from service.settings import Settings
from service.tracing import Spans, change_root, current, read_parent
from tests.service.asking import filled, floats, of_type, watching
from tests.service.drivers import Grpc, Http, Refused, WebSocket

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Receiver:
    """What the receiver of the spans shows."""

    def __init__(self, world):
        self.url = f"http://127.0.0.1:{world.broker_port}/traces"

    async def one(self, trace, *names, seconds=10):
        """A trace once it has spans of the names, of each as many as it is given."""
        found = {}
        async with aiohttp.ClientSession() as session:
            for _ in range(int(seconds / 0.1)):
                async with session.get(f"{self.url}/{trace}") as answer:
                    found = await answer.json()
                come = [span["name"] for span in found.get("spans", ())]
                if collections.Counter(names) <= collections.Counter(come):
                    return found
                await asyncio.sleep(0.1)
        raise AssertionError(f"{names} did not come: {json.dumps(found)[:2000]}")


def settings(**environment):
    needed = dict.fromkeys(
        ("MERIDIAN_HUB", "MERIDIAN_HUBS", "DATABASE_PRIMARY", "DATABASE_LOCAL")
        + ("DATABASE_NAME", "DATABASE_USER", "REDIS_HOST", "PUBSUB_TOPIC_CHANGES")
        + ("PUBSUB_TOPIC_REPAIRS",),
        "x",
    )
    return Settings.from_environment(
        needed
        | {"MERIDIAN_ROLE": "stream", "MERIDIAN_REGION": "asia", "REDIS_PORT": "1"}
        | environment
    )


def spans_of(**environment):
    registry = CollectorRegistry()
    counted = Counter("meridian_spans", "", ("outcome",), registry=registry)
    made = Spans(counted)
    made.begin(settings(**environment))
    return made, lambda outcome: registry.get_sample_value(
        "meridian_spans_total", {"outcome": outcome}
    )


class Sent:
    """Keeps what is sent, or refuses it."""

    def __init__(self, error=None):
        self.error = error
        self.data = b""

    async def write_traces(self, data):
        if self.error:
            raise self.error
        self.data += data


async def test_a_write_is_followed_to_its_notifications_in_other_regions(world):
    asia = Http(world.regions["asia"])
    paris = WebSocket(world.regions["paris"])
    try:
        name, _ = await filled(asia)
        await paris.send(watching(name))
        await of_type(paris, "watching")
        event = f"secret-{uuid.uuid4().hex}"
        item = {"id": "hidden-item", "vector": [1, 0, 0], "event_id": event}
        await asia.call("upsert", collection=name, items=[item])
        # Paris may still have had the four items before it.
        while (await of_type(paris, "match"))["event_id"] != event:
            pass
        root = change_root(event)
        steps = (
            "write",
            "commit",
            "publish",
            "apply",
            *["feed"] * 3,
            "match",
            "notify",
        )
        found = await Receiver(world).one(root.trace.hex(), *steps)
    finally:
        await asia.close()
        await paris.close()
    where = {}
    for span in found["spans"]:
        where.setdefault(span["name"], set()).add(span["region"])
        expected = "" if span["name"] == "write" else root.span.hex()
        assert span["parent"] == expected, span
    assert where["write"] == where["commit"] == where["publish"] == {"asia"}
    assert where["apply"] == {"europe"}
    assert where["feed"] == {"asia", "europe", "paris"}
    assert where["match"] == where["notify"] == {"paris"}
    assert found["region"] == "asia" and found["name"] == "write"
    ends = {s["name"]: s["began"] + s["ms"] for s in found["spans"]}
    assert ends["commit"] <= ends["write"] + 1 and ends["match"] <= ends["notify"]
    text = json.dumps(found)
    for given in (event, "hidden-item", name):
        assert given not in text


@pytest.mark.parametrize("transport", [Http, Grpc])
async def test_a_request_belongs_to_the_callers_trace(world, transport):
    trace = uuid.uuid4().hex
    parent = {"traceparent": f"00-{trace}-{SPAN}-01"}
    driver = transport(world.regions["asia"], parent)
    try:
        name, _ = await filled(driver)
        await driver.call("search", collection=name, vector=[1, 0, 0])
        with pytest.raises(Refused):
            await driver.call("search", collection=name, vector=[1, 0])
        found = await Receiver(world).one(trace, "search", "search", "upsert")
    finally:
        await driver.close()
    assert {s["parent"] for s in found["spans"]} == {SPAN}
    searches = [s for s in found["spans"] if s["name"] == "search"]
    assert [s["attributes"] for s in searches[-1:]] == [
        {"error.type": "wrong_dimension"}
    ]
    assert not found["failed"], "a caller's fault is none of the service's"


@pytest.mark.parametrize("transport", ["http", "websocket", "grpc"])
async def test_the_clients_own_span_is_the_parent_over_every_transport(
    world, transport
):
    region = world.regions["asia"]
    url = region.url
    if transport == "grpc":
        url = f"http://127.0.0.1:{region.grpc['port']}"
    provider = TracerProvider()
    kept = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("test")
    async with Client(url, over=transport, tracer=tracer) as client:
        await client.collections()
    (own,) = kept.get_finished_spans()
    trace = f"{own.context.trace_id:032x}"
    found = await Receiver(world).one(trace, "list_collections")
    (served,) = found["spans"]
    assert served["parent"] == f"{own.context.span_id:016x}"


async def test_a_write_names_the_request_that_it_came_with(world):
    trace, event = uuid.uuid4().hex, uuid.uuid4().hex
    driver = Http(world.regions["asia"], {"traceparent": f"00-{trace}-{SPAN}-01"})
    try:
        name, _ = await filled(driver)
        item = {"id": "a", "vector": floats(1, 0, 0), "event_id": event}
        await driver.call("upsert", collection=name, items=[item])
        root = change_root(event).trace.hex()
        found = await Receiver(world).one(root, "write")
    finally:
        await driver.close()
    (write,) = [s for s in found["spans"] if s["name"] == "write"]
    assert write["links"] == [trace]


async def test_the_share_decides_alike_in_every_process():
    (some, _), (others, _) = (
        spans_of(MERIDIAN_TRACE_SHARE="0.25", MERIDIAN_REGION=region)
        for region in ("asia", "europe")
    )
    events = [uuid.uuid4().hex for _ in range(4000)]
    kept = [e for e in events if some.root(e)]
    assert kept == [e for e in events if others.root(e)]
    # Six standard deviations of a share of a quarter.
    assert abs(len(kept) - 1000) < 6 * 27.4


async def test_without_a_share_nothing_is_kept():
    spans, counted = spans_of()
    spans.change("publish", ["a"], 1, 2, {})
    with spans.request("search", read_parent(f"00-{TRACE}-{SPAN}-01")):
        assert current() is None
    sent = Sent()
    await spans.send(sent)
    assert sent.data == b"" and counted("sent") is None


async def test_a_caller_that_keeps_no_trace_is_followed():
    spans, _ = spans_of(MERIDIAN_TRACE_SHARE="1")
    with spans.request("search", read_parent(f"00-{TRACE}-{SPAN}-00")):
        assert current() is None
    with spans.request("search", read_parent(f"00-{TRACE}-{SPAN}-01")):
        assert current().trace.hex() == TRACE
    assert current() is None


@pytest.mark.parametrize(
    "given",
    ["", "x", f"00-{TRACE}-{SPAN}", f"00-{'0' * 32}-{SPAN}-01"]
    + [f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{SPAN}-01"],
)
def test_what_is_no_parent_is_none(given):
    assert read_parent(given) is None


async def test_spans_that_do_not_arrive_are_counted_and_hold_up_nothing():
    spans, counted = spans_of(MERIDIAN_TRACE_SHARE="1")
    for n in range(5000):
        spans.change("publish", [str(n)], 1, 2, {})
    assert counted("dropped") == 5000 - 4096
    await spans.send(Sent(OSError()))
    assert counted("dropped") == 5000
    await spans.send(Sent(AssertionError("nothing was left")))


async def test_google_that_is_away_is_no_fault():
    spans, counted = spans_of(
        MERIDIAN_TRACE_SHARE="1", MERIDIAN_GOOGLE_API="http://127.0.0.1:9"
    )
    spans.change("publish", ["a"], 1, 2, {})
    google = Google(settings(MERIDIAN_GOOGLE_API="http://127.0.0.1:9"))
    await spans.send(google)
    await google.close()
    assert counted("dropped") == 1


async def test_a_fault_of_the_service_is_the_spans_status(capsys, monkeypatch):
    monkeypatch.setitem(os.environ, "GOOGLE_CLOUD_PROJECT", "p")
    spans, _ = spans_of(MERIDIAN_TRACE_SHARE="1")
    sent = Sent()
    parent = read_parent(f"00-{TRACE}-{SPAN}-01")
    with pytest.raises(ServiceError), spans.request("search", parent):
        telemetry.log("ERROR", "request failed")
        raise ServiceError("internal", "x")
    await spans.send(sent)
    line = json.loads(capsys.readouterr().out)
    assert line["logging.googleapis.com/trace"] == f"projects/p/traces/{TRACE}"
    assert line["logging.googleapis.com/spanId"].encode() != SPAN.encode()
    telemetry.log("INFO", "outside")
    assert "trace" not in capsys.readouterr().out
    assert b"error.type" in sent.data and b"internal" in sent.data


def test_a_share_that_is_none_ends_the_start():
    for given in ("2", "-1", "x", "nan"):
        with pytest.raises(SystemExit, match="0 to 1"):
            settings(MERIDIAN_TRACE_SHARE=given)
