"""Where work runs that does not hold the interpreter's lock: in threads, or in the
event loop while that is held up for a moment only."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from service.contract import ServiceError

T = TypeVar("T")


class Turns:
    """Short work in the event loop: where several want it at once, one in each turn, so
    that whatever else is to be done waits for one piece at most."""

    def __init__(self, waited: Callable[[float], None]) -> None:
        self._waited = waited
        """Told how long each piece of work waited, in seconds."""
        self._taken = False
        """Whether this turn has had its piece."""
        self._queue: deque[asyncio.Future[None]] = deque()

    async def run(self, work: Callable[[], T], patience: float) -> T:
        """Result of `work`; not begun within `patience` seconds, it never is."""
        waited = 0.0
        if self._taken or self._queue:
            waited = await self._wait()
        self._waited(waited)
        self._taken = True
        # What is asked for now is called in the next turn.
        asyncio.get_running_loop().call_soon(self._next)
        if waited > patience:
            raise _late()
        return work()

    async def _wait(self) -> float:
        queued = time.monotonic()
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(granted)
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self._next()  # it had its turn: the others wait for one
            raise
        return time.monotonic() - queued

    def _next(self) -> None:
        while self._queue:
            granted = self._queue.popleft()
            if not granted.done():
                granted.set_result(None)  # who comes before it has run waits, too
                return
        self._taken = False


class Threads:
    """A few threads, and how long work waits for one."""

    def __init__(self, count: int, waited: Callable[[float], None]) -> None:
        self._pool = ThreadPoolExecutor(count, "search")
        self._waited = waited
        """Told how long each piece of work waited, in seconds."""

    def close(self) -> None:
        """Takes no more work."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def run(self, work: Callable[[], T], patience: float) -> T:
        """Result of `work`; not begun within `patience` seconds, it never is."""
        queued = time.monotonic()
        waited = -1.0

        def begin() -> T:
            nonlocal waited
            waited = time.monotonic() - queued
            if waited > patience:
                raise _late()
            return work()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, begin)
        finally:
            # Told here and not by the thread, which would wake the loop once more.
            self._waited(waited if waited >= 0 else time.monotonic() - queued)


def _late() -> ServiceError:
    return ServiceError(
        "deadline_exceeded",
        "The deadline passed before it was this search's turn: allow more time.",
    )
