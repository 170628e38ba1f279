"""Waiting for all writes of a request; looking after all connections."""

import asyncio
import gc
from types import SimpleNamespace

import pytest

from service.log.writing import _settled
from service.stream.server import watch_over


async def test_a_failed_write_leaves_the_others_to_be_waited_for():
    first, second, third = futures = [asyncio.Future() for _ in range(3)]
    waiting = asyncio.create_task(_settled(futures))
    second.set_exception(ValueError("no"))
    third.set_result(3)
    await asyncio.sleep(0)
    assert not waiting.done()
    first.set_result(1)
    await asyncio.wait_for(waiting, 5)
    assert (first.result(), third.result()) == (1, 3)
    with pytest.raises(ValueError, match="no"):
        second.result()


async def test_who_goes_away_waits_for_no_write_and_nothing_is_logged():
    told = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context["message"]))
    open_, failed = futures = [asyncio.Future() for _ in range(2)]
    waiting = asyncio.create_task(_settled(futures))
    await asyncio.sleep(0)
    failed.set_exception(ValueError("no"))
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert open_.cancelled()
    # What was looked at by nobody is told when it is forgotten.
    del waiting, futures, failed
    gc.collect()
    assert told == []


class Connection:
    def __init__(self, *, fails):
        self.context = SimpleNamespace(caller=None)
        self.fails, self.timed, self.was_cut = fails, 0, 0

    def hold(self, may):
        if self.fails:
            raise KeyError("a fault")

    def close_windows(self, now):
        pass

    def keep_time(self, now):
        self.timed += 1

    def cut(self):
        self.was_cut += 1


async def test_a_connection_that_fails_is_cut_and_holds_up_no_other(capsys):
    values = {"batch_window_ms": 0.0}
    access = SimpleNamespace(
        knobs=SimpleNamespace(values=lambda: values), may_hold=lambda *_: True
    )
    instance = SimpleNamespace(access=access, lanes=SimpleNamespace(window=1.0))
    bad, good = Connection(fails=True), Connection(fails=False)
    watching = asyncio.create_task(watch_over(instance, [bad, good]))
    while not good.timed:
        await asyncio.sleep(0.01)
        assert not watching.done()
    watching.cancel()
    assert (bad.timed, bad.was_cut, good.was_cut) == (0, 1, 0)
    assert instance.lanes.window == 0.0
    assert '"error":"KeyError"' in capsys.readouterr().out
