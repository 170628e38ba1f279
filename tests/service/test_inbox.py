"""A lane of an inbox that stops for a reason nobody thought of."""

import asyncio
from types import SimpleNamespace

import pytest

from service.log.change import Change
from service.telemetry import Metrics
from service.worker.inbox import Inbox

KEY = ("b", 3)


class Feeder:
    """Keeps what it is given."""

    def __init__(self):
        self.fed = []

    async def feed(self, changes, _):
        self.fed += [change.seq for change in changes]


def change(seq):
    position = (*KEY, 1, seq, f"e{seq}")
    return Change(*position, "t", "c", "i", "delete", None, "{}", seq, "b", 1, 2)


@pytest.mark.asyncio
async def test_a_lane_that_stopped_says_so_and_is_begun_again(capfd):
    failures = [ValueError("a fault of the revision")]

    async def apply(_):
        if failures:
            raise failures.pop()

    settings = SimpleNamespace(hub="a", is_hub=True, region="a")
    feeder = Feeder()
    inbox = Inbox(settings, None, None, feeder, Metrics(), apply)
    inbox._lane(KEY).offer([change(1), change(2)])
    inbox._pump(KEY)
    repairing = asyncio.create_task(inbox.repair())
    async with asyncio.timeout(10):
        while feeder.fed != [1, 2]:
            await asyncio.sleep(0.02)
    repairing.cancel()
    told = "".join(capfd.readouterr())
    assert told.count("a lane stopped") == 1 and "a fault of the revision" in told
