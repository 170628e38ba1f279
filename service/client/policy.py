"""When to try again, where, and how many at once. Pure but for the pool's waiting."""

import asyncio
import contextlib
import heapq
import itertools
import random
from collections.abc import AsyncIterator, Callable


class Budget:
    """Quick retries that a client may spend: a tenth of its requests, a few at once.

    Without it a service that fails gets several times the load it fails under.
    """

    def __init__(self, ratio: float = 0.1, most: float = 10.0) -> None:
        self._ratio = ratio
        self._most = most
        self._left = most

    def asked(self) -> None:
        """A request was made for the first time."""
        self._left = min(self._most, self._left + self._ratio)

    def spend(self) -> bool:
        """Takes one retry; False when none is left."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


def backoff(attempt: int, base: float = 0.05, most: float = 2.0) -> float:
    """Seconds before the retry after `attempt` failures, with full jitter.

    Clients of a lost region do not come back in step.
    """
    return random.uniform(0, min(most, base * 2**attempt))


class Breaker:
    """Keeps requests off an address that fails, and tries it again by itself.

    Closed until `most` failures in a row; then open for `seconds`; then half open:
    one request goes through, and closes or opens it again. An earlier success does
    not count for later failures.
    """

    def __init__(
        self, clock: Callable[[], float], most: int = 5, seconds: float = 1.0
    ) -> None:
        self._clock = clock
        self._most = most
        self._seconds = seconds
        self._failures = 0
        self._until = 0.0
        self._probing = False

    @property
    def state(self) -> str:
        """`closed`, `open` or `half open`."""
        if self._failures < self._most:
            return "closed"
        return "open" if self._clock() < self._until else "half open"

    def allow(self) -> bool:
        """Whether a request may go; in half open only one at a time."""
        state = self.state
        if state == "closed":
            return True
        if state == "open" or self._probing:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """The address answered."""
        self._failures = 0
        self._probing = False

    def failed(self) -> None:
        """The address did not, or could not."""
        self._failures += 1
        self._probing = False
        if self._failures >= self._most:
            self._until = self._clock() + self._seconds


class Pool:
    """At most so many requests at once; who waits goes by priority, then in order."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return sum(not f.done() for _, _, f in self._waiting)

    @contextlib.asynccontextmanager
    async def slot(self, priority: int, seconds: float) -> AsyncIterator[None]:
        """Holds a slot; a lower `priority` goes first. TimeoutError when it lasts."""
        if self._free > 0:
            self._free -= 1
        else:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (priority, next(self._order), future))
            try:
                await asyncio.wait_for(future, seconds)
            except BaseException:
                if future.done() and not future.cancelled():
                    self._leave()
                raise
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        """The slot goes to the first who still waits."""
        while self._waiting:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)
                return
        self._free += 1
