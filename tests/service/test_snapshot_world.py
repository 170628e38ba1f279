"""Snapshots that real workers write, and instances that start from them."""

import base64
from dataclasses import replace

import aiohttp
import pytest
import pytest_asyncio

from service.log.change import lane_of
from service.snapshot.manifest import Manifest, folder, manifest_name
from tests.service.asking import fresh, until
from tests.service.conftest import LIMITS
from tests.service.drivers import Http
from tests.service.kernel_build import vectors
from tests.service.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

REGIONS = {"asia": "asia", "europe": "europe", "paris": "europe"}
DIMENSION = 8
ROWS = 60
EVERY = {"MERIDIAN_SNAPSHOT_SECONDS": "1", "MERIDIAN_SNAPSHOT_ROWS": "50"}
LOADED = 'meridian_load_seconds_count{{source="{}"}}'
AGE = "meridian_snapshot_age_seconds "
TENANT = "default"
DAMAGES = ["changed", "cut", "gone", "no manifest", "old", "part forgotten", "away"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory, template, cluster):
    parts = (tmp_path_factory.mktemp("snapshots"), template, cluster, REGIONS, LIMITS)
    made = World(*parts, **EVERY)
    await made.ready()
    yield made
    made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def session():
    async with aiohttp.ClientSession() as made:
        yield made


class Case:
    """A collection in one region, its snapshot, and instances that load it."""

    def __init__(self, world, session, region):
        self.region, self.session = world.regions[region], session
        self.store = f"http://127.0.0.1:{world.broker_port}/storage/v1/b"
        self.store += f"/snapshots-{region}/o"
        self.files = world.folder / "objects" / f"snapshots-{region}"
        self.driver = Http(self.region)
        self.name = fresh()
        self.key = (TENANT, self.name)
        self.token = None

    async def __aenter__(self):
        await self.driver.call("create_collection", name=self.name, dimension=DIMENSION)
        rows = vectors(3, ROWS, DIMENSION, "unit")
        await self.write("upsert", [item(n, rows[n]) for n in range(ROWS)])
        return self

    async def __aexit__(self, *_):
        await self.driver.close()

    async def write(self, operation, items):
        answer = await self.driver.call(operation, collection=self.name, items=items)
        assert not [r for r in answer["results"] if "error" in r], answer
        self.token = answer["token"]

    async def manifest(self):
        name = manifest_name(self.key).replace("/", "%2F")
        async with self.session.get(
            aiohttp.client.URL(f"{self.store}/{name}?alt=media", encoded=True)
        ) as answer:
            return Manifest.of(await answer.read()) if answer.status == 200 else None

    async def snapshot(self, rows=ROWS):
        """Waits for a snapshot with so many rows."""
        return await until(self.manifest, lambda m: m is not None and m.rows == rows)

    async def objects(self):
        async with self.session.get(self.store) as answer:
            found = (await answer.json())["items"]
        return {o["name"] for o in found if o["name"].startswith(folder(self.key))}

    async def loaded(self, token=None):
        """What a new instance finds, and where it had it from."""
        driver = Http(self.region)
        port = self.region.second_instance()["port"]
        driver.url = f"http://127.0.0.1:{port}"
        asked = {"consistency": "read_your_writes", "token": token or self.token}
        answer = await driver.call(
            "search", collection=self.name, vector=[1] * DIMENSION, k=200, **asked
        )
        async with driver.session.get(driver.url + "/metrics") as metrics:
            text = await metrics.text()
        await driver.close()
        values = dict(
            line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#"
        )
        (source,) = [
            s for s in ("snapshot", "database") if values.get(LOADED.format(s)) == "1.0"
        ]
        return answer["hits"], source

    async def known(self):
        """The same, of the instance that was there from the beginning."""
        answer = await self.driver.call(
            "search", collection=self.name, vector=[1] * DIMENSION, k=200
        )
        return answer["hits"]

    async def counted(self):
        """What the region's worker says of its snapshots, by outcome."""
        lines = await self.shown(self.region.worker["port"])
        name = 'meridian_snapshots_total{outcome="'
        found = [line.removeprefix(name) for line in lines if line.startswith(name)]
        values = dict(line.split('"} ') for line in found)
        return {o: float(values.get(o, 0)) for o in ("written", "kept")}

    async def shown(self, port):
        """Lines of a process's metrics."""
        async with self.session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            return (await answer.text()).splitlines()

    async def sql(self, query, *params):
        connection = await self.region.postgres.connect()
        try:
            return await connection.fetchval(query, *params)
        finally:
            await connection.close()


def item(number, row, **metadata):
    shown = {"n": number} | metadata
    return {"id": str(number), "vector": row.tolist(), "metadata": shown}


@pytest.mark.parametrize("region", ["asia", "paris"])
async def test_an_instance_starts_from_a_snapshot(world, session, region):
    """In a hub, and in a region whose database is a replica."""
    async with Case(world, session, region) as case:
        await case.snapshot()
        hits, source = await case.loaded()
        assert source == "snapshot" and len(hits) == ROWS
        assert hits == await case.known()


async def test_what_was_written_since_comes_from_the_log(world, session):
    async with Case(world, session, "asia") as case:
        before = await case.snapshot()
        # Nobody brings the snapshot up to date.
        case.region.kill("worker")
        try:
            rows = vectors(4, 3, DIMENSION, "unit")
            later = [item(7, rows[0], again=True), item(100, rows[1])]
            await case.write("upsert", later)
            await case.write("delete", [{"id": "8"}])
            await case.write("patch", [{"id": "9", "metadata": {"patched": 1}}])
            hits, source = await case.loaded()
            assert (await case.manifest()) == before
        finally:
            case.region.start_worker()
        assert source == "snapshot" and hits == await case.known()
        found = {hit["id"]: hit["metadata"] for hit in hits}
        assert len(found) == ROWS and "8" not in found and "100" in found
        assert found["7"]["again"] and found["9"]["patched"] == 1
        await until(case.manifest, lambda m: m.made > before.made)


async def test_what_nothing_was_written_to_keeps_its_parts(world, session):
    async with Case(world, session, "asia") as case:
        first = await case.snapshot()
        second = await until(case.manifest, lambda m: m.made > first.made)
        assert second.parts == first.parts and second.written == first.written
        # Another collection of the lane does not count.
        other = next(
            name
            for name in (fresh() for _ in range(1000))
            if lane_of(TENANT, name) == lane_of(*case.key)
        )
        await case.driver.call("create_collection", name=other, dimension=1)
        third = await until(
            case.manifest, lambda m: m.positions["asia"] > second.positions["asia"]
        )
        assert third.parts == first.parts
        await case.write("delete", [{"id": "1"}])
        fourth = await case.snapshot(ROWS - 1)
        assert not set(fourth.parts) & set(first.parts)
        # What no manifest names goes, a round later.
        names = {manifest_name(case.key)} | {part.name for part in fourth.parts}
        await until(case.objects, lambda found: found == names)


@pytest.mark.parametrize("how", DAMAGES)
async def test_a_snapshot_that_cannot_be_read_is_not_needed(world, session, how):
    async with Case(world, session, "asia") as case:
        made = await case.snapshot()
        case.region.kill("worker")
        try:
            await damage(case, made, how)
            hits, source = await case.loaded()
        finally:
            await away(world, session, 0)
            case.region.start_worker()
        assert source == "database" and hits == await case.known()
        assert len(hits) == ROWS


async def damage(case, made, how):
    about_manifest = how in ("no manifest", "old", "part forgotten")
    named = manifest_name(case.key) if about_manifest else made.parts[0].name
    file = case.files / base64.urlsafe_b64encode(named.encode()).decode()
    data = file.read_bytes()
    match how:
        case "old":
            before = made.made - 13 * 3_600_000
            file.write_bytes(replace(made, made=before).text())
        case "part forgotten":
            file.write_bytes(replace(made, parts=()).text())
        case "changed":
            file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        case "cut":
            file.write_bytes(data[:-4])
        case "gone":
            file.unlink()
        case "no manifest":
            file.write_bytes(b"{")
        case "away":
            await away(case.region.world, case.session, 1)


async def away(world, session, count):
    url = f"http://127.0.0.1:{world.broker_port}/away"
    async with session.post(url, json={"count": count}) as answer:
        assert answer.status == 200


async def test_a_repair_that_no_log_carries_is_found(world, session):
    async with Case(world, session, "asia") as case:
        await case.snapshot()
        case.region.kill("worker")
        try:
            merged = (
                "WITH row AS (UPDATE item SET at = at + 1, metadata = '{\"late\":1}' "
                "WHERE tenant = $1 AND collection = $2 AND id = '4' RETURNING *) "
                "INSERT INTO repaired (tenant, collection, id, made) "
                "SELECT tenant, collection, id, 0 FROM row RETURNING n"
            )
            assert await case.sql(merged, *case.key) > 0
            hits, source = await case.loaded()
        finally:
            case.region.start_worker()
        found = {hit["id"]: hit["metadata"] for hit in hits}
        assert source == "snapshot" and found["4"] == {"late": 1}


async def test_a_collection_made_anew_is_another_one(world, session):
    async with Case(world, session, "asia") as case:
        await case.snapshot()
        case.region.kill("worker")
        try:
            await case.driver.call("drop_collection", collection=case.name)
            await case.driver.call(
                "create_collection", name=case.name, dimension=DIMENSION
            )
            row = vectors(5, 1, DIMENSION, "unit")[0]
            await case.write("upsert", [item(1, row)])
            hits, source = await case.loaded()
        finally:
            case.region.start_worker()
        assert source == "database" and [hit["id"] for hit in hits] == ["1"]
        # It is too small for a snapshot, and that of its forerunner goes.
        await until(case.objects, lambda found: not found)


async def test_two_workers_write_one_snapshot(world, session):
    async with Case(world, session, "europe") as case:
        case.region.second_worker()
        first = await case.snapshot()
        for _ in range(3):
            second = await until(case.manifest, lambda m, f=first: m.made > f.made)
            assert second.parts == first.parts
            assert await case.objects() == {
                manifest_name(case.key),
                *(part.name for part in second.parts),
            }
            first = second


@pytest.mark.parametrize(("region", "other"), [("asia", "europe"), ("paris", "europe")])
async def test_one_worker_of_a_region_writes_at_a_time(world, session, region, other):
    """Whoever has the lock, which a replica grants too, is the only one."""
    lock = "pg_advisory{}lock(hashtextextended('meridian.snapshot', 0))"
    holder = await world.regions[region].postgres.connect()
    await holder.execute(f"SELECT {lock.format('_')}")
    async with Case(world, session, region) as case:
        # Another region's worker, which may, has written it twice meanwhile.
        elsewhere = Case(world, session, other)
        elsewhere.key = case.key
        first = await elsewhere.snapshot()
        await until(elsewhere.manifest, lambda m: m.made > first.made)
        await elsewhere.driver.close()
        assert await case.manifest() is None
        await holder.execute(f"SELECT {lock.format('_un')}")
        await case.snapshot()
    await holder.close()


@pytest.mark.parametrize("region", ["asia", "paris"])
async def test_a_worker_says_how_old_snapshots_are_and_nobody_else(
    world, session, region
):
    async with Case(world, session, region) as case:
        await case.snapshot()
        found = await case.shown(case.region.worker["port"])
        (age,) = [line for line in found if line.startswith(AGE)]
        assert float(age.removeprefix(AGE)) >= 0
        other = await case.shown(case.region.instance["port"])
        assert other and not [line for line in other if line.startswith(AGE)]


async def test_what_a_worker_did_is_counted(world, session):
    async with Case(world, session, "asia") as case:
        before = await case.counted()
        first = await case.snapshot()
        await until(case.manifest, lambda m: m.made > first.made)
        after = await until(case.counted, lambda c: c["kept"] > before["kept"])
        assert after["written"] > before["written"]


async def test_a_log_that_does_not_reach_back_is_not_enough(world, session):
    """The last test: other hubs go on over what the log has lost after a while only,
    and the lane of another test's collection may be one of those."""
    async with Case(world, session, "asia") as case:
        await case.snapshot()
        case.region.kill("worker")
        try:
            await case.write("delete", [{"id": "3"}])
            assert await case.sql("SELECT drop_ranges($1)", 2**62) > 0
            hits, source = await case.loaded()
        finally:
            case.region.start_worker()
        assert source == "database" and len(hits) == ROWS - 1
