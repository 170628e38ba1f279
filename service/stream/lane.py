"""One lane as an instance holds it: order, recent changes, who listens.

Everything here runs in the event loop without waiting, so a stream that is
moved between "replaying" and "live" misses nothing and hears nothing twice.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping

from service.kernel import Kernel
from service.log.change import START, Change, Key, Position, Positions
from service.log.definition import Definition
from service.log.sequencer import Sequencer
from service.stream.items import Items
from service.stream.standing import Listener, Standing, Stream, Told
from service.telemetry import Metrics

RECENT = 1024
"""Changes of one origin kept in memory for streams that catch up."""
REMEMBERED_EVENTS = 16_384
"""Event ids kept, so that a retry through another hub is delivered once."""


class Collection:
    """A collection's standing queries and, once searched, its items."""

    def __init__(self, definition: Definition, kernel: Kernel) -> None:
        self.definition = definition
        index = kernel.index(definition.dimension, definition.element)
        self.standing = Standing(definition, index)
        self.items: Items | None = None
        self.loading: list[Change] | None = None
        """Changes that came while the items are read from the database."""


class Lane:
    """What an instance knows of one lane."""

    def __init__(
        self,
        number: int,
        positions: Positions,
        metrics: Metrics,
        parked: Callable[[Listener, list[Stream]], None],
        redefined: Callable[[Change], None],
    ) -> None:
        self.number = number
        self.sequencers = {o: Sequencer(p) for o, p in positions.items()}
        self.recent: dict[str, deque[Change]] = {
            origin: deque(maxlen=RECENT) for origin in positions
        }
        self.fed: Positions = {}
        """Newest entry read from the feed, per origin."""
        self.collections: dict[Key, Collection] = {}
        self._events: OrderedDict[str, list[tuple[str, Position]]] = OrderedDict()
        self._metrics = metrics
        self._parked = parked
        """Told of streams that stop here and are matched from the log later."""
        self._redefined = redefined
        """Told of creations and drops, before what comes after them."""
        self._moved = asyncio.Event()

    @property
    def positions(self) -> Positions:
        """Everything up to here was matched."""
        return {origin: s.position for origin, s in self.sequencers.items()}

    def read_from(self) -> Positions:
        """Where reading of the feed goes on."""
        return {o: max(p, self.fed.get(o, p)) for o, p in self.positions.items()}

    def has(self, wanted: Mapping[str, Position]) -> bool:
        """Whether everything up to the positions was applied."""
        here = self.positions
        return all(here.get(o, START) >= p for o, p in wanted.items())

    async def reach(self, wanted: Mapping[str, Position], seconds: float) -> bool:
        """Waits until the positions are applied; False when time is over."""
        until = time.monotonic() + seconds
        while not self.has(wanted):
            left = until - time.monotonic()
            if left <= 0:
                return False
            self._moved.clear()
            try:
                await asyncio.wait_for(self._moved.wait(), left)
            except TimeoutError:
                return self.has(wanted)
        return True

    def remember(self, event_id: str, origin: str, position: Position) -> None:
        """Keeps where an event id stood."""
        self._events.setdefault(event_id, []).append((origin, position))
        if len(self._events) > REMEMBERED_EVENTS:
            self._events.popitem(last=False)

    def stood(self, event_id: str) -> list[tuple[str, Position]]:
        """Where an event id is known to stand."""
        return self._events.get(event_id, [])

    def offer(
        self, origin: str, changes: Iterable[Change], after: Position | None = None
    ) -> None:
        """Takes changes in any order; what is next in order is matched now.

        `after`: see `Sequencer.offer`.
        """
        sequencer = self.sequencers.get(origin)
        if sequencer is None:
            sequencer = self.sequencers[origin] = Sequencer(START)
            self.recent[origin] = deque(maxlen=RECENT)
        sequencer.offer(changes, after)
        while ready := sequencer.ready():
            self._take(origin, sequencer, ready)

    def jump(self, origin: str, position: Position) -> Position:
        """Goes on after a position, past changes that nobody has; from where."""
        sequencer = self.sequencers[origin]
        lost = sequencer.position
        sequencer.advance(position)
        # What is in memory no longer reaches up to where the lane stands.
        self.recent[origin].clear()
        self._moved.set()
        return lost

    @property
    def live(self) -> list[Stream]:
        """Streams that hear every change as it comes."""
        return [s for c in self.collections.values() for s in c.standing.all()]

    def _take(self, origin: str, sequencer: Sequencer, ready: list[Change]) -> None:
        started, began = time.perf_counter(), time.time_ns()
        hits = self._match(ready)
        matched = time.time_ns()
        self.recent[origin].extend(ready)
        for change in ready:
            found = hits.get(change.position)
            repeated = self._repeats(change)
            self.remember(change.event_id, origin, change.position)
            sequencer.advance(change.position)
            if change.op in ("collection", "drop"):
                self._redefined(change)
            if found and not repeated:
                told = {"meridian.streams": len(found)}
                spans = self._metrics.spans
                spans.change("match", (change.event_id,), began, matched, told)
                self._tell(found, change)
        self._moved.set()
        self._metrics.match_seconds.add(time.perf_counter() - started)

    def _repeats(self, change: Change) -> bool:
        return any(o != change.origin for o, _ in self.stood(change.event_id))

    def _match(self, ready: list[Change]) -> dict[Position, Told]:
        """Applies changes to items and finds the live streams they reach."""
        grouped: dict[Key, list[Change]] = {}
        for change in ready:
            if change.key in self.collections:
                grouped.setdefault(change.key, []).append(change)
        hits: dict[Position, Told] = {}
        for key, changes in grouped.items():
            collection = self.collections[key]
            if collection.loading is not None:
                collection.loading += changes
            elif collection.items is not None:
                for change in changes:
                    collection.items.apply(change)
            if len(collection.standing):
                hits |= collection.standing.match(changes)
        return hits

    def _tell(self, found: Told, change: Change) -> None:
        positions = self.positions
        dry = []
        for stream, score in found:
            # Parked by an earlier change of this batch: its replay delivers it.
            if stream.slot is None:
                continue
            stream.listener.deliver(stream, change, score, positions)
            if not stream.open:
                self.stop([stream], positions)
            if not stream.listener.has_credit and stream.listener not in dry:
                dry.append(stream.listener)
        for listener in dry:
            self.park(listener, positions)

    def park(self, listener: Listener, positions: Positions) -> None:
        """All streams of a connection stop here."""
        for collection in self.collections.values():
            self.stop(collection.standing.of(listener), positions)

    def stop(self, streams: list[Stream], positions: Positions) -> None:
        """Live streams stop at the positions and are matched from the log later."""
        for stream in streams:
            self.collections[stream.key].standing.remove(stream)
            stream.positions = dict(positions)
        by_listener: dict[int, list[Stream]] = {}
        for stream in streams:
            by_listener.setdefault(id(stream.listener), []).append(stream)
        for group in by_listener.values():
            self._parked(group[0].listener, group)
