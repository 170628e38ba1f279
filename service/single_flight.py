"""One look for all who ask for the same thing at once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class SingleFlight(Generic[K, T]):
    """Runs `look` once for a key; whoever asks meanwhile waits for the same answer.

    None says that there is nothing. It answers only who asked before the look began,
    for what was made since may have been acknowledged already.
    """

    def __init__(self, look: Callable[[K], Awaitable[T | None]]) -> None:
        self._look = look
        self._running: dict[K, asyncio.Task[T | None]] = {}

    async def get(self, key: K) -> T | None:
        """What a look finds; raises what it raises."""
        joins = key in self._running
        found = await self._join(key)
        if found is None and joins:
            # One that runs now began after this was asked.
            found = await self._join(key)
        return found

    def forget(self, key: K) -> None:
        """What a look that is under way finds is out of date for who asks next."""
        self._running.pop(key, None)

    async def _join(self, key: K) -> T | None:
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(self._run(key))
            task.add_done_callback(lambda done: self._ended(key, done))
        # Whoever goes away leaves the look to the others.
        return await asyncio.shield(task)

    async def _run(self, key: K) -> T | None:
        return await self._look(key)

    def _ended(self, key: K, task: "asyncio.Task[T | None]") -> None:
        if self._running.get(key) is task:
            del self._running[key]
        if not task.cancelled():
            task.exception()  # everybody who waited may be gone
