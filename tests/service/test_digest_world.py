"""A hub that can no longer get changes, with real workers, brokers and instances."""

import asyncio
import contextlib

import aiohttp
import pytest
import pytest_asyncio

from service.client import Client, ClientError, Query
from service.log.change import lane_of
from tests.service.asking import fresh
from tests.service.conftest import LIMITS
from tests.service.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

REGIONS = {"asia": "asia", "europe": "europe", "paris": "europe"}
BEHIND = (
    "SELECT h.seq - coalesce(p.seq, 0) FROM head h LEFT JOIN published p "
    "USING (origin, lane) WHERE h.lane = $1"
)
FAR = ("europe", "paris")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory, template, cluster):
    folder = tmp_path_factory.mktemp("digests")
    parts = (folder, template, cluster, REGIONS, LIMITS)
    made = World(*parts, MERIDIAN_DIGEST_SECONDS="2")
    await made.ready()
    yield made
    made.close()


class Watched:
    """A collection that every region holds in memory and watches."""

    def __init__(self, world):
        self.world, self.name = world, fresh()
        self.clients = {n: Client(r.url) for n, r in world.regions.items()}
        self.heard = {n: [] for n in world.regions}

    async def __aenter__(self):
        await self.clients["asia"].create(self.name, dimension=2)
        await self.put("first")
        for name in self.clients:
            await self.found(name, {"first"})
        query = Query(stream="s", collection=self.name, vector=[1, 0], threshold=0.5)
        self.watching = {n: c.watch([query]) for n, c in self.clients.items()}
        for one in self.watching.values():
            await one.ready()
        self.tasks = [asyncio.create_task(self.listen(n)) for n in self.watching]
        return self

    async def __aexit__(self, *_):
        for task in self.tasks:
            task.cancel()
        for one in self.watching.values():
            await one.close()
        for client in self.clients.values():
            await client.close()

    async def put(self, *ids, region="asia"):
        items = [
            {"id": i, "vector": [1, 0], "event_id": f"{self.name}-{i}"} for i in ids
        ]
        for result in await self.clients[region].put(self.name, items):
            assert "error" not in result

    async def listen(self, name):
        async for match in self.watching[name]:
            self.heard[name].append(match.id)

    async def found(self, region, wanted, seconds=20):
        """Waits until a search in a region finds these and no others."""
        found = None
        for _ in range(int(seconds / 0.1)):
            with contextlib.suppress(ClientError):
                hits = await self.clients[region].search(self.name, vector=[1, 0], k=50)
                found = {hit["id"] for hit in hits}
                if found == wanted:
                    return
            await asyncio.sleep(0.1)
        raise AssertionError((region, found, wanted))


async def fault(world, kind, count):
    url = f"http://127.0.0.1:{world.broker_port}/{kind}"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json={"count": count}) as answer,
    ):
        assert answer.status == 200


async def lost(world, watched, *ids):
    """Writes to asia that reach no other region, and are in no log any more."""
    database = await world.regions["asia"].postgres.connect()
    await fault(world, "drop", 10**6)
    await watched.put(*ids)
    left = 1
    for _ in range(100):
        left = await database.fetchval(BEHIND, lane_of("default", watched.name))
        if not left:
            break
        await asyncio.sleep(0.1)
    assert left == 0
    assert await database.fetchval("SELECT drop_ranges($1)", 2**60) >= 1
    await database.close()
    await fault(world, "drop", 0)


async def test_what_no_log_has_any_more_is_found_and_told_as_a_gap(world):
    async with Watched(world) as watched:
        await lost(world, watched, "lost1", "lost2")
        for region in FAR:
            await watched.found(region, {"first", "lost1", "lost2"})
        # The lane goes on, and what is new is told, once.
        for _ in range(200):
            if all(watched.watching[n].gaps for n in FAR):
                break
            await asyncio.sleep(0.1)
        await watched.put("after")
        for region in REGIONS:
            await watched.found(region, {"first", "lost1", "lost2", "after"})
        await asyncio.sleep(1)
        assert watched.heard["asia"] == ["lost1", "lost2", "after"]
        for region in FAR:
            assert watched.heard[region] == ["after"]
            (gap,) = watched.watching[region].gaps
            assert gap.origin == "asia"
            assert gap.before[1] - gap.after[1] == 3
            assert watched.watching[region].repeats == 0
        assert watched.watching["asia"].gaps == []


async def test_rows_lost_by_hand_come_back_and_nobody_is_told(world):
    async with Watched(world) as watched:
        await watched.put("second", region="europe")
        for region in REGIONS:
            await watched.found(region, {"first", "second"})
        database = await world.regions["europe"].postgres.connect()
        await database.execute("DELETE FROM item WHERE collection = $1", watched.name)
        replica = await world.regions["paris"].postgres.connect()
        count = "SELECT count(*) FROM item WHERE collection = $1"
        for _ in range(200):
            if await replica.fetchval(count, watched.name) == 2:
                break
            await asyncio.sleep(0.1)
        assert await replica.fetchval(count, watched.name) == 2
        await database.close()
        await replica.close()
        await asyncio.sleep(2)
        assert watched.heard == dict.fromkeys(REGIONS, ["second"])
        port = world.regions["europe"].worker["port"]
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/metrics") as answer,
        ):
            text = await answer.text()
        rounds = 'meridian_digest_rounds_total{outcome="complete",peer="asia"}'
        assert rounds in text
        assert 'meridian_digest_rows_total{peer="asia"}' in text
        (age,) = [
            line.split()[1]
            for line in text.splitlines()
            if line.startswith('meridian_digest_age_seconds{peer="asia"}')
        ]
        assert 0 < float(age) < 10


async def test_a_drop_that_no_log_has_any_more_ends_what_is_watched(world):
    async with Watched(world) as watched:
        name = watched.name
        await fault(world, "drop", 10**6)
        await watched.clients["asia"].drop(name)
        await asyncio.sleep(1.5)
        database = await world.regions["asia"].postgres.connect()
        await database.fetchval("SELECT drop_ranges($1)", 2**60)
        await database.close()
        await fault(world, "drop", 0)
        for region in FAR:
            for _ in range(200):
                try:
                    await watched.clients[region].describe(name)
                except ClientError as error:
                    assert error.code == "unknown_collection"
                    break
                await asyncio.sleep(0.1)
            else:
                raise AssertionError(region)
        _, pending = await asyncio.wait(watched.tasks, timeout=10)
        assert not pending
        for task in watched.tasks:
            assert task.exception().code == "unknown_collection"
