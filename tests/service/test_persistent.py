"""Persistent streams: they go on after what was acknowledged, whoever asks."""

import asyncio

from tests.service.asking import filled, watching
from tests.service.drivers import Http, WebSocket


async def heard(streams, kind, seconds=20):
    """The next message of a kind, whatever comes before it."""
    async with asyncio.timeout(seconds):
        while True:
            message = await streams.receive(seconds)
            assert message is not None
            if message["type"] == kind:
                return message
            assert message["type"] != "error", message


async def put(writer, name, *ids):
    items = [{"id": i, "vector": [1, 0, 0]} for i in ids]
    return await writer.call("upsert", collection=name, items=items)


async def matches(streams, count):
    return [await heard(streams, "match") for _ in range(count)]


async def acknowledge(streams, match):
    await streams.send(
        {"type": "ack", "stream": "s", "token": match["token"], "epoch": match["epoch"]}
    )
    while (await heard(streams, "acked"))["token"] != match["token"]:
        pass


def attach(stream, **options):
    return {"type": "attach", "stream": "s", "id": stream} | options


async def test_it_goes_on_in_another_region_after_the_last_acknowledgement(world):
    europe, paris = world.regions["europe"], world.regions["paris"]
    writer, first, second = Http(europe), WebSocket(europe), WebSocket(paris)
    name, _ = await filled(writer)
    await first.send(watching(name, persistent=True))
    made = await heard(first, "attached")
    assert made["home"] == "europe" and made["epoch"] == 1
    await put(writer, name, "1", "2", "3")
    told = await matches(first, 3)
    assert {m["epoch"] for m in told} == {1}
    await acknowledge(first, told[0])
    await first.close()
    await put(writer, name, "4")
    await second.send(attach(made["id"]))
    again = await heard(second, "attached")
    assert again["epoch"] == 2 and again["id"] == made["id"]
    rest = await matches(second, 3)
    assert [m["item"]["id"] for m in rest] == ["2", "3", "4"]
    await writer.close()
    await second.close()
