"""What other hubs publish, put in order, applied (hubs) and fed."""

import asyncio
import struct
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import asyncpg
import orjson

from service.google import UNREACHABLE, Google, Message
from service.log.change import START, Change, Position, decode, encode
from service.log.database import GONE
from service.log.reader import Reader
from service.log.request import hole_request
from service.log.sequencer import Sequencer
from service.settings import Settings
from service.telemetry import Metrics, log
from service.worker.feeder import Feeder

_PATIENCE = 1.0
"""Seconds a hole stands before it is repaired."""
_REPLICA = 2.0
"""Seconds this region's replica may take until the origin is asked."""
_STUCK = 5.0
"""Seconds a hub's lane may stand at a hole that its origin was asked for."""
_BATCH = 100
Key = tuple[str, int]
Apply = Callable[[list[Change]], Awaitable[None]]


class Inbox:
    """Follows every origin but `skip`; `apply` takes changes before the feed."""

    def __init__(
        self,
        settings: Settings,
        google: Google,
        reader: Reader,
        feeder: Feeder,
        metrics: Metrics,
        apply: Apply | None,
    ) -> None:
        self._settings = settings
        self._google = google
        self._reader = reader
        self._feeder = feeder
        self._metrics = metrics
        self._apply = apply
        self._own = settings.hub if settings.is_hub else None
        self._leads = False
        self.recalled: dict[str, dict[int, Position]] = {}
        """By hub how far it has published this hub's log again; see `Succession`."""
        self._lanes: dict[Key, Sequencer] = {}
        self._pumps: dict[Key, asyncio.Task[None]] = {}
        self._asked: dict[Key, float] = {}
        self._stuck: dict[Key, tuple[Position, float]] = {}
        self._work: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Pulls until cancelled. What is lost after its acknowledgement is repaired."""
        await self._begin()
        try:
            await self._pull()
        finally:
            for task in (*self._pumps.values(), *self._work):
                task.cancel()

    async def _pull(self) -> None:
        while True:
            try:
                messages = await self._google.pull(self._settings.subscription_changes)
            except UNREACHABLE as error:
                log("WARNING", "pull failed", error=repr(error))
                await asyncio.sleep(0.5)
                continue
            for message in messages:
                try:
                    self._take(message)
                except (KeyError, ValueError, TypeError, IndexError, struct.error) as e:
                    # Not ours or of a later format: it would come back for ever.
                    log("ERROR", "message not understood", error=repr(e))
            if messages:
                self._spawn(self._acknowledge(messages))

    def lead(self) -> None:
        """This hub's log is written here: what comes of it is an echo."""
        self._leads = True
        for key in [k for k in self._lanes if k[0] == self._own]:
            del self._lanes[key]
            if key in self._pumps:
                self._pumps.pop(key).cancel()

    def applied(self, origin: str, positions: dict[int, Position]) -> None:
        """This server has an origin's lanes so far, whichever worker applied them."""
        for lane, position in positions.items():
            self._lane((origin, lane)).advance(position)
            self._pump((origin, lane))

    def heads(self, origin: str) -> dict[int, Position]:
        """How far an origin's lanes are known to have come."""
        return {n: s.head for (o, n), s in self._lanes.items() if o == origin}

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _begin(self) -> None:
        """Starts from what this region's database has."""
        while True:
            try:
                for key, position in (await self._reader.positions()).items():
                    self._lanes[key] = Sequencer(position)
                return
            except (*GONE, asyncpg.PostgresError) as error:
                log("WARNING", "database away", error=type(error).__name__)
                await asyncio.sleep(0.5)

    async def _acknowledge(self, messages: list[Message]) -> None:
        ids = [m.ack_id for m in messages]
        try:
            await self._google.acknowledge(self._settings.subscription_changes, ids)
        except UNREACHABLE as error:
            # They come again and are dropped then.
            log("WARNING", "acknowledge failed", error=repr(error))

    def _take(self, message: Message) -> None:
        origin = message.attributes.get("origin", "")
        kind = message.attributes.get("kind")
        if not origin:
            return
        if kind == "recalled":
            self._take_recalled(message, origin)
            return
        if origin == self._own and self._leads:
            if kind == "heads":
                epoch = max((e for _, e, _ in orjson.loads(message.data)), default=0)
                self._spawn(self._yield_to(epoch))
            return
        if kind == "heads":
            for lane, epoch, seq in orjson.loads(message.data):
                self._lane((origin, lane)).saw_head(Position(epoch, seq))
            return
        if kind == "answer":
            # Every region hears it; one asked.
            if message.attributes["region"] == self._settings.region:
                instance = message.attributes["instance"]
                self._spawn(self._feeder.answer(instance, message.data))
            return
        key = (origin, int(message.attributes["lane"]))
        after = message.attributes.get("after")
        before = Position(*map(int, after.split("-"))) if after else None
        self._lane(key).offer(decode(message.data), before)
        self._pump(key)

    def _take_recalled(self, message: Message, peer: str) -> None:
        """A hub has published what it holds of this hub's log."""
        if message.attributes["of"] != self._own or self._leads:
            return
        answer = orjson.loads(message.data)
        self.recalled[peer] = {n: Position(e, s) for n, e, s in answer["reached"]}
        for lane, epoch, seq in answer["heads"]:
            self._lane((message.attributes["of"], lane)).saw_head(Position(epoch, seq))

    async def _yield_to(self, epoch: int) -> None:
        """Stops writes here once another server has begun a later epoch."""
        try:
            fenced = await self._reader.pool.fetchval(
                "SELECT fence($1, $2)", self._own, epoch
            )
        except (*GONE, asyncpg.PostgresError) as error:
            log("WARNING", "fence waits", error=type(error).__name__)
            return
        if fenced:
            log("ERROR", "another server leads this log", origin=self._own, epoch=epoch)

    def _lane(self, key: Key) -> Sequencer:
        if key not in self._lanes:
            self._lanes[key] = Sequencer(START)
        return self._lanes[key]

    def _pump(self, key: Key) -> None:
        running = self._pumps.get(key)
        if running is None or running.done():
            self._pumps[key] = task = asyncio.create_task(self._drain(key))
            task.add_done_callback(lambda ended: _log_failure(ended, key))

    async def _drain(self, key: Key) -> None:
        """Hands on what is in order, until nothing is."""
        sequencer = self._lanes[key]
        while ready := sequencer.ready(_BATCH):
            try:
                if self._apply is not None:
                    began = time.time_ns()
                    await self._apply(ready)
                    self._metrics.spans.batch("apply", ready, began)
            except (*GONE, asyncpg.PostgresError) as error:
                log("WARNING", "apply failed", error=repr(error), lane=key)
                await asyncio.sleep(0.5)
                await self._reposition(key)
                continue
            began = time.time_ns()
            await self._feeder.feed(ready, encode(ready))
            self._metrics.spans.batch("feed", ready, began)
            sequencer.advance(ready[-1].position)

    async def _reposition(self, key: Key) -> None:
        """The attempt may have been stored; another worker may have been first."""
        try:
            positions = await self._reader.positions(key[1])
        except (*GONE, asyncpg.PostgresError):
            return
        self._lanes[key].advance(positions.get(key, START))

    async def repair(self) -> None:
        """Looks for holes four times a second and exports positions."""
        while True:
            await asyncio.sleep(0.25)
            try:
                for key, sequencer in list(self._lanes.items()):
                    if sequencer.ready(1):
                        # Handed on now, or it stopped and nothing else begins it again.
                        self._pump(key)
                    if key[0] != self._own:
                        await self._repair(key, sequencer)
            except (*GONE, *UNREACHABLE, asyncpg.PostgresError) as error:
                log("WARNING", "repair waits", error=type(error).__name__)

    async def _repair(self, key: Key, sequencer: Sequencer) -> None:
        now = time.monotonic()
        hole = sequencer.hole(now, _PATIENCE)
        if hole is None:
            self._asked.pop(key, None)
            self._stuck.pop(key, None)
            return
        if self._stuck.get(key, (None, now))[0] != sequencer.position:
            self._stuck[key] = (sequencer.position, now)
        if self._apply is None:
            # The replica follows the hub by itself and mostly has them by now.
            at = sequencer.position
            start, changes = await self._reader.going_on(*key, at, 500)
            if changes or start > at:
                sequencer.advance(start)
                sequencer.offer(changes, start)
                self._metrics.repairs.labels("database").inc()
                self._pump(key)
                return
        since = self._asked.setdefault(key, now if self._apply is None else 0.0)
        if now - since >= _REPLICA:
            self._asked[key] = now
            await self._ask(key, hole)

    async def _ask(self, key: Key, hole: tuple[Position, Position]) -> None:
        origin, lane = key
        request = hole_request(lane, *hole)
        await self._google.publish(
            self._settings.topic_repairs, [(request, {"origin": origin})]
        )
        self._metrics.repairs.labels("origin").inc()

    def stuck(self, origin: str) -> set[int]:
        """Lanes of an origin that stand at a hole which nobody fills."""
        before = time.monotonic() - _STUCK
        return {
            lane
            for (name, lane), (_, since) in self._stuck.items()
            if name == origin and since <= before
        }

    async def skipped(self, origin: str, lanes: list[int]) -> None:
        """Lanes that were moved on in the database go on from there."""
        for lane in lanes:
            await self._reposition((origin, lane))
            self._pump((origin, lane))

    def export(self) -> None:
        """Writes positions and lags into the metrics."""
        for origin in self._settings.hubs:
            mine = [s for (o, _), s in self._lanes.items() if o == origin]
            reached = sum(s.position.seq for s in mine)
            self._metrics.applied_position.labels(origin).set(reached)
            self._metrics.lag_changes.labels(origin).set(sum(s.lag for s in mine))


def _log_failure(ended: asyncio.Task[None], key: Key) -> None:
    if not ended.cancelled() and (error := ended.exception()) is not None:
        log("ERROR", "a lane stopped", error=repr(error), lane=key)


class Applier:
    """Applies other hubs' changes to this hub's primary."""

    _CALL = (
        "SELECT epoch, seq FROM apply_changes($1, $2::smallint, $3::integer[], "
        "$4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], "
        "$10::bytea[], $11::text[], $12::bigint[], $13::text[], $14::bigint[], "
        "$15::bigint[])"
    )
    _FIELDS = (
        "epoch",
        "seq",
        "event_id",
        "tenant",
        "collection",
        "item_id",
        "op",
        "vector",
        "metadata",
        "at",
        "region",
        "written",
        "committed",
    )

    def __init__(self, database: asyncpg.Pool) -> None:
        self._database = database

    async def apply(self, changes: list[Change]) -> None:
        """Rows and applied position in one transaction."""
        columns = [[getattr(c, name) for c in changes] for name in self._FIELDS]
        first = changes[0]
        await self._database.fetchrow(self._CALL, first.origin, first.lane, *columns)
