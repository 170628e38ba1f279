"""The best matches of stretches of time that follow on each other, told together."""

import heapq
from typing import Any

import orjson

from service.contract import ServiceError
from service.log.change import Change


class Window:
    """What a stream found since it last told; bounded by the number it tells.

    Times are seconds since 1970; windows begin at multiples of their length.
    """

    def __init__(self, best: int, seconds: int) -> None:
        self._best = best
        self._seconds = seconds
        self._since = 0.0
        self._heap: list[tuple[float, int, Change]] = []
        self.matched = 0
        """Matches that are not told yet, those that fell out included."""
        self.token = ""
        """Resumes the stream before the first of them."""

    def add(self, change: Change, score: float, now: float) -> None:
        """Takes a match; of equal scores the earlier one stays."""
        if not self.matched:
            # Nobody may have looked since its window began.
            self._since = max(self._since, now // self._seconds * self._seconds)
        self.matched += 1
        entry = (score, -self.matched, change)
        if len(self._heap) < self._best:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def begin(self, token: str, now: float) -> None:
        """Nothing is untold: the stream stands at the token."""
        self.token = token
        self._since = now // self._seconds * self._seconds

    def over(self, now: float) -> bool:
        """Whether it is time to tell."""
        return now >= self._since + self._seconds

    def take(self, now: float) -> dict[str, Any]:
        """What is told, best first; the window is empty then."""
        found = sorted(self._heap, reverse=True)
        told = {
            "matches": [matched(change, score) for score, _, change in found],
            "matched": self.matched,
            "since": self._since,
            "until": now,
        }
        self._heap, self.matched = [], 0
        return told


def matched(change: Change, score: float) -> dict[str, Any]:
    """What is told of a change that matched, whatever the stream."""
    return {**_told.of(change), "score": score}


class _Told:
    """What is told of one change, written once for all streams that it reaches."""

    def __init__(self) -> None:
        self._change: Change | None = None
        self._shared: dict[str, Any] = {}

    def of(self, change: Change) -> dict[str, Any]:
        if change is not self._change:
            self._change, self._shared = change, _shared(change)
        return self._shared


_told = _Told()


def _shared(change: Change) -> dict[str, Any]:
    return {
        "event_id": change.event_id,
        "op": change.op,
        "item": {
            "id": change.item_id,
            "metadata": orjson.Fragment(change.metadata),
            "version": change.at,
        },
        "position": {
            "origin": change.origin,
            "lane": change.lane,
            "epoch": change.epoch,
            "seq": change.seq,
        },
        "written_in": change.region,
        "written_at": change.written,
        "committed_at": change.committed,
    }


def wanted_window(best: int | None, seconds: int | None) -> Window | None:
    """The window that a stream wants; raises ServiceError for half of one."""
    if best is None and seconds is None:
        return None
    if best is None or seconds is None:
        raise ServiceError(
            "bad_request",
            "message: best and window_seconds go together: the best so many of each "
            "so many seconds.",
        )
    return Window(best, seconds)
