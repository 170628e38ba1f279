"""Tokens beyond what a region has of a log: waited for, or told as a gap."""

import asyncio
import contextlib
import os
import signal

import pytest
import pytest_asyncio

from service.contract import ServiceError
from service.log.change import START, Position
from service.stream.ahead import Ahead, goes_on
from service.stream.kept import Kept
from service.stream.lane import Lane
from service.stream.standing import Stream
from service.stream.starting import Starting
from service.stream.token import read_token, write_token
from service.telemetry import Metrics
from tests.service.asking import filled, of_type, refusal, watching
from tests.service.drivers import STREAMING, UNARY, Http

LANE = 3
TOKEN = Position(2, 9)
STREAMS = {driver.name: driver for driver in STREAMING}
CALLS = {driver.name: driver for driver in UNARY}


@pytest.mark.parametrize(
    ("head", "here", "reached"),
    [
        (Position(2, 8), Position(2, 8), Position(2, 8)),
        # What was written after the stream began is heard.
        (Position(2, 8), Position(2, 5), Position(2, 5)),
        (Position(1, 70), Position(1, 70), Position(1, 70)),
        (Position(2, 9), Position(2, 5), None),
        (Position(2, 12), Position(2, 5), None),
        # Of an epoch that ended nobody says here where: the next one is after it.
        (Position(3, 0), Position(2, 5), None),
    ],
)
def test_only_a_log_that_ends_before_the_token_sets_it_back(head, here, reached):
    assert goes_on(TOKEN, head, here) == reached


class Listener:
    def __init__(self):
        self.gaps = []

    def missed(self, stream, gap):
        self.gaps.append(gap)


class Origin:
    """What it answers in turn; the last answer again and again, None: it is away."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0

    async def ask(self, origin, question, params):
        assert (origin, question, params) == ("a", "heads", ["a"])
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            raise ServiceError("home_away", "away")
        return [{"lane": n, "epoch": e, "seq": s} for n, (e, s) in answer.items()]


class Begun:
    """A stream at TOKEN in a lane that stands elsewhere."""

    def __init__(self, origin, here, token=TOKEN):
        self.origin, self.listener, self.waiting = origin, Listener(), True
        redefined = parked = lambda *_: None
        self.lane = Lane(LANE, {"a": here}, Metrics(), parked, redefined)
        self.stream = Stream("s", ("t", "c"), LANE, None, 0.5, 1, self.listener)
        self.stream.positions = {"a": token}
        waits, ask = (lambda _: self.waiting), origin.ask
        self.ahead = Ahead({LANE: self.lane}, waits, ask, patience=0.001)

    async def after(self, questions):
        """Waits for so many questions, and until whatever follows has happened."""
        self.ahead.begin(self.stream)
        for _ in range(2000):
            if self.origin.asked >= questions and self.origin.asked:
                break
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        self.ahead.close()
        return self.listener.gaps


async def test_a_stream_is_told_once_and_goes_on_where_the_log_ends():
    begun = Begun(Origin({LANE: (2, 4)}), Position(2, 4))
    begun.stream.kept = Kept("a.x", "t", "o", None, 1, {"a": TOKEN}, {"a": TOKEN})
    gap = {"origin": "a", "after": [2, 9], "before": [2, 5]}
    assert await begun.after(1) == [gap]
    assert begun.stream.positions == {"a": Position(2, 4)}
    # Else its home would give it the same token at every attachment.
    assert begun.stream.kept.acked == {"a": Position(2, 4)} == begun.stream.kept.told
    assert begun.origin.asked == 1


async def test_a_log_that_has_the_token_is_waited_for_and_not_asked_again():
    begun = Begun(Origin({LANE: (2, 9)}), Position(2, 4))
    assert await begun.after(1) == []
    assert begun.stream.positions == {"a": TOKEN}
    assert begun.origin.asked == 1


@pytest.mark.parametrize("first", [None, {}], ids=["away", "does not lead its log"])
async def test_without_an_answer_nothing_is_shown_and_it_is_asked_again(first):
    begun = Begun(Origin(first), Position(2, 4))
    assert await begun.after(3) == []
    again = Begun(Origin(first, first, {LANE: (2, 4)}), Position(2, 4))
    assert len(await again.after(3)) == 1


async def test_a_server_that_was_left_behind_shows_nothing():
    """It ended an epoch ago, and does not know yet that another one leads."""
    begun = Begun(Origin({LANE: (1, 70)}), Position(2, 4))
    assert await begun.after(3) == []


@pytest.mark.parametrize("gone", ["caught up", "ended"])
async def test_a_stream_that_waits_no_more_is_asked_about_no_more(gone):
    begun = Begun(Origin(None), Position(2, 4))
    begun.ahead.begin(begun.stream)
    while begun.origin.asked < 2:
        await asyncio.sleep(0)
    if gone == "ended":
        begun.waiting = False
    else:
        begun.lane.jump("a", TOKEN)
    await asyncio.sleep(0.02)
    asked = begun.origin.asked
    await asyncio.sleep(0.02)
    assert begun.origin.asked == asked and begun.listener.gaps == []


async def test_nobody_is_asked_about_a_stream_that_is_not_ahead():
    begun = Begun(Origin({LANE: (2, 4)}), TOKEN)
    begun.ahead.begin(begun.stream)
    await asyncio.sleep(0.02)
    assert not begun.origin.asked


async def test_a_token_of_other_hubs_is_refused_and_one_of_a_hub_that_left_is_not():
    lane = Begun(Origin(None), START).lane
    starting = Starting(None)
    with pytest.raises(ServiceError, match="names no hub") as refused:
        foreign = write_token(LANE, {"x": Position(1, 4)}, 1)
        await starting.find(lane, {"token": foreign})
    assert refused.value.code == "bad_token"
    positions = {"x": Position(1, 4), "a": START}
    known = {"token": write_token(LANE, positions, 1)}
    assert await starting.find(lane, known) == (positions, [])


@pytest_asyncio.fixture
async def http(party):
    return party(Http, "asia")


async def standing(driver, name):
    """Where a stream stands that begins now: its lane's positions, and a maker."""
    await driver.send(watching(name))
    token = (await of_type(driver, "watching"))["token"]
    lane = next(n for n in range(16) if _is_of(token, n))
    positions = read_token(token, lane).positions

    def moved(origin, epochs, count):
        epoch, seq = positions[origin]
        there = {**positions, origin: Position(epoch + epochs, seq + count)}
        return {"from": {"token": write_token(lane, there, 1)}}

    return positions, moved


def _is_of(token, lane):
    with contextlib.suppress(ServiceError):
        return bool(read_token(token, lane))
    return False


async def heard(driver, http, name, item):
    """The next match is of an item that is written now."""
    items = [{"id": item, "vector": [1, 0, 0]}]
    await http.call("upsert", collection=name, items=items)
    assert (await of_type(driver, "match"))["item"]["id"] == item


@pytest.mark.parametrize("region", ["asia", "paris"])
@pytest.mark.parametrize("kind", sorted(STREAMS))
async def test_a_token_ahead_of_its_log_is_told_as_a_gap(party, http, kind, region):
    """Asked in the hub itself and, through two topics, in a region of another."""
    name, _ = await filled(http)
    first = party(STREAMS[kind], region)
    positions, moved = await standing(first, name)
    epoch, seq = positions["asia"]
    for epochs in (0, 1):
        driver = party(STREAMS[kind], region)
        await driver.send(watching(name, **moved("asia", epochs, 5)))
        gap = await of_type(driver, "gap")
        del gap["type"]
        assert gap == {
            "stream": "s",
            "origin": "asia",
            "after": [epoch + epochs, seq + 5],
            "before": [epoch, seq + 1],
        }
        await heard(driver, http, name, f"i{epochs}")
        seq += 1
        positions["asia"] = Position(epoch, seq)


async def test_what_is_written_before_the_gap_is_told_is_heard(party, http):
    name, _ = await filled(http)
    first, driver = (party(STREAMS["websocket"], "asia") for _ in range(2))
    _, moved = await standing(first, name)
    await driver.send(watching(name, **moved("asia", 0, 10**6)))
    await of_type(driver, "watching")
    items = [{"id": "at once", "vector": [1, 0, 0]}]
    await http.call("upsert", collection=name, items=items)
    await of_type(driver, "gap")
    assert (await of_type(driver, "match"))["item"]["id"] == "at once"


@contextlib.asynccontextmanager
async def held_up(region):
    """A region gets no changes; one with a replica still asks its hub where they end.

    Another hub's question is not answered meanwhile: its worker would hand it on.
    """
    database = await region.postgres.connect()
    os.kill(region.worker["pid"], signal.SIGSTOP)
    try:
        if not region.is_hub:
            await database.execute("SELECT pg_wal_replay_pause()")
        yield
    finally:
        os.kill(region.worker["pid"], signal.SIGCONT)
        if not region.is_hub:
            await database.execute("SELECT pg_wal_replay_resume()")
        await database.close()


@pytest.mark.parametrize(
    ("kind", "origin", "behind"),
    [("sse", "asia", "europe"), ("websocket", "europe", "paris")],
)
async def test_a_region_that_is_behind_is_waited_for(
    party, world, kind, origin, behind
):
    http = party(Http, origin)
    name, _ = await filled(http)
    first = party(STREAMS[kind], origin)
    await standing(first, name)
    there = party(STREAMS[kind], behind)
    await standing(there, name)
    async with held_up(world.regions[behind]):
        items = [{"id": "i", "vector": [1, 0, 0]}]
        await http.call("upsert", collection=name, items=items)
        token = (await of_type(first, "match"))["token"]
        again = party(STREAMS[kind], behind)
        await again.send(watching(name, **{"from": {"token": token}}))
        await of_type(again, "watching")
        with pytest.raises(TimeoutError):
            await again.receive(seconds=3)
    # Neither a gap nor the match that it knows: `of_type` would fail.
    await heard(again, http, name, "next")


@pytest.mark.parametrize("kind", sorted(CALLS))
async def test_a_write_token_ahead_of_the_log_ends_with_the_deadline(party, kind):
    driver = party(CALLS[kind], "asia")
    name, written = await filled(driver)
    lane = next(n for n in range(16) if _is_of(written["token"], n))
    ahead = {"asia": Position(1, 10**9)}
    refused = await refusal(
        driver.call(
            "search",
            collection=name,
            vector=[1, 0, 0],
            consistency="read_your_writes",
            token=write_token(lane, ahead, 1),
            deadline_ms=600,
        )
    )
    assert refused.code == "behind"
