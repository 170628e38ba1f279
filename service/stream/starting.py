"""Where a stream starts, and what of that the log no longer holds."""

import time
from typing import Any

from service.contract import ServiceError
from service.contract.fields import WINDOW_SECONDS
from service.log.change import START, Position, Positions
from service.log.reader import Reader
from service.stream.lane import Lane
from service.stream.token import read_token, unusable

_FLOOR_SECONDS = 1.0
Gaps = list[dict[str, Any]]


def gap(origin: str, here: Position, reached: Position) -> dict[str, Any]:
    """What somebody does not hear who stands at `here` and goes on from `reached`."""
    before = (reached.epoch, reached.seq + 1)
    return {"origin": origin, "after": [*here], "before": [*before]}


class Starting:
    """Positions to start from; one answer serves all streams of a resume."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._floor: dict[tuple[str, int], tuple[float, Position | None]] = {}

    async def find(self, lane: Lane, given: Any) -> tuple[Positions | None, Gaps]:
        """Positions, None for "now", and what cannot be replayed."""
        if given == "now":
            return None, []
        if isinstance(given, dict) and list(given) == ["token"]:
            token = read_token(given["token"], lane.number)
            # Some may be unknown: a hub that left, or that is not heard of here yet.
            if token.positions and not token.positions.keys() & lane.sequencers.keys():
                raise unusable("it names no hub of this service")
            return await self._with_gaps(lane, token.positions)
        if isinstance(given, dict) and list(given) == ["seconds"]:
            seconds = given["seconds"]
            if _is_number(seconds) and 0 <= seconds <= WINDOW_SECONDS:
                moment = int((time.time() - seconds) * 1000)
                since = await self._reader.since(lane.number, moment)
                return await self._with_gaps(lane, since)
        raise ServiceError(
            "out_of_range",
            'message.from: allowed are "now", {"token": t} and {"seconds": n} with n '
            f"from 0 to {WINDOW_SECONDS}.",
        )

    async def _with_gaps(
        self, lane: Lane, positions: Positions
    ) -> tuple[Positions, Gaps]:
        """Moves positions past what the log no longer holds, and says so."""
        gaps = []
        for origin in list(lane.sequencers):
            here = positions.get(origin, START)
            if here >= lane.sequencers[origin].position:
                continue
            oldest = await self._oldest(origin, lane.number)
            if oldest is None and lane.recent[origin]:
                # This region's database may still lack what came through the feed.
                oldest = lane.recent[origin][0].position
            if oldest is None:
                oldest = lane.sequencers[origin].position
                oldest = Position(oldest.epoch, oldest.seq + 1)
            before = Position(oldest.epoch, oldest.seq - 1)
            if here < before and before.seq > 0:
                gaps.append(gap(origin, here, before))
                positions = {**positions, origin: before}
        return positions, gaps

    async def _oldest(self, origin: str, lane: int) -> Position | None:
        """First position in the log."""
        known = self._floor.get((origin, lane))
        if known is None or known[0] < time.monotonic():
            found = await self._reader.oldest(origin, lane)
            known = (time.monotonic() + _FLOOR_SECONDS, found)
            self._floor[origin, lane] = known
        return known[1]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
