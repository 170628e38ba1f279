"""Streams, events and pushes: the same on every transport that carries them."""

import asyncio
import base64
import json

import aiohttp
import pytest
import pytest_asyncio

from tests.service.asking import filled, floats, of_type, scraped, until, watching
from tests.service.drivers import STREAMING, Events, Grpc, Http

STREAMS = {driver.name: driver for driver in STREAMING}


@pytest.fixture
def asia(world):
    return world.regions["asia"]


@pytest_asyncio.fixture(params=sorted(STREAMS))
async def streams(request, asia):
    made = STREAMS[request.param](asia)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def http(asia):
    made = Http(asia)
    yield made
    await made.close()


async def test_a_stream_hears_resumes_and_is_told_once(streams, http, asia, world):
    name, _ = await filled(http)
    await streams.send(watching(name, filter={"field": "lang", "eq": "de"}))
    started = await of_type(streams, "watching")
    assert started["threshold"] == 0.5
    items = [
        {"id": "1", "vector": [2, 0, 0], "metadata": {"lang": "de"}},
        {"id": "2", "vector": [2, 0, 0], "metadata": {"lang": "fr"}},
        {"id": "3", "vector": [0, 2, 0], "metadata": {"lang": "de"}},
        {"id": "4", "vector": [1, 1, 0], "metadata": {"lang": "de"}},
    ]
    await http.call("upsert", collection=name, items=items)
    first = await of_type(streams, "match")
    second = await of_type(streams, "match")
    assert [first["item"]["id"], second["item"]["id"]] == ["1", "4"]
    assert second["score"] == pytest.approx(0.5**0.5, abs=1e-6)
    assert first["item"]["metadata"] == {"lang": "de"}
    assert first["written_in"] == "asia"
    # Another connection, and another region: after the first match comes the second.
    for region in ("asia", "europe"):
        other = type(streams)(world.regions[region])
        await other.send(
            watching(
                name,
                filter={"field": "lang", "eq": "de"},
                **{"from": {"token": first["token"]}},
            )
        )
        again = await of_type(other, "match")
        assert again["event_id"] == second["event_id"]
        await other.close()


async def notified(region):
    """Matches that its instance has sent, and those of them that have a latency."""
    found = await scraped(f"{region.url}/metrics")
    sent = [v for n, v in found.items() if n.startswith("meridian_notifications_total")]
    return sum(sent), found["meridian_notify_seconds_count"]


async def test_what_a_stream_catches_up_with_is_no_slow_notification(http, asia):
    name, _ = await filled(http)
    sent, timed = await notified(asia)
    behind = STREAMS["websocket"](asia)
    await behind.send(watching(name, **{"from": {"seconds": 60.0}}))
    assert [(await of_type(behind, "match"))["item"]["id"] for _ in "ab"] == ["a", "b"]
    missed, untimed = await notified(asia)
    assert (missed, untimed) == (sent + 2, timed)
    await behind.close()
    live = STREAMS["websocket"](asia)
    await live.send(watching(name))
    await of_type(live, "watching")
    items = [{"id": "1", "vector": [2, 0, 0]}]
    await http.call("upsert", collection=name, items=items)
    await of_type(live, "match")
    assert await notified(asia) == (missed + 1, timed + 1)
    await live.close()


async def test_a_stream_pauses_takes_credit_and_is_dropped(streams, http):
    name, _ = await filled(http)
    await streams.send(watching(name, credit=1))
    await of_type(streams, "watching")

    async def write(item):
        items = [{"id": item, "vector": [1, 0, 0]}]
        await http.call("upsert", collection=name, items=items)

    await write("1")
    assert (await of_type(streams, "match"))["item"]["id"] == "1"
    await write("2")
    await streams.send({"type": "list"})
    (state,) = (await of_type(streams, "streams"))["streams"]
    assert state["state"] == "no credit" and state["credit"] == 0
    await streams.send({"type": "credit", "stream": "s", "credit": 5})
    assert (await of_type(streams, "credited"))["credit"] == 5
    assert (await of_type(streams, "match"))["item"]["id"] == "2"
    await streams.send({"type": "pause", "stream": "s"})
    await of_type(streams, "paused")
    await write("3")
    await streams.send({"type": "list"})
    (state,) = (await of_type(streams, "streams"))["streams"]
    assert state["state"] == "paused"
    await streams.send({"type": "resume", "stream": "s"})
    await of_type(streams, "resumed")
    assert (await of_type(streams, "match"))["item"]["id"] == "3"
    await streams.send({"type": "drop", "stream": "s"})
    await of_type(streams, "dropped")
    await streams.send({"type": "drop", "stream": "s"})
    assert (await of_type(streams, "error"))["error"]["code"] == "unknown_stream"


async def test_a_stream_of_a_dropped_collection_ends(streams, http):
    name, _ = await filled(http)
    await streams.send(watching(name))
    await of_type(streams, "watching")
    await http.call("drop_collection", collection=name)
    assert name in (await of_type(streams, "dropped"))["reason"]


async def test_a_wanted_rate_becomes_a_threshold(streams, http):
    name, _ = await filled(http)
    wanted = watching(name, rate_per_hour=2)
    del wanted["threshold"]
    await streams.send(wanted)
    started = await of_type(streams, "watching")
    assert started["threshold"] == pytest.approx(0.5**0.5, abs=1e-6)


async def test_a_refused_stream_is_said(streams, http):
    name, _ = await filled(http)
    await streams.send(watching(name, vector=[1, 0]))
    assert (await of_type(streams, "error"))["error"]["code"] == "wrong_dimension"


async def test_an_event_source_resumes_by_its_last_event_id(asia, http):
    """As a browser does it: a GET, then the id of the last event in a header."""
    name, _ = await filled(http)
    vector = base64.b64encode(floats(1, 0, 0)).decode()
    query = {"collection": name, "vector": vector, "threshold": "0.5"}
    url = f"{asia.url}/v1/streams"
    reader = Events(asia)
    reader.answer = await reader.session.get(url, params=query)
    assert reader.answer.headers["content-type"] == "text/event-stream"
    assert (await reader.receive())["type"] == "connected"
    await of_type(reader, "watching")
    for item in "12":
        items = [{"id": item, "vector": [1, 0, 0]}]
        await http.call("upsert", collection=name, items=items)
    first = await of_type(reader, "match")
    await of_type(reader, "match")
    await reader.close()
    again = Events(asia)
    headers = {"Last-Event-ID": first["token"]}
    again.answer = await again.session.get(url, params=query, headers=headers)
    assert (await of_type(again, "match"))["item"]["id"] == "2"
    await again.close()
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, params=query | {"threshold": "x"}) as answer,
    ):
        assert answer.status == 400


async def test_a_message_to_a_session_reaches_it_from_any_instance(asia, http):
    name, _ = await filled(http)
    stream = Events(asia)
    await stream.send(watching(name, credit=0))
    await of_type(stream, "watching")
    second = asia.second_instance()
    url = f"http://127.0.0.1:{second['port']}/v1/streams/{stream.id}"
    body = json.dumps({"type": "credit", "stream": "s", "credit": 3})

    async def post(to):
        async with (
            aiohttp.ClientSession() as session,
            session.post(to, data=body) as answer,
        ):
            return answer.status

    assert await until(lambda: post(url), lambda status: status == 200) == 200
    assert (await of_type(stream, "credited"))["credit"] == 3
    assert await post(url.replace(stream.id, "0" * 32)) == 404
    await stream.close()


async def test_one_stream_alone_over_grpc(asia, http):
    from service.contract.messages import Watch
    from service.contract.proto import SERVICE, message_class
    from service.contract.proto_json import message_of

    name, _ = await filled(http)
    made = Grpc(asia)
    follow = made.channel.unary_stream(
        f"/{SERVICE}/Follow",
        request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=message_class("ServerMessage").FromString,
    )
    wanted = watching(name, **{"from": {"seconds": 60.0}})
    call = follow(message_of(Watch, wanted))
    assert (await call.read()).WhichOneof("message") == "watching"
    assert (await call.read()).match.item.id == "a"
    call.cancel()
    bad = follow(message_of(Watch, wanted | {"threshold": None}))
    assert (await bad.read()).error.error.code == "bad_request"
    await made.close()


@pytest.mark.parametrize("together", [False, True])
async def test_matches_that_come_together_travel_together_where_a_call_reads_it(
    asia, http, together
):
    from service.contract.proto import SERVICE, SEVERAL_HEADER, message_class
    from service.contract.proto_json import client_message, read_events

    name, _ = await filled(http)
    made = Grpc(asia)
    watch = made.channel.stream_stream(
        f"/{SERVICE}/Watch",
        request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=message_class("ServerMessage").FromString,
    )
    call = watch(metadata=[SEVERAL_HEADER] if together else [])
    await call.write(client_message(watching(name, threshold=-1)))
    assert [e["type"] for e in read_events(await call.read())] == ["watching"]
    ids = [f"i{n}" for n in range(50)]
    vectors = [{"id": i, "vector": [1, 0, 0]} for i in ids]
    await http.call("upsert", collection=name, items=vectors)
    heard, messages = [], 0
    async with asyncio.timeout(20):
        while len(heard) < len(ids):
            found = read_events(await call.read())
            messages += 1
            heard += [e["item"]["id"] for e in found if e["type"] == "match"]
    assert heard == ids
    assert messages < 25 if together else messages >= 50
    call.cancel()
    await made.close()


def pushed(number, request, **attributes):
    data = base64.b64encode(json.dumps(request).encode()).decode()
    message = {"messageId": number, "data": data, "attributes": attributes}
    return {"message": message, "subscription": "projects/p/subscriptions/s"}


async def test_a_push_is_stored_once_however_often_it_comes(asia, http):
    name, _ = await filled(http)

    async def push(body):
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{asia.url}/v1/push", json=body) as answer,
        ):
            return answer.status, await answer.json()

    body = pushed("77", {"items": [{"id": "p", "vector": [0, 1, 1]}]}, collection=name)
    assert await push(body) == (200, {"stored": 1, "refused": ""})
    version = (await http.call("get_item", collection=name, id="p"))["version"]
    await push(body)
    assert (await http.call("get_item", collection=name, id="p"))["version"] == version
    items = [{"id": "p"}]
    gone = pushed("78", {"collection": name, "items": items}, operation="delete")
    assert (await push(gone))[1]["stored"] == 1
    # What never succeeds is acknowledged, else it would come back for ever.
    bad = pushed("79", {"collection": name, "items": [{"id": "p", "vector": [1]}]})
    assert await push(bad) == (200, {"stored": 0, "refused": "wrong_dimension"})
    assert (await push({"message": {}}))[0] == 400
