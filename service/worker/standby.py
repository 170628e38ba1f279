"""One worker of a region is active, the others stand by (ADR 0022).

The active one has an advisory lock of the region's own server. Its session ends with
it, so the next one has the lock at once; of a frozen worker, or a machine that is gone,
the server ends the session when nothing was asked on it for `_IDLE` seconds.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg

from service.log.database import GONE, TokenSource, connect
from service.settings import Settings
from service.telemetry import Metrics, log

_LOOK = 0.5
"""Seconds between two looks of a standby, or at a server that is away."""
_BEAT = 2.0
"""Seconds between two signs of life of the active worker."""
_IDLE = 10
"""Seconds without one after which another worker takes over."""
_FAILED = (*GONE, asyncpg.PostgresError)


class Standby:
    """Does a region's work while no other of its workers does it."""

    def __init__(
        self, settings: Settings, token: TokenSource, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._token = token
        self._metrics = metrics
        self._connection: asyncpg.Connection | None = None

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs `work` anew whenever this worker becomes active, until cancelled.

        Raises what it raises: the worker ends then, and another one is active.
        """
        try:
            while True:
                while not await self._has_lock():
                    await asyncio.sleep(_LOOK)
                log("INFO", "worker is active", region=self._settings.region)
                await self._while_active(work)
                log("WARNING", "worker stands by", region=self._settings.region)
        finally:
            self._lose()

    async def _while_active(
        self, work: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Returns once another worker is active and the work has ended here."""
        working = asyncio.create_task(work())
        self._metrics.worker_active.set(1)
        try:
            while not await self._is_taken_over():
                beat = _LOOK if self._connection is None else _BEAT
                done, _ = await asyncio.wait([working], timeout=beat)
                if done:
                    working.result()
                    return
        finally:
            self._metrics.worker_active.set(0)
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await working

    async def _is_taken_over(self) -> bool:
        """Whether another worker has the lock.

        While the server is away nobody can: what needs no database, the feed from
        other hubs, goes on.
        """
        try:
            if self._connection is None:
                return not await self._try()
            await self._connection.execute("SELECT 1", timeout=_BEAT)
        except _FAILED as error:
            self._lose()
            log("WARNING", "lock lost", error=type(error).__name__)
        return False

    async def _has_lock(self) -> bool:
        try:
            return await self._try()
        except _FAILED as error:
            self._lose()
            log("WARNING", "database away", error=type(error).__name__)
            return False

    async def _try(self) -> bool:
        """Takes the lock if nobody has it."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(
                self._settings,
                self._settings.database_local,
                self._token,
                idle_session_timeout=f"{_IDLE}s",
            )
        taken: bool = await self._connection.fetchval(
            "SELECT pg_try_advisory_lock(hashtextextended($1, 0))",
            f"meridian.active.{self._settings.region}",
            timeout=_BEAT,
        )
        return taken

    def _lose(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
