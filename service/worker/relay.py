"""Publishes the changes of this hub, its heads, and what others ask for again."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import asyncpg
import orjson

from service.google import UNREACHABLE, Google
from service.log.change import LANES, START, Change, Position, encode
from service.log.database import GONE, connect
from service.log.reader import Reader
from service.log.request import read_request
from service.log.state import State
from service.settings import Settings
from service.telemetry import Metrics, log
from service.tracing import PRODUCER
from service.worker.asked import Asked
from service.worker.feeder import Feeder
from service.worker.forwarded import Forwarded

_POLL = 0.25
"""Seconds between polls when nothing rings; the bell is what makes it fast."""
_BATCH = 100
_SAVE = 1.0
_FAILURES = (*GONE, *UNREACHABLE, asyncpg.PostgresError)


class Relay:
    """Reads the hub's own log after its mark and publishes it.

    The mark is saved once a second: after a crash up to a second of changes is
    published again and dropped everywhere as applied. Two relays are harmless.
    """

    def __init__(
        self,
        settings: Settings,
        google: Google,
        reader: Reader,
        feeder: Feeder,
        metrics: Metrics,
        state: State,
        forwarded: Forwarded,
        heads: Callable[[str], dict[int, Position]],
    ) -> None:
        self._heads = heads
        self._settings = settings
        self._google = google
        self._reader = reader
        self._feeder = feeder
        self._metrics = metrics
        self._asked = Asked(settings, google, reader.pool, state, forwarded)
        self._marks: dict[int, Position] = {}
        self._saved: dict[int, Position] = {}
        self._bell = asyncio.Event()

    async def run(self) -> None:
        """Relays until cancelled."""
        listening = asyncio.create_task(self._listen())
        try:
            while True:
                try:
                    if not self._marks:
                        await self._load_marks()
                    await self._wait()
                    while await self._step():
                        pass
                except _FAILURES as error:
                    log("WARNING", "relay waits", error=repr(error))
                    await asyncio.sleep(0.5)
        finally:
            listening.cancel()

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._bell.wait(), _POLL)
        self._bell.clear()

    async def _step(self) -> bool:
        """Feeds and publishes what is new; says whether there may be more."""
        changes = await self._reader.unpublished(
            self._settings.hub, self._marks, _BATCH
        )
        if not changes:
            return False
        runs = [
            _run(self._marks[lane], list(group))
            for lane, group in itertools.groupby(changes, lambda c: c.lane)
        ]
        await asyncio.gather(self._publish(runs), *map(self._feed, runs))
        self._marks |= {r.changes[0].lane: r.changes[-1].position for r in runs}
        return any(len(run.changes) == _BATCH for run in runs)

    async def _feed(self, run: "_Run") -> None:
        began = time.time_ns()
        await self._feeder.feed(run.changes, run.frame)
        self._metrics.spans.batch("feed", run.changes, began)

    async def _publish(self, runs: list["_Run"]) -> None:
        messages = [(r.frame, _attributes(r.after, r.changes)) for r in runs]
        began = time.time_ns()
        await self._google.publish(self._settings.topic_changes, messages)
        ids = (c.event_id for run in runs for c in run.changes)
        sizes = {"meridian.messages": len(messages)}
        spans = self._metrics.spans
        spans.change("publish", ids, began, time.time_ns(), sizes, PRODUCER)

    async def _load_marks(self) -> None:
        rows = await self._reader.pool.fetch(
            "SELECT lane, epoch, seq FROM published WHERE origin = $1",
            self._settings.hub,
        )
        marks = dict.fromkeys(range(LANES), START)
        self._marks = marks | {r[0]: Position(r[1], r[2]) for r in rows}
        self._saved = dict(self._marks)

    async def save(self) -> None:
        """Saves the marks that moved, once a second."""
        while True:
            await asyncio.sleep(_SAVE)
            marks = dict(self._marks)
            moved = {n: p for n, p in marks.items() if self._saved.get(n) != p}
            if not moved:
                continue
            try:
                await self._reader.pool.execute(
                    "INSERT INTO published SELECT $1, * FROM unnest($2::smallint[], "
                    "$3::integer[], $4::bigint[]) ON CONFLICT (origin, lane) "
                    "DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq",
                    self._settings.hub,
                    list(moved),
                    [p.epoch for p in moved.values()],
                    [p.seq for p in moved.values()],
                )
                self._saved = marks
            except _FAILURES as error:
                log("WARNING", "marks not saved", error=type(error).__name__)

    async def _listen(self) -> None:
        """The writers' bell; see `Committer`."""
        while True:
            closed = asyncio.Event()
            try:
                connection = await connect(
                    self._settings, self._settings.database_primary, self._google.token
                )
                connection.add_termination_listener(lambda _, event=closed: event.set())
                await connection.add_listener(
                    "meridian_changes", lambda *_: self._bell.set()
                )
                await closed.wait()
            except _FAILURES:
                pass
            await asyncio.sleep(0.5)

    async def beacons(self) -> None:
        """Every second the head of every lane, so that a lost last change is seen."""
        while True:
            started = time.monotonic()
            try:
                rows = await self._reader.pool.fetch(
                    "SELECT lane, epoch, seq FROM position WHERE origin = $1",
                    self._settings.hub,
                )
                heads = orjson.dumps([tuple(row) for row in rows])
                attributes = {"origin": self._settings.hub, "kind": "heads"}
                await self._google.publish(
                    self._settings.topic_changes, [(heads, attributes)]
                )
                self._metrics.applied_position.labels(self._settings.hub).set(
                    sum(row[2] for row in rows)
                )
            except _FAILURES as error:
                log("WARNING", "no beacon", error=repr(error))
            await asyncio.sleep(max(0.0, 1.0 - (time.monotonic() - started)))

    async def answer_repairs(self) -> None:
        """Publishes again what another region misses, and answers its questions."""
        subscription = self._settings.subscription_repairs
        while subscription:
            try:
                messages = await self._google.pull(subscription)
                for message in messages:
                    if message.attributes.get("origin") == self._settings.hub:
                        await self._repair(message.data)
                if messages:
                    await self._google.acknowledge(
                        subscription, [m.ack_id for m in messages]
                    )
            except _FAILURES as error:
                log("WARNING", "repairs wait", error=repr(error))
                await asyncio.sleep(0.5)

    async def _repair(self, data: bytes) -> None:
        request = read_request(data)
        if "ask" in request:
            await self._asked.take(request["ask"], len(data))
        elif "recall" in request:
            await self._recall(request["recall"])
        else:
            first, last = Position(*request["first"]), Position(*request["last"])
            at = Position(first.epoch, first.seq - 1)
            await self._again(self._settings.hub, int(request["lane"]), at, last)

    async def _again(
        self, origin: str, lane: int, at: Position, last: Position | None = None
    ) -> None:
        """Publishes what this server holds of a log after `at`, to `last` or all."""
        while last is None or at < last:
            start, changes = await self._reader.going_on(origin, lane, at, _BATCH)
            if not changes:
                return
            await self._publish([_run(start, changes)])
            at = changes[-1].position

    async def _recall(self, asked: dict[str, Any]) -> None:
        """Publishes what another hub lost of its own log; see `Succession`."""
        if asked["until"] < time.time():
            return
        origin = asked["origin"]
        reached = {
            lane: position
            for (o, lane), position in (await self._reader.positions()).items()
            if o == origin
        }
        for lane, epoch, seq in asked["after"]:
            if reached.get(lane, START) > (epoch, seq):
                await self._again(origin, lane, Position(epoch, seq))
        answer = {
            "reached": [(n, *p) for n, p in reached.items()],
            "heads": [(n, *p) for n, p in self._heads(origin).items()],
        }
        attributes = {"origin": self._settings.hub, "kind": "recalled", "of": origin}
        await self._google.publish(
            self._settings.topic_changes, [(orjson.dumps(answer), attributes)]
        )


class _Run(NamedTuple):
    """Changes of a lane that follow each other."""

    after: Position
    """Of the change before the first."""
    changes: list[Change]
    frame: bytes
    """As they travel."""


def _run(after: Position, changes: list[Change]) -> _Run:
    return _Run(after, changes, encode(changes))


def _attributes(after: Position, group: list[Change]) -> dict[str, str]:
    return {
        "after": f"{after.epoch}-{after.seq}",
        "origin": group[0].origin,
        "lane": str(group[0].lane),
        "epoch": str(group[0].epoch),
        "first": str(group[0].seq),
        "last": str(group[-1].seq),
    }
