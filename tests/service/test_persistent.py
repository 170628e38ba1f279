"""Persistent streams: they go on after what was acknowledged, whoever asks."""

import asyncio
import time

import asyncpg
import pytest
import pytest_asyncio

from service.log.state import State
from service.worker.duties import _sweep
from tests.service.asking import filled, refusal, until, watching
from tests.service.drivers import STREAMING, UNARY, Events, Http, Refused, WebSocket
from tests.service.persistent_parts import (
    ack,
    acknowledge,
    attach,
    heard,
    made_in,
    put,
    row,
    told,
)


@pytest_asyncio.fixture(params=STREAMING, ids=lambda kind: kind.name)
async def transport(request):
    return request.param


@pytest.mark.parametrize("region", ["paris", "asia"])
async def test_it_goes_on_elsewhere_after_the_last_acknowledgement(
    party, transport, region
):
    """In a region of the same hub, and in one that reaches it by messages only."""
    name, writer, first, made = await made_in(party, "europe", transport)
    assert made["home"] == "europe" and made["id"].startswith("europe.")
    assert (made["epoch"], made["unfenced"]) == (1, False)
    await put(writer, name, "1", "2", "3")
    matches = [await heard(first, "match") for _ in range(3)]
    assert {m["epoch"] for m in matches} == {1}
    await acknowledge(first, matches[0])
    await first.close()
    await put(writer, name, "4")
    second = party(transport, region)
    await second.send(attach(made["id"]))
    again = await heard(second, "attached")
    assert (again["id"], again["epoch"]) == (made["id"], 2)
    # What was acknowledged comes no more, all else once.
    assert await told(second, 3) == ["2", "3", "4"]
    await put(writer, name, "5")
    assert await told(second, 1) == ["5"]


async def test_what_a_former_owner_acknowledges_is_refused(party, world):
    name, writer, first, made = await made_in(party, "europe")
    await put(writer, name, "1", "2")
    matches = [await heard(first, "match") for _ in range(2)]
    await acknowledge(first, matches[0])
    second = party(WebSocket, "asia")
    await second.send(attach(made["id"]))
    new = await heard(second, "match")
    assert (new["item"]["id"], new["epoch"]) == ("2", 2)
    before = (await row(world, made["id"]))["acked_position"]
    # The former owner knows nothing yet; its home does.
    await first.send(ack(matches[1]))
    ended = await heard(first, "dropped")
    assert ended["code"] == "fenced" and "elsewhere" in ended["reason"]
    assert (await row(world, made["id"]))["acked_position"] == before
    await first.send(ack(matches[1]))
    refused = (await first.receive())["error"]
    assert refused["code"] == "fenced"
    # It hears nothing more, the new owner does.
    await put(writer, name, "3")
    assert await told(second, 1) == ["3"]
    await first.send({"type": "ping"})
    assert (await heard(first, "heartbeat"))["tokens"] == {}


async def test_an_acknowledgement_of_an_older_epoch_is_refused_at_once(party):
    name, writer, first, made = await made_in(party, "europe")
    await put(writer, name, "1")
    old = await heard(first, "match")
    second = party(WebSocket, "europe")
    await second.send(attach(made["id"]))
    await heard(second, "match")
    await second.send(ack(old))
    refused = (await second.receive())["error"]
    assert refused["code"] == "fenced"
    assert refused["details"] == {"given": 1, "allowed": 2}
    # On one instance the former owner is told without its home.
    assert (await heard(first, "dropped"))["code"] == "fenced"


async def test_a_quiet_owner_is_told_that_it_is_one_no_more(party):
    _, _, first, made = await made_in(party, "europe")
    second = party(WebSocket, "paris")
    await second.send(attach(made["id"]))
    await heard(second, "attached")
    assert (await heard(first, "dropped", 15))["code"] == "fenced"


async def test_acknowledgements_are_kept_once_a_second(party, world):
    name, writer, streams, made = await made_in(party, "europe")
    # A turn is a message of the owner to its home.
    before = (await row(world, made["id"]))["turn"]
    started = time.monotonic()
    for n in range(20):
        await put(writer, name, str(n))
        last = await heard(streams, "match")
        await streams.send(ack(last))
    seconds = time.monotonic() - started
    while (await heard(streams, "acked"))["token"] != last["token"]:
        pass
    kept = await row(world, made["id"])
    assert kept["acked_position"] == last["token"]
    assert kept["turn"] - before <= seconds + 2


async def test_a_quiet_stream_moves_on_in_the_log(party, world):
    """Else one that matches nothing for hours would come back to a gap."""
    name, writer, streams, made = await made_in(party, "europe")
    before = (await row(world, made["id"]))["acked_position"]
    far = [{"id": "far", "vector": [-1, 0, 0]}]
    await writer.call("upsert", collection=name, items=far)

    async def position():
        return (await row(world, made["id"]))["acked_position"]

    await until(position, lambda p: p != before, 15)
    # With a delivery that nobody acknowledged it stays.
    await put(writer, name, "1")
    await heard(streams, "match")
    stays = await position()
    await writer.call("upsert", collection=name, items=far)
    await asyncio.sleep(11)
    assert await position() == stays


async def test_when_the_lease_ends_it_is_forgotten(party, world):
    _, _, first, made = await made_in(party, "europe", lease_seconds=60)
    kept = await row(world, made["id"])
    assert kept["lease_seconds"] == 60
    assert kept["lease_until"].timestamp() == pytest.approx(time.time() + 60, abs=15)
    await first.close()
    connection = await world.regions["europe"].postgres.connect()
    ended = "UPDATE stream SET lease_until = now() - interval '1 ms' WHERE id = $1"
    await connection.execute(ended, made["id"])
    second = party(WebSocket, "paris")
    await second.send(attach(made["id"]))
    assert (await second.receive())["error"]["code"] == "not_found"
    await connection.close()
    assert await row(world, made["id"]) is not None
    # What the worker of the hub runs once a minute, here at once.
    address = {"host": "127.0.0.1", "port": world.regions["europe"].postgres.port}
    named = {"user": "meridian", "database": "postgres"}
    async with asyncpg.create_pool(**address, **named, min_size=0) as pool:
        sweeping = asyncio.create_task(_sweep(pool, State(pool, "europe", [])))
        await until(lambda: row(world, made["id"]), lambda found: found is None)
        sweeping.cancel()


@pytest.mark.parametrize("kind", UNARY, ids=lambda kind: kind.name)
@pytest.mark.parametrize("region", ["europe", "asia"])
async def test_it_is_listed_and_dropped_by_its_id(party, world, kind, region):
    name, _, _, made = await made_in(party, "europe")
    driver = party(kind, region)

    async def mine():
        answer = await driver.call("list_streams")
        assert answer["away"] == []
        return [s for s in answer["streams"] if s["id"] == made["id"]]

    (shown,) = await mine()
    assert (shown["collection"], shown["threshold"]) == (name, 0.5)
    assert (shown["home"], shown["epoch"], shown["owned"]) == ("europe", 1, True)
    assert shown["lease_until"] == pytest.approx(time.time() + 3600, abs=20)
    assert (await driver.call("drop_stream", id=made["id"]))["done"] is True
    assert await mine() == []
    assert await row(world, made["id"]) is None
    again = await refusal(driver.call("drop_stream", id=made["id"]))
    assert again.code == "not_found"
    nowhere = "nowhere." + "0" * 32
    assert (await refusal(driver.call("drop_stream", id=nowhere))).code == "not_found"


async def test_who_had_what_was_dropped_is_told(party):
    _, _, streams, made = await made_in(party, "europe")
    await party(Http, "asia").call("drop_stream", id=made["id"])
    assert (await heard(streams, "dropped", 15))["code"] == "not_found"


async def test_the_message_drop_forgets_it(party, world, transport):
    _, _, streams, made = await made_in(party, "europe", transport)
    assert await row(world, made["id"]) is not None
    await streams.send({"type": "drop", "stream": "s"})
    await heard(streams, "dropped")
    assert await row(world, made["id"]) is None


async def test_a_former_owner_cannot_drop_it(party, world):
    _, _, first, made = await made_in(party, "europe")
    second = party(WebSocket, "asia")
    await second.send(attach(made["id"]))
    await heard(second, "attached")
    await first.send({"type": "drop", "stream": "s"})
    await heard(first, "dropped")
    assert (await row(world, made["id"]))["epoch"] == 2


async def test_what_it_learned_comes_back(party, world):
    name, writer, first, made = await made_in(party, "europe")
    await put(writer, name, "1")
    await heard(first, "match")
    for item in ("a", "b"):
        mark = {"type": "feedback", "stream": "s", "item": item, "good": True}
        await first.send(mark)
        learned = await heard(first, "learned")
    assert learned["marks"] == 2 and learned["definition_version"] == 3
    # Stored before it was said: nobody comes too early.
    assert (await row(world, made["id"]))["definition_version"] == 3
    second = party(WebSocket, "asia")
    await second.send(attach(made["id"]))
    assert (await heard(second, "attached"))["definition_version"] == 3
    again = await heard(second, "learned")
    for key in ("vector", "threshold", "definition_version", "marks", "learned"):
        assert again[key] == learned[key], key
    await second.send({"type": "undo", "stream": "s"})
    undone = await heard(second, "learned")
    assert undone["threshold"] == 0.5 and undone["definition_version"] == 4
    third = party(WebSocket, "paris")
    await third.send(attach(made["id"]))
    restored = await heard(third, "attached")
    assert restored["definition_version"] == 4
    assert "learned" not in restored["definition"]
    assert (await heard(third, "match"))["threshold"] == 0.5


async def test_all_of_a_definition_comes_back(party):
    wanted = {"best": 2, "window_seconds": 1, "priority": "low"}
    wanted |= {"filter": {"field": "lang", "eq": "de"}}
    name, writer, first, made = await made_in(party, "europe", **wanted)
    await first.close()
    second = party(WebSocket, "paris")
    await second.send(attach(made["id"]))
    assert (await heard(second, "attached"))["definition"] == made["definition"]
    assert made["definition"]["priority"] == "low"
    items = [
        {"id": i, "vector": [1, 0, 0], "metadata": {"lang": lang}}
        for i, lang in (("x", "de"), ("y", "fr"), ("z", "de"))
    ]
    await writer.call("upsert", collection=name, items=items)
    best = await heard(second, "best")
    assert {m["item"]["id"] for m in best["matches"]} == {"x", "z"}
    assert best["epoch"] == 2
    await acknowledge(second, best)


async def test_attached_with_a_token_it_goes_on_after_it(party, world):
    name, writer, first, made = await made_in(party, "europe")
    await put(writer, name, "1", "2")
    one = await heard(first, "match")
    await first.close()
    second = party(WebSocket, "asia")
    await second.send(attach(made["id"], token=one["token"]))
    assert await told(second, 1) == ["2"]

    async def position():
        return (await row(world, made["id"]))["acked_position"]

    await until(position, lambda p: p == one["token"])


async def test_of_a_collection_made_anew_it_says_so(party):
    name, writer, first, made = await made_in(party, "europe")
    await first.close()
    await writer.call("drop_collection", collection=name)
    await writer.call("create_collection", name=name, dimension=3)
    second = party(WebSocket, "europe")
    await second.send(attach(made["id"]))
    error = (await second.receive())["error"]
    assert error["code"] == "unknown_collection" and "drop" in error["message"]


async def test_with_its_collection_it_is_forgotten(party, world):
    name, writer, streams, made = await made_in(party, "europe")
    await writer.call("drop_collection", collection=name)
    assert name in (await heard(streams, "dropped"))["reason"]

    async def kept():
        return await row(world, made["id"])

    await until(kept, lambda found: found is None)


async def test_an_ephemeral_stream_is_stored_nowhere(party, world):
    writer, streams = party(Http, "europe"), party(WebSocket, "europe")
    name, _ = await filled(writer)
    connection = await world.regions["europe"].postgres.connect()
    before = await connection.fetchval("SELECT count(*) FROM stream")
    await streams.send(watching(name))
    await heard(streams, "watching")
    await put(writer, name, "1")
    match = await heard(streams, "match")
    assert "epoch" not in match
    assert await connection.fetchval("SELECT count(*) FROM stream") == before
    await connection.close()
    await streams.send({"type": "ack", "stream": "s", "token": match["token"]})
    assert (await streams.receive())["error"]["code"] == "bad_request"
    await streams.send(watching(name, stream="t", lease_seconds=60))
    assert (await streams.receive())["error"]["code"] == "bad_request"


async def test_an_event_source_attaches_and_resumes_by_its_last_event_id(party):
    """As a browser does it: what it saw last is acknowledged."""
    name, writer, first, made = await made_in(party, "europe")
    await first.close()
    await put(writer, name, "1", "2")
    reader = party(Events, "europe")
    url, query = f"{reader.url}/v1/streams", {"type": "attach", "id": made["id"]}
    reader.answer = await reader.session.get(url, params=query)
    assert reader.answer.status == 200
    one = await heard(reader, "match")
    again = party(Events, "europe")
    headers = {"Last-Event-ID": one["token"]}
    again.answer = await again.session.get(url, params=query, headers=headers)
    assert (await heard(again, "match"))["item"]["id"] == "2"
    wrong = await again.session.get(url, params=query | {"type": "ping"})
    assert wrong.status == 400


async def test_a_refused_id_is_said(party):
    streams = party(WebSocket, "europe")
    await streams.send(attach("europe.short"))
    assert (await streams.receive())["error"]["code"] == "out_of_range"
    with pytest.raises(Refused, match="out_of_range"):
        await party(Http, "europe").call("drop_stream", id="x")
