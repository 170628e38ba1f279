"""kill -9 under a writer: nothing acknowledged is lost, nothing told twice."""

import asyncio
import contextlib
import math
import os
import signal
import uuid
from pathlib import Path

import aiohttp
import pytest

from service.client import Client, ClientError, Query
from tests.service.world import wait_ready

pytestmark = pytest.mark.asyncio

THRESHOLD = 0.8


class Round:
    """Writers in asia and paris, watchers in every region, one fault, a ledger."""

    def __init__(self, world, name):
        self.world = world
        self.name = name
        self.ledger: dict[str, bool] = {}
        self.stopping = False
        self.clients = {n: Client(r.url, deadline=25) for n, r in world.regions.items()}
        query = Query(stream="s", collection=name, vector=[1, 0], threshold=THRESHOLD)
        self.watching = {n: c.watch([query]) for n, c in self.clients.items()}
        self.heard: dict[str, list[str]] = {n: [] for n in self.clients}

    async def write(self, region):
        client = self.clients[region]
        n = 0
        while not self.stopping:
            angle = n * 0.37
            n += 1
            event = f"{region}-{self.name}-{n}"
            item = {
                "id": f"{region}{n % 50}",
                "vector": [math.cos(angle), math.sin(angle)],
                "event_id": event,
            }
            with contextlib.suppress(ClientError, aiohttp.ClientError, OSError):
                (result,) = await client.put(self.name, [item])
                if "error" not in result:
                    self.ledger[event] = math.cos(angle) >= THRESHOLD
            await asyncio.sleep(0.02)

    async def listen(self, region):
        async for match in self.watching[region]:
            self.heard[region].append(match.event_id)

    async def run(self, fault):
        for one in self.watching.values():
            await one.ready()
        work = [asyncio.create_task(self.write(r)) for r in ("asia", "paris")]
        work += [asyncio.create_task(self.listen(r)) for r in self.watching]
        await self.acknowledged(5)
        await fault(self)
        await self.acknowledged(len(self.expected) + 5)
        self.stopping = True
        await asyncio.gather(*work[:2])
        await self.settle()
        for task in work[2:]:
            task.cancel()
        for one in self.watching.values():
            await one.close()
        for client in self.clients.values():
            await client.close()

    @property
    def expected(self):
        """Acknowledged writes that match."""
        return {event for event, matches in self.ledger.items() if matches}

    async def acknowledged(self, count):
        """Waits until so many writes that match are acknowledged."""
        for _ in range(1200):
            if len(self.expected) >= count:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{len(self.expected)} of {count} after a minute")

    async def settle(self):
        """Waits for what must come, then a little for what must not."""
        expected = self.expected
        for _ in range(300):
            if all(expected <= set(heard) for heard in self.heard.values()):
                break
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)

    def judge(self):
        expected = self.expected
        assert len(expected) > 5
        for region, heard in self.heard.items():
            missing = expected - set(heard)
            logs = [
                (r.folder / f"{part}.log").read_text()[-1500:]
                for r in self.world.regions.values()
                for part in ("instance", "worker")
            ]
            assert not missing, (region, len(missing), len(expected), logs)
            assert len(heard) == len(set(heard))
            assert self.watching[region].repeats == 0, region
            assert self.watching[region].gaps == []
            silent = {e for e, matches in self.ledger.items() if not matches}
            assert not silent & set(heard)


@pytest.fixture
def fresh():
    return f"c{uuid.uuid4().hex[:12]}"


async def collection(world, name):
    async with Client(world.regions["asia"].url) as client:
        await client.create(name, dimension=2)
    for region in world.regions.values():
        async with Client(region.url) as client:
            for _ in range(400):
                with contextlib.suppress(ClientError):
                    await client.describe(name)
                    break
                await asyncio.sleep(0.02)


async def instance_of_asia(round_):
    region = round_.world.regions["asia"]
    region.kill("instance")
    await asyncio.sleep(0.2)
    region.start_instance()
    round_.clients["asia"]._urls[:] = [region.url]


async def instance_of_paris(round_):
    region = round_.world.regions["paris"]
    region.kill("instance")
    region.start_instance()
    round_.clients["paris"]._urls[:] = [region.url]


async def worker_of_asia(round_):
    region = round_.world.regions["asia"]
    region.kill("worker")
    await asyncio.sleep(0.5)
    region.start_worker()


async def worker_of_paris(round_):
    region = round_.world.regions["paris"]
    region.kill("worker")
    await asyncio.sleep(0.5)
    region.start_worker()


async def primary_of_asia(round_):
    postgres = round_.world.regions["asia"].postgres
    postgres.kill()
    await asyncio.sleep(0.5)
    await asyncio.to_thread(postgres.start)


async def primary_of_europe(round_):
    postgres = round_.world.regions["europe"].postgres
    postgres.kill()
    await asyncio.sleep(0.5)
    await asyncio.to_thread(postgres.start)


async def replica_of_paris(round_):
    postgres = round_.world.regions["paris"].postgres
    postgres.kill()
    await asyncio.sleep(0.5)
    await asyncio.to_thread(postgres.start)


async def redis_of_every_region(round_):
    for region in round_.world.regions.values():
        region.redis.wipe()


async def frozen_redis_of_paris(round_):
    child = round_.world.regions["paris"].redis.process.child
    child.send_signal(signal.SIGSTOP)
    await asyncio.sleep(3)
    child.send_signal(signal.SIGCONT)


async def frozen_worker_of_europe(round_):
    pid = round_.world.regions["europe"].worker["pid"]
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(2)
    os.kill(pid, signal.SIGCONT)


async def whole_region_of_asia(round_):
    region = round_.world.regions["asia"]
    region.kill("instance")
    region.kill("worker")
    region.postgres.kill()
    region.redis.process.kill()
    await asyncio.sleep(0.5)
    await asyncio.to_thread(region.postgres.start)
    region.redis.start()
    region.start_worker()
    region.start_instance()
    round_.clients["asia"]._urls[:] = [region.url]


FAULTS = [
    instance_of_asia,
    instance_of_paris,
    worker_of_asia,
    worker_of_paris,
    primary_of_asia,
    primary_of_europe,
    replica_of_paris,
    redis_of_every_region,
    frozen_redis_of_paris,
    frozen_worker_of_europe,
    whole_region_of_asia,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
async def test_no_write_is_lost_and_no_match_missing_or_doubled(world, fresh, fault):
    for region in world.regions.values():
        connection = await region.postgres.connect()
        assert await connection.fetchval("SHOW fsync") == "on"
        await connection.close()
    await collection(world, fresh)
    judged = Round(world, fresh)
    await judged.run(fault)
    judged.judge()
    await world.ready()


async def test_a_write_moves_to_the_other_hub_while_its_primary_is_away(world, fresh):
    await collection(world, fresh)
    asia, europe = world.regions["asia"], world.regions["europe"]
    asia.postgres.kill()
    try:
        body = {"items": [{"id": "a", "vector": [1, 0], "event_id": f"e-{fresh}"}]}
        path = f"/v1/collections/{fresh}/items:upsert"
        async with aiohttp.ClientSession() as session:
            async with session.post(asia.url + path, json=body) as answer:
                assert answer.status == 503
                assert answer.headers["x-meridian-retry"] == "elsewhere"
                assert (await answer.json())["error"]["code"] == "unavailable"
            async with session.post(europe.url + path, json=body) as answer:
                assert answer.status == 200
    finally:
        await asyncio.to_thread(asia.postgres.start)
    await world.ready()
    async with Client(asia.url) as client:
        for _ in range(200):
            if await client.search(fresh, vector=[1, 0]):
                break
            await asyncio.sleep(0.05)
        assert (await client.get(fresh, "a"))["origin"] == "europe"


async def test_a_cell_serves_degraded_without_its_primary_and_says_when_it_is_back(
    world, fresh
):
    await collection(world, fresh)
    europe, paris = world.regions["europe"], world.regions["paris"]
    await world.ready()

    async def state(session):
        async with session.get(paris.url + "/health/ready") as answer:
            return answer.status, (await answer.json())["status"]

    path = f"/v1/collections/{fresh}"
    body = {"items": [{"id": "a", "vector": [1, 0]}]}
    async with aiohttp.ClientSession() as session:
        europe.postgres.kill()
        try:
            async with session.post(paris.url + path + "/items:upsert", json=body) as a:
                assert a.status == 503
            async with session.post(
                paris.url + path + ":search", json={"vector": [1, 0]}
            ) as answer:
                assert answer.status == 200
            assert await state(session) == (200, "degraded")
        finally:
            await asyncio.to_thread(europe.postgres.start)
        for _ in range(100):
            if await state(session) == (200, "ok"):
                return
            await asyncio.sleep(0.1)
    raise AssertionError("still degraded")


async def test_an_instance_says_that_its_redis_is_away(world, tmp_path: Path):
    region = world.regions["paris"]
    region.redis.process.kill()
    try:
        async with aiohttp.ClientSession() as session:
            for _ in range(200):
                async with session.get(region.url + "/health/ready") as answer:
                    body = await answer.json()
                if answer.status == 503:
                    break
                await asyncio.sleep(0.1)
            assert body["reasons"] == ["redis is away"]
    finally:
        region.redis.start()
    async with aiohttp.ClientSession() as session:
        await wait_ready(session, region)
