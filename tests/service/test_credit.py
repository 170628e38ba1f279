"""Flow control: a stream out of credit stops, and goes on without loss."""

import asyncio

import numpy
import pytest

from service.kernel import load
from service.log.change import START
from service.log.definition import Definition, Fields
from service.stream.lane import Collection, Lane
from service.stream.replay import Replay
from service.stream.standing import Stream
from service.telemetry import Metrics
from tests.service.test_order import change

pytestmark = pytest.mark.asyncio


class Slow:
    """A listener that takes `credit` matches and then no more."""

    def __init__(self, credit):
        self.credit = credit
        self.heard = []
        self.tokens = []

    @property
    def has_credit(self):
        return len(self.heard) < self.credit

    def deliver(self, stream, change, score, positions):
        self.heard.append((stream.id, change.seq))
        self.tokens.append(dict(positions))


class NoReader:
    """What is in memory needs no database."""

    async def after(self, *_):
        raise AssertionError("the log was read")

    async def events(self, *_):
        return []


async def test_a_stream_out_of_credit_stops_and_goes_on_where_it_stopped():
    kernel = load()
    parked = []
    lane = Lane(
        3,
        {"a": START, "b": START},
        Metrics(),
        lambda who, streams: parked.append((who, streams)),
        lambda _: None,
    )
    key = ("default", "c")
    fields = Fields(dimension=2, metric="dot")
    collection = Collection(Definition(*key, 3, 0, fields), kernel)
    lane.collections[key] = collection
    slow, quick = Slow(3), Slow(10**6)
    for listener, name in ((slow, "slow"), (quick, "quick")):
        one = numpy.array([1, 0], numpy.float32)
        collection.standing.add(Stream(name, key, 3, one, 0.5, 1, listener))
    lane.offer("a", [change(n) for n in range(1, 61)])
    assert slow.heard == [("slow", n) for n in (1, 2, 3)]
    assert quick.heard == [("quick", n) for n in range(1, 61)]
    ((who, streams),) = parked
    assert who is slow
    assert streams[0].positions["a"] == (1, 3)
    replay = Replay(lane, NoReader(), slow, kernel)
    replay.add(streams)
    await asyncio.sleep(0.1)
    assert len(slow.heard) == 3
    slow.credit = 10
    await asyncio.sleep(0.2)
    assert len(slow.heard) == 10
    lane.offer("b", [change(n, origin="b") for n in range(1, 6)])
    slow.credit = 10**6
    for _ in range(100):
        if len(collection.standing) == 2:
            break
        await asyncio.sleep(0.02)
    lane.offer("a", [change(61)])
    of_a = [("slow", n) for n in range(1, 62)]
    assert sorted(slow.heard) == sorted(of_a + [("slow", n) for n in range(1, 6)])
    assert slow.tokens[-1] == {"a": (1, 61), "b": (1, 5)}
    replay.close()
