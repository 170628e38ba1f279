"""What the tests of persistent streams say and wait for."""

import asyncio
import contextlib

from tests.service.asking import filled, of_type, watching
from tests.service.drivers import Http, Refused, WebSocket
from tests.service.world import wait_ready


async def heard(streams, kind, seconds=20):
    """The next message of a kind, whatever but an error comes before it."""
    return await of_type(streams, kind, seconds, lambda other: other != "error")


async def put(writer, name, *ids):
    items = [{"id": i, "vector": [1, 0, 0]} for i in ids]
    return await writer.call("upsert", collection=name, items=items)


async def told(streams, count):
    """Ids of the next matches."""
    return [(await heard(streams, "match"))["item"]["id"] for _ in range(count)]


def ack(match):
    said = {"token": match["token"], "epoch": match["epoch"]}
    return {"type": "ack", "stream": "s"} | said


async def acknowledge(streams, match):
    """Returns once the home has it."""
    await streams.send(ack(match))
    await heard(streams, "acked")


def attach(stream, **options):
    return {"type": "attach", "stream": "s", "id": stream} | options


async def made_in(party, region, kind=WebSocket, writes_to=None, **options):
    """A persistent stream: collection, writer, its connection, what it was told."""
    writer, streams = party(Http, writes_to or region), party(kind, region)
    name, written = await filled(writer)
    if writes_to is not None:
        await followed(party(Http, region), name, written["token"])
    await streams.send(watching(name, persistent=True, **options))
    return name, writer, streams, await heard(streams, "attached")


async def followed(reader, name, token):
    """Returns once a region has the collection and what was written with it."""
    asked = {"consistency": "read_your_writes", "token": token}
    for _ in range(200):
        with contextlib.suppress(Refused):
            return await reader.call(
                "search", collection=name, vector=[1, 0, 0], **asked
            )
        await asyncio.sleep(0.05)
    raise AssertionError(f"{name} did not arrive")


async def row(world, stream, region="europe"):
    connection = await world.regions[region].postgres.connect()
    try:
        return await connection.fetchrow("SELECT * FROM stream WHERE id = $1", stream)
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def europe_without_database(world):
    europe = world.regions["europe"]
    europe.postgres.kill()
    try:
        yield
    finally:
        europe.postgres.start()
        import aiohttp

        async with aiohttp.ClientSession() as session:
            for region in world.regions.values():
                await wait_ready(session, region, 60)
