"""Streams that tell of the best of each window, and of nothing twice or never."""

import asyncio
import time

import pytest

from service.client import Client, Query
from service.log.change import Change
from service.stream.window import Window
from tests.service.asking import filled, fresh, of_type, watching
from tests.service.drivers import Events, Grpc, Http, WebSocket

WIDE = {"vector": [1, 0, 0], "threshold": -1.0, "best": 2}


def change(n):
    return Change(
        "asia", 0, 1, n, f"e{n}", "t", "c", str(n), "upsert", b"", "{}", n, "asia", 0, 0
    )


def scored(item, cosine):
    """An item whose cosine with [1, 0, 0] is given."""
    return {"id": item, "vector": [cosine, (1 - cosine**2) ** 0.5, 0]}


@pytest.fixture(params=[WebSocket, Events, Grpc])
def transport(request):
    return request.param


async def best_of(streams):
    while True:
        message = await streams.receive()
        assert message is not None
        if message["type"] == "best":
            return message
        assert message["type"] in ("heartbeat", "watching", "connected"), message


def ids(message):
    return [entry["item"]["id"] for entry in message["matches"]]


async def test_the_best_of_a_window_come_together_best_first(world, transport):
    asia = world.regions["asia"]
    writer, streams = Http(asia), transport(asia)
    try:
        # Empty: another instance of the region may hear later what was written before.
        name = fresh()
        await writer.call("create_collection", name=name, dimension=3)
        await streams.send(watching(name, **WIDE, window_seconds=4))
        await of_type(streams, "watching")
        # Early in a window, so that one holds them all, on a busy machine too.
        await asyncio.sleep(4.2 - time.time() % 4)
        items = [scored("x", 0.2), scored("y", 0.9), scored("z", 0.5), scored("w", 0.1)]
        written = await writer.call("upsert", collection=name, items=items)
        told = await best_of(streams)
        assert ids(told) == ["y", "z"]
        assert told["matched"] == 4
        assert told["until"] - told["since"] == pytest.approx(4, abs=3)
        events = [r["event_id"] for r in written["results"]]
        assert [m["event_id"] for m in told["matches"]] == [events[1], events[2]]
        scores = [m["score"] for m in told["matches"]]
        assert scores == pytest.approx([0.9, 0.5], abs=1e-5)
        await writer.call("upsert", collection=name, items=[scored("later", 0.3)])
        assert ids(await best_of(streams)) == ["later"]
    finally:
        await writer.close()
        await streams.close()


async def test_a_window_that_was_not_told_is_told_elsewhere_and_only_once(world):
    asia, europe = world.regions["asia"], world.regions["europe"]
    writer, first = Http(asia), WebSocket(asia)
    try:
        name, _ = await filled(writer)
        await first.send(watching(name, **WIDE, window_seconds=3600))
        await of_type(first, "watching")
        await writer.call("upsert", collection=name, items=[scored("x", 0.7)])
        await asyncio.sleep(1.5)  # matched, and a look at windows has passed
        await first.send({"type": "ping"})
        token = (await of_type(first, "heartbeat"))["tokens"]["s"]
    finally:
        await first.close()
    second = WebSocket(europe)
    try:
        again = {"window_seconds": 1, "from": {"token": token}}
        await second.send(watching(name, **WIDE, **again))
        told = await best_of(second)
        assert ids(told) == ["x"] and told["region"] == "europe"
    finally:
        await second.close()
    third = WebSocket(asia)
    try:
        again = {"window_seconds": 1, "from": {"token": told["token"]}}
        await third.send(watching(name, **WIDE, **again))
        await of_type(third, "watching")
        await writer.call("upsert", collection=name, items=[scored("y", 0.1)])
        assert ids(await best_of(third)) == ["y"], "what was told is told no more"
    finally:
        await writer.close()
        await third.close()


async def test_a_quiet_stream_stands_where_its_lane_does(world):
    asia = world.regions["asia"]
    writer, streams = Http(asia), WebSocket(asia)
    try:
        name, _ = await filled(writer)
        narrow = WIDE | {"threshold": 0.99}
        await streams.send(watching(name, **narrow, window_seconds=3600))
        before = (await of_type(streams, "watching"))["token"]
        await writer.call("upsert", collection=name, items=[scored("x", 0.1)])
        for _ in range(50):
            await streams.send({"type": "ping"})
            after = (await of_type(streams, "heartbeat"))["tokens"]["s"]
            if after != before:
                break
            await asyncio.sleep(0.1)
        assert after != before
    finally:
        await writer.close()
        await streams.close()


async def test_a_window_costs_one_credit_and_without_it_nothing_is_lost(world):
    asia = world.regions["asia"]
    writer, streams = Http(asia), WebSocket(asia)
    try:
        name, _ = await filled(writer)
        await streams.send(watching(name, **WIDE, window_seconds=1, credit=1))
        await of_type(streams, "watching")
        await writer.call("upsert", collection=name, items=[scored("x", 0.3)])
        assert ids(await best_of(streams)) == ["x"]
        await writer.call("upsert", collection=name, items=[scored("y", 0.4)])
        await streams.send({"type": "list"})
        listed = await of_type(streams, "streams")
        assert listed["streams"][0]["state"] == "no credit"
        await streams.send({"type": "credit", "stream": "s", "credit": 1})
        await of_type(streams, "credited")
        assert ids(await best_of(streams)) == ["y"]
    finally:
        await writer.close()
        await streams.close()


@pytest.mark.parametrize("half", [{"best": 3}, {"window_seconds": 3}])
async def test_half_of_a_window_is_refused(world, half):
    streams = WebSocket(world.regions["asia"])
    writer = Http(world.regions["asia"])
    try:
        name, _ = await filled(writer)
        await streams.send(watching(name, **half))
        error = (await of_type(streams, "error"))["error"]
        assert error["code"] == "bad_request" and "together" in error["message"]
    finally:
        await writer.close()
        await streams.close()


async def test_the_client_gives_each_of_the_best_and_hears_it_once(world):
    asia, europe = world.regions["asia"], world.regions["europe"]
    seed = Http(asia)
    name, _ = await filled(seed)
    await seed.close()
    query = Query(
        stream="s",
        collection=name,
        vector=[1, 0, 0],
        threshold=-1.0,
        best=4,
        window_seconds=1,
    )
    async with Client(asia.url) as writer, Client([europe.url, asia.url]) as reader:
        for _ in range(100):
            if name in [c["name"] for c in await reader.collections()]:
                break
            await asyncio.sleep(0.05)
        watched = reader.watch([query])
        await watched.ready()
        heard = []

        async def hear():
            async for match in watched:
                heard.append(match)

        task = asyncio.create_task(hear())
        for n in range(4):
            await writer.put(name, [scored(f"{n}{i}", 0.1 * i) for i in range(4)])
            await asyncio.sleep(1.3)
        await asyncio.sleep(1)
        task.cancel()
        await watched.close()
    events = [match.event_id for match in heard]
    assert len(set(events)) == len(events) >= 4
    assert all(match.window and match.window[0] < match.window[1] for match in heard)
    for match, following in zip(heard, heard[1:], strict=False):
        if match.window == following.window:
            assert match.score >= following.score
    # The best of each write, though one window may hold several.
    assert {"03", "13", "23", "33"} <= {match.id for match in heard}


def test_a_window_holds_its_best_and_of_equal_scores_the_earlier():
    window = Window(2, 10)
    window.begin("t", 1234.5)
    for n, score in enumerate([0.5, 0.9, 0.5, 0.1, 0.9]):
        window.add(change(n), score, 101.0)
    assert not window.over(1239.9) and window.over(1240.0)
    told = window.take(1240.1)
    assert [m["item"]["id"] for m in told["matches"]] == ["1", "4"]
    assert (told["matched"], told["since"]) == (5, 1230)
    window.add(change(5), 0.5, 111.0)
    window.add(change(6), 0.5, 111.0)
    window.add(change(7), 0.5, 111.0)
    assert [m["item"]["id"] for m in window.take(0)["matches"]] == ["5", "6"]


def test_a_match_belongs_to_the_window_that_it_came_in():
    window = Window(2, 10)
    window.begin("token", 109.8)
    # The next look would be at 110.3: the window has changed since the last one.
    window.add(change(1), 0.5, 110.1)
    assert not window.over(110.3)
    window.add(change(2), 0.6, 119.9)
    assert window.over(120.0)
    told = window.take(120.0)
    assert (told["matched"], told["since"], told["until"]) == (2, 110, 120.0)
