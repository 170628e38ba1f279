"""Who may write a log, and in which epoch: the SQL of it, on a real Postgres."""

import asyncpg
import pytest
import pytest_asyncio

from service.log.change import LANES, Position
from service.log.migrate import migrate
from service.log.reader import Reader
from service.log.streams import ask
from service.worker.inbox import Applier
from tests.service.test_log import commit

pytestmark = pytest.mark.asyncio

OTHER_TIMELINE = "UPDATE lineage SET timeline = '0000002A'"
"""As a promotion leaves it: the heads were counted on another one."""


@pytest_asyncio.fixture
async def database(postgres):
    connection = await postgres.connect()
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    assert await migrate(connection, "a") == "current"
    yield connection
    await connection.close()


async def begin(connection, announced=()):
    lanes = [lane for lane, _, _ in announced]
    epochs, seqs = [e for _, e, _ in announced], [s for _, _, s in announced]
    return await connection.fetchval(
        "SELECT begin_epoch('a', $1::smallint[], $2::integer[], $3::bigint[])",
        lanes,
        epochs,
        seqs,
    )


async def positions(connection, origin="a"):
    """Position by lane, of lanes that have come anywhere."""
    found = await Reader(connection).positions()
    return {n: tuple(p) for (o, n), p in found.items() if o == origin and p.seq}


async def test_a_server_of_another_timeline_writes_only_in_a_new_epoch(database):
    await commit(database, ["x", "y"])
    await database.execute(OTHER_TIMELINE)
    assert await ask(database, "heads", ["a"]) == []
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await commit(database, ["z"])
    for _ in range(2):
        assert await migrate(database, "a") == "succeeds"
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await commit(database, ["z"])
    assert await positions(database) == {0: (1, 2)}
    assert await begin(database) == 2
    # Until it has a change the epoch has come as far as the one before.
    assert await positions(database) == {0: (1, 2)}
    assert [r["seq"] for r in await commit(database, ["z", "w"])] == [1, 2]
    assert await positions(database) == {0: (2, 2)}
    assert await migrate(database, "a") == "current"
    assert await begin(database) is None
    order = await Reader(database).after("a", 0, Position(1, 0), 9)
    assert [tuple(c.position) for c in order] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert order[2].at > order[1].at


async def test_an_epoch_is_above_every_known_one_and_says_what_is_lost(database):
    await commit(database, ["x", "y"])
    await database.execute(OTHER_TIMELINE)
    await migrate(database, "a")
    assert await begin(database, [(0, 1, 7), (5, 3, 4), (6, 1, 0)]) == 4
    rows = await database.fetch(
        "SELECT lane, ended_epoch, ended_seq, announced_epoch, announced_seq "
        "FROM succession WHERE (announced_epoch, announced_seq) > "
        "(ended_epoch, ended_seq) ORDER BY lane"
    )
    assert [tuple(row) for row in rows] == [(0, 1, 2, 1, 7), (5, 1, 0, 3, 4)]


async def test_what_others_hold_is_taken_before_the_epoch_begins(postgres, database):
    await commit(database, ["x", "y"])
    await database.execute(OTHER_TIMELINE)
    await migrate(database, "a")
    lost = await Reader(database).after("a", 0, Position(1, 1), 9)
    await database.execute("DELETE FROM change WHERE seq = 2")
    await database.execute("UPDATE applied SET seq = 1 WHERE lane = 0")
    pool = await asyncpg.create_pool(
        host="127.0.0.1", port=postgres.port, user="meridian", database="postgres"
    )
    await Applier(pool).apply(lost)
    assert await positions(database) == {0: (1, 2)}
    await begin(database)
    again = await commit(database, ["y"])
    assert [r["repeated"] for r in again] == [True]
    # A second worker that still fetches comes too late, and changes nothing.
    with pytest.raises(asyncpg.PostgresError, match="is led here"):
        await Applier(pool).apply(lost)
    await pool.close()
    assert await positions(database) == {0: (1, 2)}
    assert await database.fetchval("SELECT count(*) FROM applied") == 0


async def test_only_a_later_epoch_fences_and_then_nothing_is_written(database):
    await commit(database, ["x"])
    assert not await database.fetchval("SELECT fence('a', 1)")
    await commit(database, ["y"])
    assert len(await ask(database, "heads", ["a"])) == LANES
    assert await database.fetchval("SELECT fence('a', 2)")
    # Where its log ends is no longer for this server to say.
    assert await ask(database, "heads", ["a"]) == []
    assert not await database.fetchval("SELECT fence('a', 2)")
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await commit(database, ["z"])
    assert await migrate(database, "a") == "fenced"


async def test_a_copy_that_becomes_a_hub_of_its_own_follows_what_it_copied(database):
    await commit(database, ["x", "y"])
    assert await migrate(database, "b") == "current"
    assert await positions(database) == {0: (1, 2)}
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await database.execute("UPDATE lineage SET timeline = 'x'")
        await commit(database, ["z"], origin="b")
    await database.execute("UPDATE lineage SET timeline = timeline()")
    assert [r["seq"] for r in await commit(database, ["z"], origin="b")] == [1]
    assert await database.fetchval("SELECT count(*) FROM head") == 16
