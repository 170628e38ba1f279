"""A region is lost for good and its replica is promoted: what is kept, what is lost."""

import asyncio
import contextlib
import json
import math
import os
import signal
import uuid

import aiohttp
import pytest
import pytest_asyncio

from service.client import Client, ClientError, Query
from tests.service.conftest import LIMITS
from tests.service.slow_link import SlowLink
from tests.service.world import World, wait_ready

pytestmark = pytest.mark.asyncio
WAY = 0.6
"""Seconds that the log takes to the replica."""


@pytest.fixture(scope="module")
def own(tmp_path_factory, template, cluster):
    """A world of its own: afterwards it is not what the other tests expect."""
    regions = {"asia": "asia", "europe": "europe", "paris": "europe"}
    made = World(tmp_path_factory.mktemp("lost"), template, cluster, regions, LIMITS)
    yield made
    made.close()


@pytest_asyncio.fixture
async def world(own):
    await own.ready()
    return own


class Writer:
    """Writes into a collection and remembers what was acknowledged, and where."""

    def __init__(self, region, collection):
        self.client = Client(region.url, deadline=8)
        self.collection = collection
        self.places: dict[str, tuple[int, int]] = {}
        self.lane = -1
        self.stopping = False

    async def run(self):
        n = 0
        while not self.stopping:
            angle = n * 0.37
            n += 1
            item = {
                "id": f"i{n}",
                "vector": [math.cos(angle), math.sin(angle)],
                "event_id": f"{self.collection}-{n}",
            }
            with contextlib.suppress(ClientError, aiohttp.ClientError, OSError):
                (result,) = await self.client.put(self.collection, [item])
                if "error" not in result:
                    at = result["position"]
                    self.lane = at["lane"]
                    self.places[item["id"]] = (at["epoch"], at["seq"])
        await self.client.close()


async def stored(region, collection):
    connection = await region.postgres.connect()
    rows = await connection.fetch(
        "SELECT id, at, origin FROM item WHERE collection = $1 AND NOT deleted",
        collection,
    )
    await connection.close()
    return {row["id"]: (row["at"], row["origin"]) for row in rows}


async def eventually(what, seconds=30):
    until = asyncio.get_running_loop().time() + seconds
    while not (value := await what()):
        assert asyncio.get_running_loop().time() < until, "did not happen"
        await asyncio.sleep(0.1)
    return value


def begun(region):
    """What the new primary's worker said when it began its epoch."""
    lines = (region.folder / "worker.log").read_text().splitlines()
    said = [json.loads(line) for line in lines if '"epoch begun"' in line]
    return said[-1] if said else None


async def lose_region(region, link):
    """Its relay stops a moment before everything else does, and nothing that was on
    its way to the replica arrives."""
    os.kill(region.worker["pid"], signal.SIGSTOP)
    await asyncio.sleep(0.2)
    link.close()
    region.postgres.kill()
    region.kill("instance")
    region.kill("grpc")
    region.kill("worker")
    region.redis.process.kill()


async def test_without_a_copy_elsewhere_nothing_is_promised(world):
    """No replica follows asia: its writes are stored, and not acknowledged."""
    asia, europe = world.regions["asia"], world.regions["europe"]
    name = f"c{uuid.uuid4().hex[:10]}"
    async with Client(europe.url) as client:
        await client.create(name, dimension=2, durability="region")
        (result,) = await client.put(name, [{"id": "a", "vector": [1, 0]}])
        assert result["position"]["origin"] == "europe"
    async with Client(asia.url) as client:
        await eventually(lambda: _described(client, name))
    path = f"{asia.url}/v1/collections/{name}/items:upsert"
    body = {"items": [{"id": "b", "vector": [1, 0], "event_id": f"e-{name}"}]}
    async with aiohttp.ClientSession() as session:
        for _ in range(2):
            async with session.post(path, json=body) as answer:
                assert answer.status == 503
                error = (await answer.json())["error"]
                assert error["code"] == "unavailable"
                assert "No other region has a copy" in error["message"]
    assert set(await stored(asia, name)) >= {"b"}


async def test_the_replica_of_a_lost_hub_goes_on_with_its_log(world):
    asia, europe, paris = (world.regions[n] for n in ("asia", "europe", "paris"))
    kept, risked = (f"{w}{uuid.uuid4().hex[:10]}" for w in ("kept", "risked"))
    async with Client(europe.url) as client:
        await client.create(risked, dimension=2)
        await client.create(kept, dimension=2, durability="region")
    for region in (asia, paris):
        async with Client(region.url) as client:
            for name in (kept, risked):
                await eventually(lambda c=client, n=name: _described(c, n))
    watcher = Client(asia.url)
    query = Query(stream="s", collection=risked, vector=[1, 0], threshold=-1)
    watching = watcher.watch([query])
    heard = []

    async def listen():
        async for match in watching:
            heard.append(match.id)

    await watching.ready()
    listening = asyncio.create_task(listen())
    link = SlowLink(europe.postgres.port, WAY)
    await link.follow(paris)
    writers = [Writer(europe, name) for name in (kept, risked)]
    writing = [asyncio.create_task(w.run()) for w in writers]
    await asyncio.sleep(4)
    await lose_region(europe, link)
    for writer in writers:
        writer.stopping = True
    await asyncio.gather(*writing)

    await world.promote(paris)
    said = await eventually(lambda: _begun(paris))
    assert said["epoch"] == 2
    await ready(paris)

    # Durability `region`: whatever was acknowledged is there.
    assert len(writers[0].places) > 3
    assert set(writers[0].places) <= set(await stored(paris, kept))
    # Durability `zone`: what is lost stood after the place where the epoch ended.
    here = await stored(paris, risked)
    ends = {lane: (epoch, seq) for lane, epoch, seq in said["ended"]}
    places, end = writers[1].places, ends[writers[1].lane]
    lost = {i for i, place in places.items() if i not in here}
    assert lost == {i for i, place in places.items() if place > end}
    assert 0 < len(lost) < len(places)
    # The peer had more of it than the replica, and gave it back.
    assert said["recalled_changes"] > 0

    async with Client(paris.url) as client:
        (result,) = await client.put(risked, [{"id": "after", "vector": [1, 0]}])
        assert result["position"]["epoch"] == 2
        assert result["position"]["origin"] == "europe"
    await eventually(lambda: _same(asia, paris, risked))
    await eventually(lambda: _same(asia, paris, kept))
    await eventually(lambda: _in("after", heard))
    assert len(heard) == len(set(heard))
    assert set(here) <= set(heard)
    assert watching.gaps == []
    listening.cancel()
    await watching.close()
    await watcher.close()

    # The lost server comes back and believes to be the primary still.
    await asyncio.to_thread(europe.postgres.start)
    europe.redis.start()
    world.primaries["europe"] = europe
    europe.start_worker()
    europe.start_instance()
    world.primaries["europe"] = paris
    await ready(europe)

    path = f"{europe.url}/v1/collections/{risked}/items:upsert"
    body = {"items": [{"id": "astray", "vector": [1, 0]}]}

    async def refused():
        async with (
            aiohttp.ClientSession() as session,
            session.post(path, json=body) as answer,
        ):
            return answer.status == 503 and answer.headers["x-meridian-retry"]

    assert await eventually(refused) == "elsewhere"
    worker = (europe.folder / "worker.log").read_text()
    assert "another server leads this log" in worker
    await asyncio.sleep(0.5)
    assert await _same(asia, paris, risked)


async def _described(client, name):
    with contextlib.suppress(ClientError):
        return await client.describe(name)
    return None


async def ready(region):
    async with aiohttp.ClientSession() as session:
        await wait_ready(session, region)


async def _begun(region):
    return begun(region)


async def _in(item, heard):
    return item in heard


async def _same(one, other, collection):
    return await stored(one, collection) == await stored(other, collection)
