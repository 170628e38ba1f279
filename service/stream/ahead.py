"""Streams that begin beyond what their region has of a log.

Mostly the region is behind where the client was before, and they wait for it. Else the
token is of a log that was set back, or of another one: up to its position every match
would be skipped and nobody would know. The origin knows. Asked after the stream began,
where its log ends, its answer covers whatever the client can have heard of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from service.contract import ServiceError
from service.log.change import START, Position, Positions
from service.log.streams import Row
from service.stream.lane import Lane
from service.stream.standing import Stream
from service.stream.starting import gap
from service.telemetry import log

PATIENCE = 1.0
"""Seconds that the region has to catch up before an origin is asked, and between two
questions to one that has not answered."""
Ask = Callable[[str, str, list[Any]], Awaitable[list[Row]]]
"""See `Homes.ask`."""


def goes_on(token: Position, head: Position, here: Position) -> Position | None:
    """Where a stream goes on whose token its origin's log never had; None: it may have.

    `head`: where the log ends, as its origin says after the stream began; a later epoch
    than the token's is none of the token's future, an earlier one is its past.
    `here`: where the region stood when the stream began; what came since is heard.
    """
    return min(head, here) if head < token else None


class Ahead:
    """Watches over such streams for as long as there are any."""

    def __init__(
        self,
        lanes: Mapping[int, Lane],
        waits: Callable[[Stream], bool],
        ask: Ask,
        patience: float = PATIENCE,
    ) -> None:
        """waits: whether a stream runs and is not live."""
        self._lanes = lanes
        self._waits = waits
        self._ask = ask
        self._patience = patience
        self._open: dict[Stream, Positions] = {}
        """By stream the origins that it is ahead of, and where their lane stood."""
        self._running: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Asks nobody any more."""
        if self._running is not None:
            self._running.cancel()

    def begin(self, stream: Stream) -> None:
        """A stream that is not live begins at its positions."""
        here = self._lanes[stream.lane].positions
        ahead = {
            origin: here.get(origin, START)
            for origin, position in stream.positions.items()
            if position > here.get(origin, START)
        }
        if not ahead:
            return
        self._open[stream] = ahead
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._open:
            await asyncio.sleep(self._patience)
            self._forget()
            origins = {origin for ahead in self._open.values() for origin in ahead}
            await asyncio.gather(*map(self._look, origins))

    def _forget(self) -> None:
        """Leaves what is live or gone, and origins that the region caught up with."""
        for stream, ahead in list(self._open.items()):
            here = self._lanes[stream.lane].positions
            for origin in list(ahead):
                if stream.positions.get(origin, START) <= here.get(origin, START):
                    del ahead[origin]
            if not ahead or not self._waits(stream):
                del self._open[stream]

    async def _look(self, origin: str) -> None:
        """Asks an origin for its heads; says of streams what follows from them."""
        asked = [stream for stream, ahead in self._open.items() if origin in ahead]
        try:
            rows = await self._ask(origin, "heads", [origin])
        except ServiceError as error:
            log("INFO", "streams ahead wait", origin=origin, why=error.code)
            return
        heads = {row["lane"]: Position(row["epoch"], row["seq"]) for row in rows}
        if max(heads.values(), default=START).epoch < self._newest(origin):
            # Of a server that was left behind, or none: another one leads the log.
            return
        for stream in asked:
            head = heads.get(stream.lane)
            if head is not None and self._waits(stream):
                self._judge(stream, origin, head)

    def _newest(self, origin: str) -> int:
        """The latest epoch of an origin that came here."""
        lanes = [lane.sequencers.get(origin) for lane in self._lanes.values()]
        return max((s.head.epoch for s in lanes if s is not None), default=1)

    def _judge(self, stream: Stream, origin: str, head: Position) -> None:
        """What the origin says counts once: the log only grows from there."""
        began = self._open[stream].pop(origin, None)
        token = stream.positions.get(origin, START)
        if began is None or (reached := goes_on(token, head, began)) is None:
            return
        stream.positions = {**stream.positions, origin: reached}
        if stream.kept is not None:
            stream.kept.set_back(origin, reached)
        log("WARNING", "a token was ahead of the log", origin=origin, head=[*head])
        stream.listener.missed(stream, gap(origin, token, reached))
