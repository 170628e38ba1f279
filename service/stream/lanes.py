"""Follows the lanes in use: from Redis as it comes, from Postgres where it lacks."""

import asyncio
import time

import asyncpg

from service.contract import ServiceError
from service.feed import AWAY, open_redis, read_feed
from service.google import UNREACHABLE, Google
from service.kernel import Kernel
from service.log.change import START, Change, Key, Position, lane_of
from service.log.database import GONE
from service.log.definition import Definition
from service.log.reader import Reader
from service.log.request import hole_request
from service.settings import Settings
from service.single_flight import SingleFlight
from service.snapshot.bucket import Bucket
from service.stream.guides import Guides
from service.stream.items import Items
from service.stream.lane import Collection, Lane
from service.stream.loading import Loading
from service.stream.repairs import Repairs
from service.stream.replay import Replay
from service.stream.standing import Listener, Stream
from service.stream.starting import gap
from service.telemetry import Metrics, log

_PATIENCE = 0.15
"""Seconds a hole stands before Postgres is asked."""
_ASK_AFTER = 2.0
"""Seconds this region's Postgres may take to replay before the origin is asked."""
_SEED_SECONDS = 900
_DEFINITION_SECONDS = 5.0
"""How long a definition is believed whose lane may not be followed."""
_BLOCK = 5000
"""Milliseconds a read of the feed waits for changes."""
_DATABASE_AWAY = (*GONE, asyncpg.PostgresError)


class Lanes:
    """The lanes that this instance follows, and their collections."""

    def __init__(
        self,
        settings: Settings,
        reader: Reader,
        google: Google,
        kernel: Kernel,
        metrics: Metrics,
        guides: Guides,
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._google = google
        self._kernel = kernel
        self._metrics = metrics
        self._guides = guides
        self._lanes: dict[int, Lane] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._healing: set[tuple[int, str]] = set()
        self._opening = asyncio.Lock()
        self._definitions: dict[Key, tuple[float, Definition]] = {}
        self._defining = SingleFlight(self._define)
        self._replays: dict[tuple[int, int], Replay] = {}
        self._repairs = Repairs(reader)
        bucket = Bucket(google, settings.bucket) if settings.bucket else None
        most = settings.limits.max_collection_bytes
        self._loading = Loading(reader, bucket, kernel, guides, metrics, most)
        self.window = 0.0
        """Seconds that changes wait for company before they are matched together."""

    @property
    def followed(self) -> dict[int, Lane]:
        """The lanes by number."""
        return self._lanes

    def close(self) -> None:
        """Stops following."""
        for task in self._tasks:
            task.cancel()
        self._guides.close()

    async def definition(self, key: Key) -> Definition:
        """A collection; raises ServiceError `unknown_collection`."""
        until, known = self._definitions.get(key, (0.0, None))
        if known is None or until < time.monotonic():
            known = await self._defining.get(key)
            if known is None:
                self._definitions.pop(key, None)
                raise ServiceError(
                    "unknown_collection",
                    f"There is no collection {key[1]!r} in {self._settings.region}: "
                    "create it with POST /v1/collections.",
                )
            self.learn(known)
        return known

    async def _define(self, key: Key) -> Definition | None:
        return await self._reader.definition(*key)

    def learn(self, definition: Definition) -> None:
        """Takes a definition that a database just gave."""
        until = time.monotonic() + _DEFINITION_SECONDS
        self._definitions[definition.key] = (until, definition)

    def forget_definition(self, key: Key) -> None:
        """It was dropped or created anew."""
        self._definitions.pop(key, None)
        self._defining.forget(key)

    def _redefined(self, change: Change) -> None:
        """A creation or drop went by in a followed lane."""
        self.forget_definition(change.key)
        if change.op == "drop":
            self._end(change.key, change.at)

    async def _look_again(self, key: Key) -> None:
        """A creation or drop came by comparison with another hub."""
        self.forget_definition(key)
        if lane_of(*key) in self._lanes:
            known = await self._reader.definition(*key)
            at = known.at if known else await self._reader.dropped(*key)
            self._end(key, at)

    def _end(self, key: Key, at: int) -> None:
        """Ends what is held of a collection that was created before `at`."""
        lane = self._lanes[lane_of(*key)]
        collection = lane.collections.get(key)
        if collection is None or collection.definition.at >= at:
            return
        del lane.collections[key]
        if collection.items is not None:
            collection.items.close()
        ended = collection.standing.all()
        for (_, number), replay in self._replays.items():
            if number == lane.number:
                waiting = [s for s in replay.streams if s.key == key]
                for stream in waiting:
                    replay.drop(stream)
                ended += waiting
        for stream in ended:
            collection.standing.remove(stream)
            stream.listener.ended(stream, f"{key[1]} was dropped")

    async def collection(self, definition: Definition) -> tuple[Lane, Collection]:
        """A collection whose lane is followed."""
        lane = await self._lane(definition.lane)
        known = lane.collections.get(definition.key)
        if known is not None and known.definition.at < definition.at:
            self._end(definition.key, definition.at)
            known = None
        if known is None:
            known = Collection(definition, self._kernel)
            lane.collections[definition.key] = known
        return lane, known

    async def items(self, definition: Definition) -> Items:
        """The items of a collection, read on first use from one snapshot."""
        lane, collection = await self.collection(definition)
        if collection.items is None:
            async with self._opening:
                if collection.items is None:
                    await self._load(lane, collection)
        assert collection.items is not None
        return collection.items

    async def _lane(self, number: int) -> Lane:
        if number not in self._lanes:
            async with self._opening:
                if number not in self._lanes:
                    await self._open(number)
        return self._lanes[number]

    async def _open(self, number: int) -> None:
        await self._repairs.begin()
        found = await self._reader.positions(number)
        positions = dict.fromkeys(self._settings.hubs, START)
        positions |= {origin: p for (origin, _), p in found.items()}
        lane = Lane(number, positions, self._metrics, self._park, self._redefined)
        moment = int((time.time() - _SEED_SECONDS) * 1000)
        for event, origin, at in await self._reader.recent_events(number, moment):
            if at <= positions.get(origin, START):
                lane.remember(event, origin, at)
        self._lanes[number] = lane
        self._tasks.append(asyncio.create_task(self._follow(lane)))

    async def _follow(self, lane: Lane) -> None:
        """Reads the feed for ever; without Redis `pulse` fills what comes."""
        patience = _BLOCK / 1000 + 2
        client = await open_redis(self._settings, self._google, patience=patience)
        try:
            while True:
                try:
                    if self.window:
                        await asyncio.sleep(self.window)
                    after = lane.read_from()
                    for origin, changes in await read_feed(
                        client, lane.number, after, _BLOCK
                    ):
                        lane.fed[origin] = changes[-1].position
                        lane.offer(origin, changes)
                        self._watch_for_hole(lane, origin)
                except AWAY as error:
                    log("WARNING", "feed away", error=type(error).__name__)
                    await asyncio.sleep(0.5)
        finally:
            await client.aclose()

    def _watch_for_hole(self, lane: Lane, origin: str) -> None:
        key = (lane.number, origin)
        if lane.sequencers[origin].lag and key not in self._healing:
            self._healing.add(key)
            self._tasks = [t for t in self._tasks if not t.done()]
            self._tasks.append(asyncio.create_task(self._heal(lane, origin)))

    async def _heal(self, lane: Lane, origin: str) -> None:
        """Fills a hole from this region's Postgres, later through the origin."""
        sequencer = lane.sequencers[origin]
        asked = time.monotonic()
        try:
            await asyncio.sleep(_PATIENCE)
            while sequencer.lag:
                at = sequencer.position
                start, changes = await self._reader.going_on(
                    origin, lane.number, at, 500
                )
                if sequencer.position == at and (changes or start > at):
                    if start > at:
                        self._jump(lane, origin, start)
                    lane.offer(origin, changes, start)
                    self._metrics.repairs.labels("database").inc()
                now = time.monotonic()
                if sequencer.position > at:
                    asked = now
                    continue
                if now - asked > _ASK_AFTER:
                    asked = now
                    hole = sequencer.hole(now, 0)
                    if hole is not None:
                        await self._ask_origin(lane.number, origin, hole)
                await asyncio.sleep(0.05)
        except (*_DATABASE_AWAY, *UNREACHABLE) as error:
            log("WARNING", "repair waits", error=type(error).__name__)
        finally:
            self._healing.discard((lane.number, origin))

    def _jump(self, lane: Lane, origin: str, position: Position) -> None:
        """Goes on past what this region's hub has no changes of, only their outcome."""
        lost = lane.jump(origin, position)
        for stream in lane.live:
            stream.listener.missed(stream, gap(origin, lost, position))
        for (_, number), replay in self._replays.items():
            for stream in replay.streams if number == lane.number else ():
                here = stream.positions.get(origin, START)
                if here < position:
                    stream.positions[origin] = position
                    stream.listener.missed(stream, gap(origin, here, position))

    async def _ask_origin(
        self, lane: int, origin: str, hole: tuple[Position, Position]
    ) -> None:
        request = hole_request(lane, *hole)
        await self._google.publish(
            self._settings.topic_repairs, [(request, {"origin": origin})]
        )
        self._metrics.repairs.labels("origin").inc()

    async def hasten(self, lane: Lane, wanted: dict[str, Position]) -> None:
        """Fetches what is missing up to positions, without waiting for patience.

        They are a caller's word. No lane takes them for its head: of what nobody ever
        wrote an instance would be behind for good, and be taken out of service.
        """
        for origin, position in wanted.items():
            sequencer = lane.sequencers.get(origin)
            if sequencer is None or sequencer.position >= position:
                continue
            after = sequencer.position
            changes = await self._reader.after(origin, lane.number, after, 500)
            lane.offer(origin, changes, after)
            if sequencer.position < position:
                hole = sequencer.missing(position)
                await self._ask_origin(lane.number, origin, hole)

    async def pulse(self) -> dict[tuple[int, str], int]:
        """Compares with this region's Postgres; returns the lag by lane, origin."""
        if not self._lanes:
            # A backend keeps what it ever read: 100 KiB less in each idle instance.
            await self._reader.answer()
            return {}
        for (origin, number), position in (await self._reader.positions()).items():
            lane = self._lanes.get(number)
            if lane is None:
                continue
            if origin not in lane.sequencers:
                lane.offer(origin, ())
            lane.sequencers[origin].saw_head(position)
            self._watch_for_hole(lane, origin)
        for key in await self._repairs.take(self._lanes):
            await self._look_again(key)
        return {
            (number, origin): sequencer.lag
            for number, lane in self._lanes.items()
            for origin, sequencer in lane.sequencers.items()
        }

    async def _load(self, lane: Lane, collection: Collection) -> None:
        """Items and position come from one moment; what came since is added."""
        collection.loading = []
        try:
            items = await self._loading.items(
                collection.definition, lane.number, lane.positions
            )
            for change in collection.loading:
                items.apply(change)
            collection.items = items
        finally:
            collection.loading = None

    async def expire(self) -> None:
        """Every second forgets what collections keep no longer."""
        while True:
            await asyncio.sleep(1)
            for lane in list(self._lanes.values()):
                for collection in list(lane.collections.values()):
                    if collection.items is not None:
                        collection.items.expire()

    def replay(self, listener: Listener, lane: int) -> Replay:
        """The replay of a connection on a lane."""
        key = (id(listener), lane)
        if key not in self._replays:
            self._replays[key] = Replay(
                self._lanes[lane], self._reader, listener, self._kernel
            )
        return self._replays[key]

    def waits(self, stream: Stream) -> bool:
        """Whether a stream runs and is not live."""
        replay = self._replays.get((id(stream.listener), stream.lane))
        return replay is not None and stream in replay.streams

    def _park(self, listener: Listener, streams: list[Stream]) -> None:
        if streams:
            self.replay(listener, streams[0].lane).add(streams)

    def forget(self, listener: Listener) -> None:
        """Ends everything of a connection."""
        for key in [k for k in self._replays if k[0] == id(listener)]:
            self._replays.pop(key).close()
        for lane in self._lanes.values():
            for collection in lane.collections.values():
                for stream in collection.standing.of(listener):
                    collection.standing.remove(stream)
