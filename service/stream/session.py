"""The streams of one connection, apart from how it is carried."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import orjson

from service.access.context import Context
from service.api.trials import judge
from service.contract import ServiceError, parse
from service.contract.messages import TYPES, Credit, Feedback, Watch
from service.log.change import Change
from service.log.database import GONE
from service.stream.admin import Recent
from service.stream.connections import Connections
from service.stream.instance import Instance
from service.stream.learner import Learner
from service.stream.standing import Positions, Stream
from service.stream.starting import Gaps, Starting
from service.stream.token import write_token
from service.stream.window import matched, wanted_window
from service.telemetry import log
from service.tracing import PRODUCER

CREDIT_BYTES = 256 * 1024
"""Queued bytes from which on a connection's streams stop advancing."""
GRACE = 5.0
"""Seconds between `goaway` and the end."""
_DATABASE_AWAY = (*GONE, asyncpg.PostgresError)
Encode = Callable[[dict[str, Any]], bytes]


class Session:
    """A `Listener` of its streams; a transport carries what it queues."""

    def __init__(
        self,
        instance: Instance,
        connections: Connections,
        recent: Recent,
        context: Context,
        encode: Encode = orjson.dumps,
    ) -> None:
        self.instance = instance
        self.context = context
        self.streams: dict[str, Stream] = {}
        self._windowed: dict[str, Stream] = {}
        """Those of them with a window: looked at twice a second, all are not."""
        self._connections = connections
        self._recent = recent
        self._encode = encode
        self._starting = Starting(instance.reader)
        self._learner = Learner(instance)
        self._outbox: deque[bytes] = deque()
        self._queued = 0
        self._traced: deque[tuple[bytes, str, int]] = deque()
        """Queued matches of changes whose spans are kept: message, event id, since."""
        self._wake = asyncio.Event()
        self.closing = False

    def open(self) -> None:
        """Counts in; `close` counts out."""
        self._connections.add(self)

    def close(self) -> None:
        """Ends every stream."""
        self._connections.remove(self)
        self.instance.lanes.forget(self)
        self.streams.clear()
        self._windowed.clear()

    @property
    def has_credit(self) -> bool:
        """Whether more may be queued."""
        return self._queued < CREDIT_BYTES

    def queue(self, message: dict[str, Any]) -> None:
        """Queues a message."""
        data = self._encode(message)
        self._outbox.append(data)
        self._queued += len(data)
        self._wake.set()

    async def outgoing(self) -> AsyncIterator[bytes]:
        """What was queued, in order, until the session is told to go away."""
        while True:
            while self._outbox:
                data = self._outbox.popleft()
                yield data
                self._queued -= len(data)
                if self._traced and self._traced[0][0] is data:
                    self._notified()
            if self.closing:
                return
            self._wake.clear()
            await self._wake.wait()

    def deliver(
        self, stream: Stream, change: Change, score: float, positions: Positions
    ) -> None:
        """Queues a match, or keeps it for the end of its window."""
        if stream.window is not None:
            stream.window.add(change, score)
            return
        now = time.time() * 1000
        if stream.credit is not None:
            stream.credit -= 1
        self.queue(
            {
                "type": "match",
                **self._of(stream),
                **matched(change, score),
                "token": write_token(stream.lane, positions, stream.definition_version),
                "notified_at": int(now),
            }
        )
        metrics = self.instance.metrics
        metrics.notified(change.region, (now - change.committed) / 1000)
        self._recent.add(stream, change, score, now - change.committed)
        if metrics.spans.leads(change.event_id):
            since = time.time_ns()
            self._traced.append((self._outbox[-1], change.event_id, since))

    def _of(self, stream: Stream) -> dict[str, Any]:
        return {
            "stream": stream.id,
            "collection": stream.collection,
            "threshold": stream.threshold,
            "definition_version": stream.definition_version,
            "region": self.instance.settings.region,
        }

    def close_windows(self, now: float) -> None:
        """Tells of the windows that are over; `now` in seconds since 1970."""
        for stream in self._windowed.values():
            window = stream.window
            assert window is not None
            if window.matched and not (window.over(now) and self.has_credit):
                continue
            token = self._reached(stream)
            if window.matched:
                if stream.credit is not None:
                    stream.credit -= 1
                told = {**self._of(stream), **window.take(now)}
                at = {"token": token, "notified_at": int(now * 1000)}
                self.queue({"type": "best", **told, **at})
            window.begin(token, now)
            if not stream.open:
                self._stop(stream)

    def _notified(self) -> None:
        _, event_id, since = self._traced.popleft()
        spans = self.instance.metrics.spans
        spans.change("notify", (event_id,), since, time.time_ns(), {}, PRODUCER)

    def ended(self, stream: Stream, reason: str) -> None:
        """Its collection is gone."""
        self.streams.pop(stream.id, None)
        self._windowed.pop(stream.id, None)
        self.queue({"type": "dropped", "stream": stream.id, "reason": reason})

    def go_away(self, reason: str) -> None:
        """Tells the client to resume elsewhere; `outgoing` ends once it is told."""
        if not self.closing:
            self.heartbeat()
            self.queue({"type": "goaway", "reason": reason, "seconds": GRACE})
            self.closing = True
            self._wake.set()

    def heartbeat(self) -> None:
        """Carries each stream's position, so that a quiet one stays in the window."""
        tokens = {s.id: self._token(s) for s in self.streams.values()}
        self.queue({"type": "heartbeat", "tokens": tokens, "at": time.time()})

    def _token(self, stream: Stream) -> str:
        """Resumes it where nothing is untold."""
        window = stream.window
        untold = window is not None and window.matched
        return window.token if window and untold else self._reached(stream)

    def _reached(self, stream: Stream) -> str:
        lane = self.instance.lanes.followed[stream.lane]
        live = stream.slot is not None
        positions = lane.positions if live else stream.positions
        return write_token(stream.lane, positions, stream.definition_version)

    def refuse(self, error: ServiceError, stream: str | None) -> None:
        """Says that a message was refused."""
        problem = {
            "code": error.code,
            "message": error.message,
            "details": error.details,
        }
        self.queue({"type": "error", "stream": stream, "error": problem})

    async def handle(self, given: Any) -> None:
        """Takes a client's message; what is wrong with it is queued as an error."""
        named = given.get("stream") if isinstance(given, dict) else None
        stream = named if isinstance(named, str) else None
        try:
            try:
                await self._dispatch(given)
            except _DATABASE_AWAY:
                raise ServiceError(
                    "unavailable", "This region's database is away: try again."
                ) from None
        except ServiceError as error:
            self.refuse(error, stream)
        except Exception as error:  # noqa: BLE001 (a fault ends no other stream)
            log("ERROR", "message failed", error=type(error).__name__)
            failed = ServiceError("internal", "The message failed; it is logged.")
            self.refuse(failed, stream)

    async def _dispatch(self, given: Any) -> None:
        kind = given.get("type") if isinstance(given, dict) else None
        known = [k for k in TYPES if k != "call"]
        if kind not in known:
            raise ServiceError(
                "bad_request", f"message.type: allowed are {', '.join(known)}."
            )
        message = parse(TYPES[kind], given, "message")
        if isinstance(message, Watch):
            await self.watch(message)
        elif kind == "ping":
            self.heartbeat()
        elif kind == "list":
            self._list()
        else:
            stream = self._named(message.stream)
            await getattr(self, f"_{kind}")(stream, message)

    def _named(self, name: str) -> Stream:
        stream = self.streams.get(name)
        if stream is None:
            raise ServiceError("unknown_stream", f"No stream {name!r} runs here.")
        return stream

    async def watch(self, wanted: Watch) -> None:
        """Starts a stream."""
        instance = self.instance
        caller = self.context.caller
        await instance.access.watch(caller)
        quota = await instance.access.quotas.get(caller.tenant)
        quota.check_streams(self._connections.of(caller))
        self._refuse_more(wanted.stream)
        window = wanted_window(wanted.best, wanted.window_seconds)
        definition = await instance.definition(self.context, wanted.collection)
        vector = await instance.vector(
            definition, wanted.vector, wanted.text, "message.vector"
        )
        threshold = await self._threshold(wanted, definition, vector)
        lane, collection = await instance.lanes.collection(definition)
        positions, gaps = await self._starting.find(lane, wanted.from_)
        self._refuse_more(wanted.stream)
        stream = Stream(
            wanted.stream,
            definition.key,
            lane.number,
            vector,
            threshold,
            wanted.definition_version,
            self,
            filter=wanted.filter,  # type: ignore[arg-type]  # parsed
            credit=wanted.credit,
            window=window,
            priority=wanted.priority,
            held=not instance.access.may_hold(caller, wanted.priority),
        )
        if wanted.learned is not None:
            await self._learner.begin(stream, definition, wanted.learned)
        # Dropped while it was waited for.
        if lane.collections.get(definition.key) is not collection:
            raise ServiceError(
                "unknown_collection", f"{wanted.collection} was dropped just now."
            )
        self.streams[stream.id] = stream
        live = positions is None and stream.open
        # "now" is the lane as it stands while nothing is awaited.
        stream.positions = dict(lane.positions) if positions is None else positions
        if window is not None:
            window.begin(self._reached(stream), time.time())
            self._windowed[stream.id] = stream
        self._announce(stream, gaps, learned=wanted.learned is not None)
        if live:
            collection.standing.add(stream)
        else:
            instance.lanes.replay(self, lane.number).add([stream])

    def _announce(self, stream: Stream, gaps: Gaps, *, learned: bool) -> None:
        """Says that a stream runs, from where, and what it does not hear."""
        said = self._of(stream) | {"token": self._reached(stream)}
        del said["definition_version"]  # the client's own
        self.queue({"type": "watching", **said})
        if learned:
            self.queue(self._learner.event(stream))
        for gap in gaps:
            self.queue({"type": "gap", "stream": stream.id, **gap})

    async def _threshold(self, wanted: Watch, definition: Any, vector: Any) -> float:
        if wanted.threshold is not None:
            return wanted.threshold
        assert wanted.rate_per_hour is not None
        judged = await judge(
            self.instance,
            definition,
            vector,
            wanted.filter,  # type: ignore[arg-type]  # parsed
            3600.0,
        )
        return judged.threshold_for(wanted.rate_per_hour)

    def _refuse_more(self, stream: str) -> None:
        most = self.instance.settings.limits.max_streams_per_connection
        if stream in self.streams:
            raise ServiceError(
                "duplicate_stream",
                f"{stream!r} runs on this connection: drop it or use another id.",
            )
        if len(self.streams) >= most:
            raise ServiceError(
                "too_many_streams",
                f"This connection has {most} streams, its most: open another.",
                details={"allowed": most},
            )

    async def _feedback(self, stream: Stream, message: Feedback) -> None:
        definition = await self.instance.definition(self.context, stream.collection)
        self.queue(
            await self._learner.feedback(
                stream, definition, message.item, good=message.good
            )
        )

    async def _undo(self, stream: Stream, _: Any) -> None:
        self.queue(self._learner.undo(stream))

    async def _drop(self, stream: Stream, _: Any) -> None:
        del self.streams[stream.id]
        self._windowed.pop(stream.id, None)
        self._learner.forget(stream)
        lanes = self.instance.lanes
        lane = lanes.followed[stream.lane]
        if stream.key in lane.collections:
            lane.collections[stream.key].standing.remove(stream)
        lanes.replay(self, stream.lane).drop(stream)
        self.queue({"type": "dropped", "stream": stream.id})

    async def _pause(self, stream: Stream, _: Any) -> None:
        stream.paused = True
        self._stop(stream)
        token = self._token(stream)
        self.queue({"type": "paused", "stream": stream.id, "token": token})

    async def _resume(self, stream: Stream, _: Any) -> None:
        stream.paused = False
        self.queue({"type": "resumed", "stream": stream.id})
        self._go_on(stream)

    async def _credit(self, stream: Stream, message: Credit) -> None:
        if stream.credit is None:
            raise ServiceError(
                "bad_request",
                f"{stream.id!r} has no bound: watch it with a credit to grant more.",
            )
        stream.credit += message.credit
        answer = {"type": "credited", "stream": stream.id, "credit": stream.credit}
        self.queue(answer)
        self._go_on(stream)

    def hold(self, may: Callable[[str], bool]) -> None:
        """Under overload the streams of a priority stop; later they catch up."""
        for stream in self.streams.values():
            held = not may(stream.priority)
            if stream.held != held:
                stream.held = held
                self._stop(stream) if held else self._go_on(stream)

    def _stop(self, stream: Stream) -> None:
        if stream.slot is not None:
            lane = self.instance.lanes.followed[stream.lane]
            lane.stop([stream], lane.positions)

    def _go_on(self, stream: Stream) -> None:
        if stream.open:
            self.instance.lanes.replay(self, stream.lane).opened()

    def _list(self) -> None:
        states = [s.shown(self._token(s)) for s in self.streams.values()]
        self.queue({"type": "streams", "streams": states})
