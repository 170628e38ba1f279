"""Several workers of a region: one is active, the others stand by."""

import asyncio
import contextlib
import os
import re
import signal

import aiohttp
import pytest
import pytest_asyncio

from dashboards.world import world_alerts
from service.client import Client, Query
from service.telemetry import Metrics
from service.worker.standby import Standby
from tests.service.access_parts import no_token, settings, start_postgres
from tests.service.asking import fresh
from tests.service.conftest import LIMITS
from tests.service.world import World
from topology import load, make_plan

pytestmark = pytest.mark.asyncio(loop_scope="module")

REGIONS = {"asia": "asia", "europe": "europe", "paris": "europe"}
QUERY = [1.0, 0.0, 0.0, 0.0]
WRITES = 60


class Worker:
    """One of several at a server, as far as it is active or stands by."""

    def __init__(self, server):
        self.metrics = Metrics()
        self.standby = Standby(
            settings(server.address, "postgres", "a"), no_token, self.metrics
        )
        self.terms = 0
        self.working = False
        self.broken = asyncio.Event()
        self.task = asyncio.create_task(self.standby.run(self._work))

    async def _work(self):
        self.terms += 1
        self.working = True
        try:
            await self.broken.wait()
            raise RuntimeError("broken")
        finally:
            self.working = False

    async def end(self):
        self.task.cancel()
        await asyncio.wait([self.task])


async def settled(workers, seconds=15):
    """The only one that works, once there is one."""
    async with asyncio.timeout(seconds):
        while sum(w.working for w in workers) != 1:
            await asyncio.sleep(0.02)
    (active,) = (w for w in workers if w.working)
    return active


@pytest.fixture
def server(tmp_path, cluster):
    tmp_path.chmod(0o755)
    made = start_postgres(tmp_path, cluster)
    yield made
    made.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def workers(server):
    made = [Worker(server) for _ in range(3)]
    yield made
    for worker in made:
        await worker.end()


async def test_one_of_three_works_and_says_so(workers):
    active = await settled(workers)
    await asyncio.sleep(1.5)
    assert [w.working for w in workers] == [w is active for w in workers]
    told = [w.metrics.worker_active._value.get() for w in workers]
    assert told == [float(w is active) for w in workers]


async def test_the_next_one_works_at_once_when_one_ends(workers):
    active = await settled(workers)
    await active.end()
    assert not active.working
    assert await settled([w for w in workers if w is not active], 3)


async def test_who_loses_its_session_goes_on_or_yields_but_never_both(workers, server):
    active = await settled(workers)
    connection = await server.connect()
    ended = await connection.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_locks "
        "WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()"
    )
    await connection.close()
    assert ended == 1
    await asyncio.sleep(5)
    await settled(workers)
    assert sum(w.terms for w in workers) == 1 + (not active.working)


async def test_while_the_server_is_away_the_active_one_goes_on(workers, server):
    active = await settled(workers)
    server.kill()
    await asyncio.sleep(3)
    assert [w for w in workers if w.working] == [active]
    server.start()
    await asyncio.sleep(4)
    await settled(workers)


async def test_work_that_fails_ends_its_worker_and_another_one_works(workers):
    active = await settled(workers)
    active.broken.set()
    with pytest.raises(RuntimeError, match="broken"):
        await active.task
    assert await settled([w for w in workers if w is not active], 3)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory, template, cluster):
    made = World(tmp_path_factory.mktemp("standby"), template, cluster, REGIONS, LIMITS)
    await made.ready()
    for region in made.regions.values():
        for _ in range(2):
            region.second_worker()
    yield made
    made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def session():
    async with aiohttp.ClientSession() as made:
        yield made


async def metric(session, part, name):
    """Sum of a worker's values; 0 of one that does not answer."""
    with contextlib.suppress(aiohttp.ClientError, asyncio.TimeoutError):
        url = f"http://127.0.0.1:{part['port']}/metrics"
        async with session.get(url, timeout=aiohttp.ClientTimeout(1)) as answer:
            lines = (await answer.text()).splitlines()
        return sum(float(x.rsplit(" ", 1)[1]) for x in lines if x.startswith(name))
    return 0.0


async def active_of(session, region, but=None, seconds=25):
    """The worker of a region that is active, once there is one beside `but`."""
    async with asyncio.timeout(seconds):
        while True:
            for part in (region.worker, *region.others):
                if part is but:
                    continue
                if await metric(session, part, "meridian_worker_active ") == 1:
                    return part
            await asyncio.sleep(0.1)


class Watch:
    """What a region tells of a collection's matches."""

    def __init__(self, region, name):
        self.region, self.name = region, name
        self.heard = []
        self.task = asyncio.create_task(self._follow())

    async def _follow(self):
        query = Query(stream="s", collection=self.name, vector=QUERY, threshold=0.5)
        async with Client(self.region.url) as client:
            async for match in client.watch([query], "websocket"):
                self.heard.append(match.id)

    async def all_of(self, ids):
        async with asyncio.timeout(30):
            while len(self.heard) < len(ids):
                await asyncio.sleep(0.05)
        self.task.cancel()
        assert sorted(self.heard) == sorted(ids)


@contextlib.asynccontextmanager
async def watched(world, *regions):
    """A collection, and watches of it in regions."""
    name = fresh()
    async with Client(world.regions["asia"].url) as client:
        await client.create(name, dimension=len(QUERY))
        await asyncio.sleep(2)
        watches = [Watch(world.regions[region], name) for region in regions]
        await asyncio.sleep(1)
        yield client, name, watches
        for watch in watches:
            watch.task.cancel()


async def write(client, name, ids, pause=0.02):
    for item in ids:
        await client.put(name, [{"id": item, "vector": QUERY}])
        await asyncio.sleep(pause)


async def published(session, world):
    url = f"http://127.0.0.1:{world.broker_port}/published"
    async with session.get(url) as answer:
        return (await answer.json()).get("asia", 0)


async def test_changes_are_published_once_and_asked_for_by_nobody(world, session):
    ids = [f"i{n}" for n in range(WRITES)]
    parts = [p for r in world.regions.values() for p in (r.worker, *r.others)]
    for region in world.regions.values():
        await active_of(session, region)
    async with watched(world, "europe", "paris") as (client, name, watches):
        before = await published(session, world)
        asked = [await metric(session, p, "meridian_repairs_total") for p in parts]
        await write(client, name, ids)
        for watch in watches:
            await watch.all_of(ids)
        after = [await metric(session, p, "meridian_repairs_total") for p in parts]
        assert await published(session, world) - before == WRITES
        assert after == asked


@pytest.mark.parametrize("name", ["europe", "paris", "asia"])
async def test_another_takes_over_when_the_active_one_is_killed(world, session, name):
    region = world.regions[name]
    active = await active_of(session, region)
    ids = [f"{name}{n}" for n in range(WRITES)]
    async with watched(world, "europe", "paris") as (client, collection, watches):
        writing = asyncio.create_task(write(client, collection, ids))
        await asyncio.sleep(0.4)
        os.kill(active["pid"], signal.SIGKILL)
        assert await active_of(session, region, but=active, seconds=5)
        await writing
        for watch in watches:
            await watch.all_of(ids)
    region.others = [p for p in region.others if p is not active]
    region.second_worker()


async def test_a_frozen_one_is_replaced_and_stands_by_afterwards(world, session):
    region = world.regions["europe"]
    active = await active_of(session, region)
    ids = [f"f{n}" for n in range(WRITES)]
    async with watched(world, "europe", "paris") as (client, collection, watches):
        os.kill(active["pid"], signal.SIGSTOP)
        try:
            await write(client, collection, ids)
            assert await active_of(session, region, but=active)
            for watch in watches:
                await watch.all_of(ids)
        finally:
            os.kill(active["pid"], signal.SIGCONT)
        async with asyncio.timeout(10):
            while await metric(session, active, "meridian_worker_active "):
                await asyncio.sleep(0.1)


async def shown(session, region, name):
    """A metric's values, of all processes of a region that answer."""
    found = []
    for part in (region.instance, region.worker, *region.others):
        with contextlib.suppress(aiohttp.ClientError):
            url = f"http://127.0.0.1:{part['port']}/metrics"
            async with session.get(url) as answer:
                assert answer.headers["Content-Type"].startswith("text/plain;"), part
                text = await answer.text()
            found += map(float, re.findall(rf"^{name} (\S+)$", text, re.M))
    return found


async def test_a_region_without_a_worker_is_seen_by_its_alert(world, session):
    query = world_alerts(make_plan(load("prod")))["worker-missing"].query
    asked = re.fullmatch(r"max by \(region\) \((\w+)\) < (\d+)", query)
    name, least = asked[1], float(asked[2])
    region = world.regions["paris"]
    await active_of(session, region)
    assert max(await shown(session, region, name)) >= least
    for part in (region.worker, *region.others):
        with contextlib.suppress(ProcessLookupError):
            os.kill(part["pid"], signal.SIGKILL)
    region.others = []
    async with asyncio.timeout(5):
        while len(values := await shown(session, region, name)) > 1:
            await asyncio.sleep(0.1)
    assert max(values) < least, "what is not shown fires no alert"
