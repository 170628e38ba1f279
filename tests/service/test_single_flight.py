"""One look for all who ask at once."""

import asyncio

import pytest

from service.single_flight import SingleFlight


class Looks:
    """Looks that end when they are told to."""

    def __init__(self):
        self.begun: list[asyncio.Future] = []
        self.flight = SingleFlight(self._look)

    async def _look(self, key):
        self.begun.append(asyncio.get_running_loop().create_future())
        return await self.begun[-1]

    async def ask(self, key="a"):
        task = asyncio.create_task(self.flight.get(key))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return task


async def test_all_who_ask_at_once_share_a_look():
    looks = Looks()
    asked = [await looks.ask() for _ in range(5)]
    other = await looks.ask("b")
    assert len(looks.begun) == 2
    looks.begun[0].set_result(7)
    assert await asyncio.gather(*asked) == [7] * 5
    assert not other.done()
    looks.begun[1].set_result(8)
    assert await other == 8


async def test_an_answer_is_not_kept():
    looks = Looks()
    for n in range(2):
        asked = await looks.ask()
        looks.begun[n].set_result(n)
        assert await asked == n


async def test_nothing_answers_only_who_asked_before_the_look_began():
    looks = Looks()
    first, later, latest = [await looks.ask() for _ in range(3)]
    looks.begun[0].set_result(None)
    assert await first is None
    await asyncio.sleep(0.01)
    assert len(looks.begun) == 2
    looks.begun[1].set_result("made since")
    assert await later == await latest == "made since"


async def test_after_forget_a_look_begins_anew():
    looks = Looks()
    before = await looks.ask()
    looks.flight.forget("a")
    after = await looks.ask()
    looks.begun[0].set_result("old")
    assert await before == "old"
    joined = await looks.ask()
    assert len(looks.begun) == 2
    looks.begun[1].set_result("new")
    assert await after == await joined == "new"


async def test_an_error_reaches_all_and_the_next_looks_again():
    looks = Looks()
    asked = [await looks.ask() for _ in range(2)]
    looks.begun[0].set_exception(OSError("away"))
    for task in asked:
        with pytest.raises(OSError, match="away"):
            await task
    again = await looks.ask()
    looks.begun[1].set_result(1)
    assert await again == 1


async def test_who_goes_away_ends_nothing():
    looks = Looks()
    first, second = await looks.ask(), await looks.ask()
    first.cancel()
    await asyncio.sleep(0)
    looks.begun[0].set_result(3)
    assert await second == 3
    assert first.cancelled()
