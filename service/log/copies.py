"""Holds acknowledgements back until another region has the change on disk (ADR 0016).

Cloud SQL offers no setting for it, so the primary is asked how far its standbys have
come: all of them are in other regions. The commit itself is over by then, and readers
see it; what the writer is told is what survives the loss of the region.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg

from service.contract import ServiceError
from service.log.database import GONE, Single
from service.settings import Settings
from service.telemetry import Metrics, log

PATIENCE = 5.0
"""Seconds an acknowledgement waits for a copy."""
_PAUSE = 0.001
"""Seconds between two looks while something waits."""
_AWAY_PAUSE = 0.2
_COPIED = "SELECT here - '0/0'::pg_lsn, copied - '0/0'::pg_lsn FROM copied()"


@dataclass(slots=True)
class _Held:
    release: Callable[[ServiceError | None], None]
    since: float
    at: int = 0
    """Place in the server's log that covers it; 0: not known yet."""


class Copies:
    """Acknowledgements of one instance that wait for a standby of its hub."""

    def __init__(self, settings: Settings, primary: Single, metrics: Metrics) -> None:
        self._settings = settings
        self._primary = primary
        self._metrics = metrics
        self._held: deque[_Held] = deque()
        self._wake = asyncio.Event()

    def hold(self, release: Callable[[ServiceError | None], None]) -> None:
        """Calls `release` once everything committed by now has a copy, or with the
        error after `PATIENCE` seconds."""
        self._held.append(_Held(release, time.monotonic()))
        self._wake.set()

    async def run(self) -> None:
        """Looks as long as something waits; until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._held:
                pause = _PAUSE
                try:
                    await self._look()
                except (*GONE, asyncpg.PostgresError) as error:
                    log("WARNING", "copies unknown", reason=type(error).__name__)
                    pause = _AWAY_PAUSE
                self._refuse_late()
                if self._held:
                    await asyncio.sleep(pause)

    async def _look(self) -> None:
        # Committed before the question, so the answer's place covers them.
        asked = [held for held in self._held if not held.at]
        row = await self._primary.fetchrow(_COPIED, seconds=PATIENCE)
        assert row is not None  # the function gives one
        here, copied = row
        for held in asked:
            held.at = int(here)
        while self._held and copied is not None and 0 < self._held[0].at <= copied:
            held = self._held.popleft()
            self._metrics.copy_seconds.observe(time.monotonic() - held.since)
            held.release(None)

    def _refuse_late(self) -> None:
        late = time.monotonic() - PATIENCE
        while self._held and self._held[0].since < late:
            self._held.popleft().release(
                ServiceError(
                    "unavailable",
                    f"No other region has a copy of it after {PATIENCE:g} s, as its "
                    f"collection's durability `region` wants; the primary in "
                    f"{self._settings.hub} has it: send the same event ids again, here "
                    "or in another region.",
                    elsewhere=True,
                )
            )
