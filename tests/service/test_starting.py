"""From where a stream starts: what the log or memory holds is no gap."""

from typing import Any

import pytest

from service.log.change import START, Change, Position
from service.stream.lane import Lane
from service.stream.starting import Starting
from service.stream.token import write_token
from service.telemetry import Metrics

LANE = 3


class Log:
    """A database whose log of the lane begins somewhere, or holds nothing."""

    def __init__(self, oldest: Position | None) -> None:
        self._oldest = oldest

    async def oldest(self, origin: str, lane: int) -> Position | None:
        return self._oldest


def lane_at(first: int, last: int) -> Lane:
    """Followed from before `first`; the changes up to `last` came."""
    started = {"a": Position(1, first - 1)}
    lane = Lane(LANE, started, Metrics(), lambda *_: None, lambda _: None)
    lane.offer(
        "a",
        [
            Change(
                "a", LANE, 1, n, f"e{n}", "default", "c", f"i{n}", "upsert", bytes(8),
                "{}", n, "a", n, n,
            )
            for n in range(first, last + 1)
        ],
    )  # fmt: skip
    return lane


async def found(log: Position | None, lane: Lane, at: Position) -> tuple[Any, Any]:
    reader: Any = Log(log)
    token = write_token(LANE, {"a": at}, 1)
    return await Starting(reader).find(lane, {"token": token})


async def test_what_only_memory_holds_is_replayed():
    """A replica that is behind the feed has nothing of a lane that just began."""
    assert await found(None, lane_at(1, 7), START) == ({"a": START}, [])


@pytest.mark.parametrize(
    ("log", "first", "goes_on"),
    [(None, 5, 4), (Position(1, 5), 6, 4), (Position(1, 7), 1, 6)],
    ids=["memory alone", "the log goes further back", "the log says what is kept"],
)
async def test_what_neither_holds_is_a_gap(log, first, goes_on):
    positions, gaps = await found(log, lane_at(first, 9), Position(1, 2))
    assert positions == {"a": Position(1, goes_on)}
    assert [g["origin"] for g in gaps] == ["a"]


async def test_without_log_and_memory_it_goes_on_where_the_lane_stands():
    lane = lane_at(1, 7)
    lane.recent["a"].clear()
    positions, gaps = await found(None, lane, Position(1, 2))
    assert positions == {"a": Position(1, 7)} and len(gaps) == 1
