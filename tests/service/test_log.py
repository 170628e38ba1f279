"""The log's SQL, on a real Postgres."""

import asyncio
import random

import pytest
import pytest_asyncio

from service.log.change import Change
from service.log.migrate import is_migrated, migrate
from service.log.reader import Reader
from service.worker.inbox import Applier

pytestmark = pytest.mark.asyncio

COMMIT = (
    "SELECT n, seq, at, repeated FROM commit_changes($1, 'r', $2::smallint[], "
    "$3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[], "
    "$9::text[], $10::bigint[])"
)


@pytest_asyncio.fixture
async def database(postgres):
    """A connection to an empty, migrated log."""
    connection = await postgres.connect()
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    assert not await is_migrated(connection)
    await migrate(connection, "a")
    assert await is_migrated(connection)
    yield connection
    await connection.close()


async def commit(connection, events, origin="a", lane=0, items=None, op="upsert"):
    n = len(events)
    items = items or [f"i-{e}" for e in events]
    return await connection.fetch(
        COMMIT,
        origin,
        [lane] * n,
        events,
        ["default"] * n,
        ["c"] * n,
        items,
        [op] * n,
        [b"\0\0\0\0"] * n,
        ["{}"] * n,
        [1] * n,
    )


async def test_migrating_again_and_at_once_is_harmless(postgres, database):
    connections = [await postgres.connect() for _ in range(3)]
    await asyncio.gather(*(migrate(c, "a") for c in connections))
    assert await database.fetchval("SELECT count(*) FROM head") == 16
    for connection in connections:
        await connection.close()


async def test_a_repeated_event_returns_the_same_change(database):
    first = await commit(database, ["x", "y", "x"])
    again = await commit(database, ["y", "x", "z"])
    assert [(r["seq"], r["repeated"]) for r in first] == [
        (1, False),
        (2, False),
        (1, True),
    ]
    assert [(r["seq"], r["repeated"]) for r in again] == [
        (2, True),
        (1, True),
        (3, False),
    ]
    assert again[0]["at"] == first[1]["at"]
    assert await database.fetchval("SELECT count(*) FROM change") == 3


async def test_the_last_write_of_an_item_in_a_batch_wins(database):
    rows = await commit(database, ["x", "y"], items=["same", "same"])
    row = await database.fetchrow("SELECT * FROM item")
    assert (row["event_id"], row["at"]) == ("y", rows[1]["at"])


async def test_the_clock_passes_what_another_hub_wrote(database):
    far = 2**52
    await apply(database, [change("b", 1, "same", at=far)])
    (row,) = await commit(database, ["x"], items=["same"])
    assert row["at"] > far
    assert await database.fetchval("SELECT origin FROM item") == "a"


def change(origin, seq, item, *, at, op="upsert"):
    position = (origin, 0, 1, seq, f"{origin}{seq}")
    vector = b"\0\0\0\0" if op == "upsert" else None
    return Change(*position, "default", "c", item, op, vector, "{}", at, origin, 1, 2)


async def apply(connection, changes):
    await Applier(connection).apply(changes)


async def test_applying_again_is_harmless_and_a_hole_is_refused(database):
    changes = [change("b", n, f"i{n}", at=n) for n in range(1, 6)]
    await apply(database, changes[:3])
    await apply(database, changes[:3])
    await apply(database, changes[1:4])
    with pytest.raises(Exception, match="hole"):
        await apply(database, [change("b", 9, "i9", at=9)])
    assert await database.fetchval("SELECT seq FROM applied") == 4
    assert await database.fetchval("SELECT count(*) FROM change") == 4


@pytest.mark.parametrize("seed", range(6))
async def test_hubs_converge_in_any_interleaving(database, seed):
    rng = random.Random(seed)
    logs = {
        o: [
            change(
                o,
                n,
                f"i{rng.randrange(4)}",
                at=rng.randrange(1, 12),
                op=rng.choice(["upsert", "upsert", "delete"]),
            )
            for n in range(1, 15)
        ]
        for o in "bcd"
    }
    states = []
    for _ in range(3):
        await database.execute("TRUNCATE item, applied, change")
        left = {o: list(log) for o, log in logs.items()}
        while any(left.values()):
            origin = rng.choice([o for o in left if left[o]])
            most = rng.randrange(1, 6)
            await apply(database, left[origin][:most])
            del left[origin][:most]
        rows = await database.fetch("SELECT id, at, origin, deleted FROM item")
        states.append(sorted(tuple(r) for r in rows))
    # Equal clocks of one origin and item do not occur in a real log.
    ties = {
        (c.origin, c.item_id, c.at)
        for log in logs.values()
        for c in log
        if [(d.item_id, d.at) for d in log].count((c.item_id, c.at)) > 1
    }
    plain = [
        [row for row in state if (row[2], row[0], row[1]) not in ties]
        for state in states
    ]
    assert plain[0] == plain[1] == plain[2]


async def test_old_ranges_go_and_a_slow_lane_goes_on(database):
    await commit(database, ["old"], lane=3)
    await database.execute("UPDATE change SET committed = 1")
    assert await database.fetchval("SELECT drop_ranges(2)") == 1
    assert await database.fetchval("SELECT count(*) FROM change") == 0
    (row,) = await commit(database, ["new"], lane=3)
    assert row["seq"] == 2
    assert await database.fetchval("SELECT drop_ranges(2)") == 0


async def test_an_event_is_known_over_the_hours_and_gone_with_its_own(database):
    (first,) = await commit(database, ["old"])
    await database.execute("SELECT ensure_hour(0)")
    await database.execute("UPDATE written SET hour = 1")
    (again,) = await commit(database, ["old"])
    assert (again["seq"], again["repeated"]) == (first["seq"], True)
    # The hours 0 and 1, and none that is not over.
    assert await database.fetchval("SELECT drop_hours(2 * 3600000)") == 2
    assert await database.fetchval("SELECT drop_hours(2 * 3600000)") == 0
    (anew,) = await commit(database, ["old"])
    assert (anew["seq"], anew["repeated"]) == (first["seq"] + 1, False)
    assert await database.fetchval("SELECT count(*) FROM written") == 1


async def test_what_an_event_made_is_found_without_reading_what_others_made(database):
    """Also by a connection that asked first while there was nothing."""
    await commit(database, ["first"])
    for start in range(0, 4000, 100):
        await commit(database, [str(n) for n in range(start, start + 100)])
    await database.execute("SELECT pg_stat_force_next_flush()")
    counted = "SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables"
    async with database.transaction():
        await commit(database, [f"new-{n}" for n in range(100)])
        read = await database.fetchval(counted)
    assert read < 1000, "a batch reads what it is about, not the log"


async def test_a_lane_grows_over_the_end_of_a_range(database):
    await database.execute("UPDATE head SET seq = 65530 WHERE lane = 5")
    await commit(database, [str(n) for n in range(20)], lane=5)
    seqs = await database.fetch("SELECT seq FROM change ORDER BY seq")
    assert [r[0] for r in seqs] == list(range(65531, 65551))
    reader = Reader(database)
    assert await reader.oldest("a", 5) == (1, 65531)


async def test_rows_of_a_dropped_collection_and_old_tombstones_are_swept(database):
    await commit(database, ["1", "2"], items=["x", "y"])
    await commit(database, ["3"], items=["y"], op="delete")
    await database.execute("UPDATE item SET collection = '~queries.c' WHERE id = 'x'")
    await commit(database, ["4"], items=["z"])
    young, old = 0, 2**62
    assert await database.fetchval("SELECT sweep_items($1, 10)", young) == 0
    assert await database.fetchval("SELECT sweep_items($1, 10)", old) == 1
    found = await database.fetch("SELECT id FROM item ORDER BY id")
    assert [row["id"] for row in found] == ["x", "z"]
    await commit(database, ["5"], items=[""], op="drop")
    await commit(database, ["6"], items=["after"])
    # A few at a time, until nothing is left to sweep.
    swept = [
        await database.fetchval("SELECT sweep_items($1, 1)", young) for _ in range(3)
    ]
    assert swept == [1, 1, 0]
    found = await database.fetch("SELECT id FROM item")
    assert [row["id"] for row in found] == ["after"]
