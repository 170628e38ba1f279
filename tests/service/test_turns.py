"""Short work in the event loop: one piece in each of its turns where many want it."""

import asyncio

import pytest

from service.contract import ServiceError
from service.stream.threads import Turns


async def test_alone_it_runs_at_once():
    waited: list[float] = []
    turns = Turns(waited.append)
    assert await turns.run(lambda: 7, 1.0) == 7
    await asyncio.sleep(0)
    assert await turns.run(lambda: 8, 1.0) == 8
    assert waited == [0.0, 0.0]


async def test_many_run_in_the_order_of_their_asking_and_others_get_in_between():
    order: list[object] = []
    waited: list[float] = []
    turns = Turns(waited.append)

    async def other():
        while len(order) < 20:
            order.append("other")
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    asked = [
        asyncio.create_task(turns.run(lambda n=n: order.append(n), 10.0))
        for n in range(5)
    ]
    await asyncio.gather(*asked)
    await beside
    assert [n for n in order if n != "other"] == [0, 1, 2, 3, 4]
    for n in range(1, 4):
        assert "other" in order[order.index(n) : order.index(n + 1)]
    assert waited[0] == 0.0
    assert all(seconds > 0 for seconds in waited[1:])


async def test_what_comes_too_late_never_runs():
    ran: list[int] = []
    turns = Turns(lambda _: None)
    first = asyncio.create_task(turns.run(lambda: ran.append(1), 1.0))
    late = asyncio.create_task(turns.run(lambda: ran.append(2), 0.0))
    last = asyncio.create_task(turns.run(lambda: ran.append(3), 1.0))
    with pytest.raises(ServiceError) as refused:
        await late
    await asyncio.gather(first, last)
    assert (ran, refused.value.code) == ([1, 3], "deadline_exceeded")


async def test_an_error_and_one_who_goes_away_hold_up_nobody():
    turns = Turns(lambda _: None)

    def fail():
        raise ValueError("no")

    asked = [asyncio.create_task(turns.run(fail, 1.0))]
    asked += [asyncio.create_task(turns.run(lambda n=n: n, 1.0)) for n in range(4)]
    await asyncio.sleep(0)
    asked[2].cancel()  # while it waits
    done = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 5)
    assert isinstance(done[0], ValueError)
    assert isinstance(done[2], asyncio.CancelledError)
    assert [done[n] for n in (1, 3, 4)] == [0, 2, 3]


async def test_one_who_goes_away_when_it_is_its_turn_passes_it_on():
    turns = Turns(lambda _: None)
    first = asyncio.create_task(turns.run(lambda: 1, 1.0))
    granted = asyncio.create_task(turns.run(lambda: 2, 1.0))
    last = asyncio.create_task(turns.run(lambda: 3, 1.0))
    await first
    while not turns._queue or len(turns._queue) > 1:
        await asyncio.sleep(0)
    granted.cancel()  # its turn has been given to it, it has not run yet
    assert await asyncio.wait_for(last, 5) == 3
    assert granted.cancelled() or granted.result() == 2
