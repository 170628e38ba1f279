"""Brings the streams of one connection from a position up to live."""

import asyncio

import asyncpg

from service.kernel import Kernel
from service.log.change import START, Change, Position
from service.log.database import GONE
from service.log.reader import Reader
from service.stream.lane import Lane
from service.stream.standing import Listener, Standing, Stream, Told
from service.telemetry import log

_BATCH = 200
_GATHER = 0.02
"""Seconds that streams are gathered before the first pass."""


class Replay:
    """Streams of one connection on one lane that are not live.

    They are matched together from memory or from the log, each from its own
    position, and join the lane when they stand where it stands. A stream is
    told of a change once: what is at or before its position is skipped, and so is
    an event that another hub carried before it.
    """

    def __init__(
        self, lane: Lane, reader: Reader, listener: Listener, kernel: Kernel
    ) -> None:
        self._lane = lane
        self._reader = reader
        self._listener = listener
        self._kernel = kernel
        self._streams: set[Stream] = set()
        self._arrived: set[Stream] = set()
        self._opened = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, streams: list[Stream]) -> None:
        """Takes streams whose `positions` say where they stand."""
        self._arrived.update(streams)
        self._opened.set()
        if streams and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run())

    def drop(self, stream: Stream) -> None:
        """Forgets a stream."""
        self._streams.discard(stream)
        self._arrived.discard(stream)

    def opened(self) -> None:
        """A stream may go on: it was paused, held or without credit."""
        self._opened.set()

    @property
    def streams(self) -> set[Stream]:
        """Those that are not live."""
        return self._streams | self._arrived

    def close(self) -> None:
        """Ends the work: the connection is gone."""
        self._streams.clear()
        self._arrived.clear()
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        # A client that resumes sends its streams one after another.
        await asyncio.sleep(_GATHER)
        while self._streams or self._arrived:
            if not any(s.open for s in self._streams):
                self._gather()
            try:
                if not any(s.open for s in self._streams):
                    await self._wait_for_open()
                elif not self._listener.has_credit:
                    await asyncio.sleep(0.05)
                elif not await self._step():
                    # Ahead of this region, or its database behind: wait for it.
                    self._gather()
                    await asyncio.sleep(0.02)
            except (*GONE, asyncpg.PostgresError) as error:
                log("WARNING", "replay waits", error=type(error).__name__)
                await asyncio.sleep(0.5)

    async def _wait_for_open(self) -> None:
        self._opened.clear()
        if not any(s.open for s in self.streams):
            await self._opened.wait()

    def _gather(self) -> None:
        """Takes in what arrived, between two passes over the log and not within.

        Joining at once would begin the pass again for each stream.
        """
        self._streams |= self._arrived
        self._arrived.clear()

    async def _step(self) -> bool:
        """One batch of each origin; says whether anything moved."""
        moved = False
        for origin in list(self._lane.sequencers):
            moved |= await self._advance(origin)
        moved |= self._join()
        return moved

    def _join(self) -> bool:
        """Streams that stand where the lane stands go live; no await in here."""
        here = self._lane.positions
        joined = [
            s
            for s in self._streams
            if s.open and all(s.positions.get(o, START) == p for o, p in here.items())
        ]
        for stream in joined:
            self._streams.discard(stream)
            self._lane.collections[stream.key].standing.add(stream)
        return bool(joined)

    async def _advance(self, origin: str) -> bool:
        cursor = self._lane.sequencers[origin].position
        behind = [
            s
            for s in self._streams
            if s.open and s.positions.get(origin, START) < cursor
        ]
        if not behind or not self._listener.has_credit:
            return False
        start = min(s.positions.get(origin, START) for s in behind)
        changes = await self._changes(origin, start, cursor)
        if not changes:
            return False
        hits = self._hits(behind, changes)
        told = [c.event_id for c in changes if c.position in hits]
        stood = await self._stood(told)
        stuck: set[Stream] = set()
        for change in changes:
            for stream, score in hits.get(change.position, ()):
                if stream.open:
                    self._tell(stream, change, score, stood.get(change.event_id, []))
                elif stream.positions.get(origin, START) < change.position:
                    # Without credit it stays before this match.
                    stuck.add(stream)
            self._move([s for s in behind if s not in stuck], origin, change.position)
            if not self._listener.has_credit:
                break
        return True

    @staticmethod
    def _move(streams: list[Stream], origin: str, position: Position) -> None:
        for stream in streams:
            if stream.positions.get(origin, START) < position:
                stream.positions[origin] = position

    def _tell(
        self,
        stream: Stream,
        change: Change,
        score: float,
        stood: list[tuple[str, Position]],
    ) -> None:
        at = stream.positions
        if stream not in self._streams:
            return
        if at.get(change.origin, START) >= change.position:
            return
        for origin, position in stood:
            if origin != change.origin and position <= at.get(origin, START):
                return
        positions = {**at, change.origin: change.position}
        self._listener.deliver(stream, change, score, positions)

    def _hits(
        self, streams: list[Stream], changes: list[Change]
    ) -> dict[Position, Told]:
        hits: dict[Position, Told] = {}
        for key in {s.key for s in streams}:
            collection = self._lane.collections.get(key)
            mine = [c for c in changes if c.key == key]
            if collection is None or not mine:
                continue
            definition = collection.definition
            index = self._kernel.index(definition.dimension, definition.element)
            standing = Standing(definition, index)
            for stream in streams:
                if stream.key == key:
                    standing.place(stream)
            hits |= standing.match(mine)
        return hits

    async def _changes(
        self, origin: str, start: Position, cursor: Position
    ) -> list[Change]:
        """Changes after start, up to the lane's cursor: from memory or the log."""
        recent = self._lane.recent[origin]
        if recent and start >= Position(recent[0].epoch, recent[0].seq - 1):
            changes = [c for c in recent if c.position > start][:_BATCH]
        else:
            changes = await self._reader.after(origin, self._lane.number, start, _BATCH)
        return [c for c in changes if c.position <= cursor]

    async def _stood(
        self, event_ids: list[str]
    ) -> dict[str, list[tuple[str, Position]]]:
        """Where the events stand, after memory and after the log."""
        found = {event: list(self._lane.stood(event)) for event in event_ids}
        if event_ids and len(self._lane.sequencers) > 1:
            rows = await self._reader.events(self._lane.number, event_ids)
            for event, origin, position in rows:
                found[event].append((origin, position))
        return found
