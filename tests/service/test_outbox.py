"""What a connection still has to send: by a carrier, or read as it is sent."""

import asyncio

import orjson
import pytest
from prometheus_client import Counter
from websockets.frames import Frame, Opcode

from service.stream import timing
from service.stream.outbox import CREDIT_BYTES, TOGETHER_BYTES, Outbox
from service.stream.timing import AGES, GRACE, HEARTBEAT, Timing
from service.tracing import Spans
from service.transport.frames import Events, Flag, text_frame


class Link:
    """A carrier that takes as many messages as it is told."""

    def __init__(self, takes: int):
        self.takes, self.taken, self.aborted = takes, [], False

    def take(self, data: bytes) -> bool:
        if len(self.taken) >= self.takes:
            return False
        self.taken.append(orjson.loads(data)["n"])
        return True

    def abort(self) -> None:
        self.aborted = True


class Told(Spans):
    """Keeps every span's name instead of sending it."""

    def __init__(self):
        super().__init__(Counter("spans", "", ("outcome",), registry=None))
        self._below = 2**64
        self.notified: list[str] = []

    def change(self, name, event_ids, *rest):
        self.notified += event_ids


async def carried(takes):
    outbox, link = Outbox(orjson.dumps, Told()), Link(takes)
    task = asyncio.create_task(asyncio.sleep(60))
    outbox.carried(task, link)
    return outbox, link, task


async def test_a_carrier_gets_messages_at_once_and_the_rest_in_order():
    outbox, link, task = await carried(2)
    for n in range(4):
        outbox.queue({"n": n})
    assert link.taken == [0, 1]
    link.takes = 3
    outbox.flush()
    assert link.taken == [0, 1, 2]
    outbox.queue({"n": 4})  # behind the one that waits, though there were room
    link.takes = 9
    outbox.queue({"n": 5})
    assert link.taken == [0, 1, 2]
    outbox.flush()
    assert link.taken == [0, 1, 2, 3, 4, 5]
    outbox.queue({"n": 6})
    assert link.taken[-1] == 6
    task.cancel()


async def test_a_carrier_that_asks_again_while_it_takes_gets_nothing_twice():
    outbox, link, task = await carried(0)
    for n in range(4):
        outbox.queue({"n": n})
    take = link.take

    def take_and_ask(data):
        took = take(data)
        outbox.flush()
        return took

    link.take, link.takes = take_and_ask, 3
    outbox.flush()
    assert link.taken == [0, 1, 2]
    link.takes = 9
    outbox.flush()
    assert link.taken == [0, 1, 2, 3]
    task.cancel()


async def test_credit_counts_what_was_not_taken():
    outbox, link, task = await carried(1)
    outbox.queue({"n": 0, "text": "x" * CREDIT_BYTES})
    assert outbox.has_credit
    outbox.queue({"n": 1, "text": "x" * CREDIT_BYTES})
    assert not outbox.has_credit
    link.takes = 2
    outbox.flush()
    assert outbox.has_credit
    task.cancel()


async def test_the_end_comes_after_the_last_message():
    outbox, link, task = await carried(0)
    outbox.queue({"n": 0})
    outbox.end()
    await asyncio.sleep(0)
    assert not task.cancelled()
    link.takes = 1
    outbox.flush()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (link.taken, link.aborted) == ([0], False)


async def test_an_end_with_nothing_queued_is_at_once():
    outbox, _, task = await carried(1)
    outbox.end()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cut_ends_whatever_was_not_sent():
    outbox, link, task = await carried(0)
    outbox.queue({"n": 0})
    outbox.cut()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert link.aborted


async def test_a_message_is_notified_when_it_is_sent():
    outbox, link, task = await carried(1)
    spans = outbox._spans
    for n, event in enumerate(("a", "b", "b")):
        outbox.queue({"n": n})
        outbox.trace(event)
    assert spans.notified == ["a"]
    link.takes = 3
    outbox.flush()
    assert spans.notified == ["a", "b"]
    task.cancel()


async def test_outgoing_yields_in_order_and_ends():
    outbox = Outbox(orjson.dumps, Told())
    outbox.queue({"n": 0})
    seen = []

    async def read():
        async for messages in outbox.outgoing():
            seen.extend(orjson.loads(data)["n"] for data in messages)
            await asyncio.sleep(0)

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    outbox.queue({"n": 1})
    outbox.trace("a")
    for _ in range(5):
        await asyncio.sleep(0)
    assert (seen, outbox._spans.notified) == ([0, 1], ["a"])
    outbox.queue({"n": 2})
    outbox.end()
    await asyncio.wait_for(task, 5)
    assert seen == [0, 1, 2]


async def test_outgoing_yields_together_what_waits_and_never_too_much():
    outbox = Outbox(orjson.dumps, Told())
    third = "x" * (TOGETHER_BYTES // 3)
    for n, text in enumerate(("", third, third, third, 4 * third, "", "")):
        outbox.queue({"n": n, "text": text})
    outbox.end()
    told = [[orjson.loads(d)["n"] for d in m] async for m in outbox.outgoing()]
    assert told == [[0, 1, 2], [3], [4], [5, 6]]
    assert outbox.has_credit


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 100_000])
def test_frames_are_those_of_the_library(size):
    data = b"x" * size
    assert text_frame(data) == Frame(Opcode.TEXT, data).serialize(mask=False)


async def test_events_are_read_in_order_by_one_who_waits():
    events = Events()
    reading = asyncio.create_task(events.get())
    await asyncio.sleep(0)
    assert events.empty()
    events.put_nowait(1)
    events.put_nowait(2)
    assert await reading == 1
    assert not events.empty()
    assert await events.get() == 2
    gone = asyncio.create_task(events.get())
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    events.put_nowait(3)
    assert await events.get() == 3


async def test_all_who_wait_for_a_flag_go_on():
    flag = Flag()
    await asyncio.wait_for(flag.wait(), 1)
    flag.clear()
    flag.clear()
    waiting = [asyncio.create_task(flag.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    assert not flag.is_set()
    assert not any(task.done() for task in waiting[1:])
    flag.set()
    await asyncio.wait_for(asyncio.gather(*waiting[1:]), 1)
    assert flag.is_set()


def test_a_connection_beats_leaves_with_age_and_is_cut(monkeypatch):
    monkeypatch.setattr(timing.random, "uniform", lambda least, most: least)
    made = Timing(100.0)
    assert made.due(100.0 + HEARTBEAT - 0.1) is None
    assert made.due(100.0 + HEARTBEAT) == "beat"
    assert made.due(100.0 + HEARTBEAT + 0.5) is None
    assert made.due(100.0 + 2 * HEARTBEAT) == "beat"
    old = 100.0 + AGES[0]
    assert made.due(old) == "leave"
    made.leaves(old)
    assert made.due(old + HEARTBEAT * 0.3) == "beat"
    assert made.due(old + GRACE) == "cut"


def test_ages_differ():
    first = {Timing(0.0)._leave for _ in range(50)}
    assert len(first) > 40
    assert all(AGES[0] <= age <= AGES[1] for age in first)
