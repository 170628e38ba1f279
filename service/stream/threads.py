"""Threads for work that does not hold the interpreter's lock."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from service.contract import ServiceError

T = TypeVar("T")


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
                raise ServiceError(
                    "deadline_exceeded",
                    "The deadline passed before a thread was free: allow more time.",
                )
            return work()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, begin)
        finally:
            # Told here and not by the thread, which would wake the loop once more.
            self._waited(waited if waited >= 0 else time.monotonic() - queued)
