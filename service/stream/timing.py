"""When a connection beats, goes away and is cut; times in monotonic seconds."""

import random
from typing import Literal

HEARTBEAT = 15.0
"""Seconds between heartbeats."""
AGES = (50 * 60.0, 58 * 60.0)
"""Age at which a connection is told to go: Cloud Run cuts at an hour (gcp.md 1.1)."""
GRACE = 5.0
"""Seconds between `goaway` and the end of a client that does not take it."""
Due = Literal["beat", "leave", "cut"]


class Timing:
    """Of one connection, whose instance looks at all of them twice a second: a task
    and a timer for each would be much of what an idle one costs."""

    __slots__ = ("_beat", "_cut", "_leave")

    def __init__(self, now: float) -> None:
        self._beat = now + HEARTBEAT
        self._leave = now + random.uniform(*AGES)
        self._cut = float("inf")

    def leaves(self, now: float) -> None:
        """It was told to go."""
        self._leave = float("inf")
        self._cut = now + GRACE

    def due(self, now: float) -> Due | None:
        """What is to be done now."""
        if now >= self._cut:
            return "cut"
        if now >= self._leave:
            return "leave"
        if now >= self._beat:
            self._beat = now + HEARTBEAT
            return "beat"
        return None
