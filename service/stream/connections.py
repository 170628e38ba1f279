"""The open connections of an instance."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from service.access.caller import Caller
from service.access.context import Context
from service.stream.standing import Stream


class Connected(Protocol):
    """What is known of a connection here."""

    streams: dict[str, Stream]
    context: Context

    def go_away(self, reason: str) -> None:
        """Tells the client to resume elsewhere."""
        ...

    def hold(self, may: Callable[[str], bool]) -> None:
        """Stops its streams of a priority, or lets them go on."""
        ...

    def close_windows(self, now: float) -> None:
        """Tells of the windows that are over; `now` in seconds since 1970."""
        ...

    def keep_time(self, now: float) -> None:
        """Beats, goes away with age; `now` in monotonic seconds."""
        ...

    def cut(self) -> None:
        """Ends it, whatever was not sent."""
        ...


class Connections:
    """Counted in and out; told to go when the instance ends."""

    def __init__(self) -> None:
        self._open: set[Connected] = set()
        self.draining = False

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connected]:
        return iter(list(self._open))

    @property
    def streams(self) -> int:
        """Standing queries on all of them."""
        return sum(len(c.streams) for c in self._open)

    def beside(self, caller: Caller, home: str) -> int:
        """Standing queries of a tenant here that a hub does not keep."""
        mine = (c for c in self._open if c.context.caller.tenant == caller.tenant)
        kept = (s.kept for c in mine for s in c.streams.values())
        return sum(k is None or k.home != home for k in kept)

    def add(self, connection: Connected) -> None:
        """Counts a connection in."""
        self._open.add(connection)

    def remove(self, connection: Connected) -> None:
        """Counts a connection out."""
        self._open.discard(connection)

    async def drain(self) -> None:
        """Tells every client to go elsewhere and waits until they were told."""
        self.draining = True
        for connection in self:
            connection.go_away("draining")
        until = time.monotonic() + 2
        while self._open and time.monotonic() < until:
            await asyncio.sleep(0.05)
