"""Whether a server's log still holds all that came after a moment."""

import pytest
import pytest_asyncio

from service.log.change import START, Position
from service.log.migrate import migrate
from service.log.view import View
from tests.service.test_log import commit

pytestmark = pytest.mark.asyncio
LANE = 3


@pytest_asyncio.fixture
async def connection(postgres):
    made = await postgres.connect()
    await migrate(made, "asia")
    yield made
    await made.close()


async def reached(connection):
    return (await View(connection).positions(LANE))["asia"]


async def test_what_it_says_of_positions(connection):
    view = View(connection)

    async def back(epoch, seq):
        return await view.reaches_back(LANE, {"asia": Position(epoch, seq)})

    for n in range(3):
        await commit(connection, [f"e{n}"], origin="asia", lane=LANE)
    here = await reached(connection)
    assert here == (1, 3)
    assert [await back(1, seq) for seq in range(4)] == [True] * 4
    assert await view.reaches_back(LANE, {})
    # It stands before that: what lies between is in no log of it.
    assert not await back(1, 4)
    assert not await back(2, 1)
    await connection.execute("SELECT drop_ranges($1)", 2**62)
    assert [await back(1, seq) for seq in range(4)] == [False, False, False, True]
    assert not await view.reaches_back(LANE, {"asia": START})
    # Of a lane of which nothing was ever written nothing is missing.
    assert await view.reaches_back(LANE + 1, {})


async def test_an_epoch_that_began_since_says_no(connection):
    view = View(connection)
    since = {"asia": await reached(connection)}
    assert await view.reaches_back(LANE, since)
    await connection.execute(
        "UPDATE head SET epoch = epoch + 1, seq = 0 WHERE lane = $1", LANE
    )
    await commit(connection, ["next"], origin="asia", lane=LANE)
    assert (await reached(connection)).seq == 1
    assert not await view.reaches_back(LANE, since)
