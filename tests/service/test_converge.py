"""Hubs end with the same state, whatever order, delay, repetition and clocks.

A scheduler of steps that hypothesis draws: hubs commit (upserts, deletes, creations,
drops) with clocks that differ by up to five seconds, changes travel in any order, more
than once, or not for long, through the real functions of a real Postgres.
"""

import asyncio
import subprocess
import uuid

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.log.change import Position
from service.log.migrate import migrate
from service.log.reader import Reader
from service.worker.inbox import Applier
from tests.service.servers import Postgres

HUBS = 5
SKEW = 5000
LANE = 3
COMMIT = (
    "SELECT n, epoch, seq, at, refused FROM commit_changes($1, 'r', $2::smallint[], "
    "$3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[], "
    "$9::text[], $10::bigint[], $11::bigint[])"
)

hubs = st.integers(0, HUBS - 1)
writes = st.tuples(
    st.just("write"),
    hubs,
    st.lists(
        st.tuples(
            st.sampled_from(["upsert", "upsert", "delete"]), st.sampled_from("xyz")
        ),
        min_size=1,
        max_size=4,
    ),
)
defines = st.tuples(st.just("define"), hubs, st.sampled_from(["collection", "drop"]))
delivers = st.tuples(st.just("deliver"), hubs, hubs, st.integers(1, 6))
repeats = st.tuples(st.just("repeat"), hubs, hubs, st.integers(0, 20))
schedules = st.lists(
    st.one_of(writes, defines, defines, delivers, delivers, repeats),
    min_size=10,
    max_size=40,
)


class Log:
    """One hub's database."""

    def __init__(self, name, pool):
        self.name, self.pool = name, pool
        self.reader = Reader(pool)
        self.applier = Applier(pool)
        self.written = 0
        self.published = 0

    async def commit(self, ops):
        """A batch: (op, item, vector) each, in collection `c`."""
        n = len(ops)
        vectors = [v if op == "upsert" else None for op, _, v in ops]
        await self.pool.fetch(
            COMMIT,
            self.name,
            [LANE] * n,
            [uuid.uuid4().hex for _ in ops],
            ["t"] * n,
            ["c"] * n,
            [item for _, item, _ in ops],
            [op for op, _, _ in ops],
            vectors,
            ["{}"] * n,
            [1] * n,
            [None] * n,
        )
        self.written += n

    async def position(self, origin):
        found = await self.reader.positions(LANE)
        return found.get((origin, LANE), Position(1, 0))

    async def take(self, other, most):
        """Applies the next changes of another hub."""
        at = await self.position(other.name)
        changes = await other.reader.after(other.name, LANE, at, most)
        if changes:
            await self.applier.apply(changes)
        return len(changes)

    async def take_again(self, other, start):
        """Changes that came before, or a batch with a hole before it."""
        after = Position(1, start)
        changes = await other.reader.after(other.name, LANE, after, 3)
        if not changes:
            return
        at = await self.position(other.name)
        try:
            await self.applier.apply(changes)
        except asyncpg.PostgresError as error:
            assert error.sqlstate == "MD001"
            assert changes[0].seq > at.seq + 1

    async def state(self):
        """Everything that must be the same everywhere."""
        items = await self.pool.fetch(
            "SELECT tenant, collection, id, vector, metadata, at, origin, deleted "
            "FROM item ORDER BY 1, 2, 3"
        )
        made = await self.pool.fetch("SELECT * FROM creation ORDER BY 1, 2, 3, 4")
        gone = await self.pool.fetch("SELECT * FROM dropped ORDER BY 1, 2")
        now = await self.pool.fetch("SELECT tenant, name, at, origin FROM collection")
        log = await self.pool.fetch(
            "SELECT origin, epoch, seq, event_id, op, item_id, at FROM change "
            "ORDER BY 1, 2, 3"
        )
        return [[tuple(r) for r in rows] for rows in (items, made, gone, now, log)]


async def open_logs(postgres, skews):
    logs = []
    for n, skew in enumerate(skews):
        name = f"hub{n}"
        pool = await asyncpg.create_pool(
            host="127.0.0.1",
            port=postgres.port,
            user="meridian",
            database=name,
            min_size=1,
            max_size=1,
            server_settings={"meridian.skew_ms": str(skew)},
        )
        await pool.execute(
            "TRUNCATE item, creation, dropped, change, applied, published; "
            "UPDATE head SET seq = 0, clock = 0"
        )
        logs.append(Log(name, pool))
    return logs


async def run(postgres, skews, schedule):
    logs = await open_logs(postgres, skews)
    try:
        for number, step in enumerate(schedule):
            kind, hub = step[0], logs[step[1]]
            if kind == "write":
                vector = number.to_bytes(4, "little")
                await hub.commit([(op, item, vector) for op, item in step[2]])
            elif kind == "define":
                await hub.commit([(step[2], "", None)])
            elif step[1] != step[2]:
                other = logs[step[2]]
                if kind == "deliver":
                    await hub.take(other, step[3])
                else:
                    await hub.take_again(other, step[3])
        # The partition ends: everything arrives.
        for hub in logs:
            for other in logs:
                while hub is not other and await hub.take(other, 100):
                    pass
        states = [await log.state() for log in logs]
        written = sum(log.written for log in logs)
        return states, written
    finally:
        for log in logs:
            await log.pool.close()


@pytest.fixture(scope="module")
def postgres(tmp_path_factory, cluster):
    folder = tmp_path_factory.mktemp("converge")
    subprocess.run(["cp", "-a", str(cluster), str(folder / "data")], check=True)
    server = Postgres(folder / "data", folder / "log")
    server.start()

    async def prepare():
        admin = await server.connect()
        for n in range(HUBS):
            await admin.execute(f"CREATE DATABASE hub{n}")
        await admin.close()
        for n in range(HUBS):
            connection = await asyncpg.connect(
                host="127.0.0.1",
                port=server.port,
                user="meridian",
                database=f"hub{n}",
            )
            await migrate(connection, f"hub{n}")
            await connection.close()

    asyncio.run(prepare())
    yield server
    server.stop()


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(st.integers(-SKEW, SKEW), min_size=3, max_size=HUBS),
    schedules,
)
def test_every_hub_ends_with_the_same_state(postgres, skews, schedule):
    here = [
        step
        for step in schedule
        if step[1] < len(skews)
        and (step[0] in ("write", "define") or step[2] < len(skews))
    ]
    states, written = asyncio.run(run(postgres, skews, here))
    items, creations, dropped, collections, log = states[0]
    assert all(state == states[0] for state in states)
    # No echo: what a hub applied is not a change of its own.
    assert len(log) == written
    # No resurrection: the newest change of an item is what it is.
    newest = {}
    for origin, _, _, _, op, item, at in log:
        if op in ("upsert", "delete"):
            newest[item] = max(newest.get(item, (0, "", "")), (at, origin, op))
    for _, _, item, _, _, at, origin, deleted in items:
        op = "delete" if deleted else "upsert"
        assert newest[item] == (at, origin, op)
    assert {row[2] for row in items} == newest.keys()
    # The earliest creation above the latest drop is the collection.
    last = max((row[2] for row in dropped), default=0)
    alive = sorted((row[2], row[3]) for row in creations if row[2] > last)
    assert [(row[2], row[3]) for row in collections] == alive[:1]
