"""The streams of one connection, apart from how it is carried."""

import time
from collections.abc import Callable
from typing import Any

import asyncpg
import orjson

from service.access.context import Context
from service.contract import ServiceError, parse
from service.contract.messages import TYPES, Ack, Attach, Credit, Feedback, Watch
from service.log.change import Change, Positions
from service.log.database import GONE
from service.stream.admin import Recent
from service.stream.connections import Connections
from service.stream.instance import Instance
from service.stream.learner import Learner
from service.stream.opening import Opening
from service.stream.outbox import Encode, Outbox
from service.stream.persistence import Persistence
from service.stream.standing import Stream
from service.stream.starting import Gaps
from service.stream.timing import GRACE, Timing
from service.stream.token import write_token
from service.stream.window import matched
from service.telemetry import log

_DATABASE_AWAY = (*GONE, asyncpg.PostgresError)


class Session(Outbox):
    """A `Listener` of its streams; a transport carries what it queues."""

    def __init__(
        self,
        instance: Instance,
        connections: Connections,
        recent: Recent,
        context: Context,
        encode: Encode = orjson.dumps,
    ) -> None:
        super().__init__(encode, instance.metrics.spans)
        self.instance = instance
        self.context = context
        self.streams: dict[str, Stream] = {}
        self.closed = False
        self._timing = Timing(time.monotonic())
        self._windowed: dict[str, Stream] = {}
        """Those of them with a window: looked at twice a second, all are not."""
        self._connections = connections
        self._recent = recent
        self._learner = Learner(instance)
        self._opening = Opening(self, instance, connections, self._learner)
        self._persistence = Persistence(self, instance.keeper, self._learner)

    def open(self) -> None:
        """Counts in; `close` counts out."""
        self._connections.add(self)

    def close(self) -> None:
        """Ends every stream."""
        self.closed = True
        self._connections.remove(self)
        self._persistence.release(self.streams.values())
        self.instance.lanes.forget(self)
        self.streams.clear()
        self._windowed.clear()

    def deliver(
        self, stream: Stream, change: Change, score: float, positions: Positions
    ) -> None:
        """Queues a match, or keeps it for the end of its window."""
        if stream.window is not None:
            stream.window.add(change, score, time.time())
            return
        now = time.time() * 1000
        if stream.credit is not None:
            stream.credit -= 1
        if stream.kept is not None:
            stream.kept.told = positions
        self.queue(
            {
                "type": "match",
                **self._of(stream),
                **matched(change, score),
                "token": write_token(stream.lane, positions, stream.definition_version),
                "notified_at": int(now),
            }
        )
        # A stream that is not live catches up: that tells nothing of the service.
        seconds = None if stream.slot is None else (now - change.committed) / 1000
        self.instance.metrics.notified(change.region, seconds)
        self._recent.add(stream, change, score, now - change.committed)
        self.trace(change.event_id)

    def _of(self, stream: Stream) -> dict[str, Any]:
        said = {
            "stream": stream.id,
            "collection": stream.collection,
            "threshold": stream.threshold,
            "definition_version": stream.definition_version,
            "region": self.instance.settings.region,
        }
        if stream.kept is not None:
            said["epoch"] = stream.kept.epoch
        return said

    def close_windows(self, now: float) -> None:
        """Tells of the windows that are over; `now` in seconds since 1970."""
        for stream in self._windowed.values():
            window = stream.window
            assert window is not None
            if window.matched and not (window.over(now) and self.has_credit):
                continue
            reached = self._reached(stream)
            token = write_token(stream.lane, reached, stream.definition_version)
            if window.matched:
                if stream.credit is not None:
                    stream.credit -= 1
                if stream.kept is not None:
                    stream.kept.told = dict(reached)
                told = {**self._of(stream), **window.take(now)}
                at = {"token": token, "notified_at": int(now * 1000)}
                self.queue({"type": "best", **told, **at})
            window.begin(token, now)
            if not stream.open:
                self._stop(stream)

    def ended(self, stream: Stream, reason: str) -> None:
        """Its collection is gone."""
        self.streams.pop(stream.id, None)
        self._windowed.pop(stream.id, None)
        if stream.kept is not None:
            self.instance.keeper.discard(stream.kept)
        self.queue({"type": "dropped", "stream": stream.id, "reason": reason})

    def go_away(self, reason: str) -> None:
        """Tells the client to resume elsewhere; `outgoing` ends once it is told."""
        if not self.closing:
            self.heartbeat()
            self.queue({"type": "goaway", "reason": reason, "seconds": GRACE})
            self._timing.leaves(time.monotonic())
            self.end()

    def keep_time(self, now: float) -> None:
        """Does what is due; `now` in monotonic seconds."""
        due = self._timing.due(now)
        if due == "beat":
            self.heartbeat()
        elif due == "leave":
            self.go_away("age")
        elif due == "cut":
            self.cut()

    def heartbeat(self) -> None:
        """Carries each stream's position, so that a quiet one stays in the window."""
        tokens = {s.id: self.token(s) for s in self.streams.values()}
        self.queue({"type": "heartbeat", "tokens": tokens, "at": time.time()})

    def token(self, stream: Stream) -> str:
        """Resumes it where nothing is untold."""
        window = stream.window
        if window is not None and window.matched:
            return window.token
        return write_token(
            stream.lane, self._reached(stream), stream.definition_version
        )

    def _reached(self, stream: Stream) -> Positions:
        live = stream.slot is not None
        lane = self.instance.lanes.followed[stream.lane]
        return lane.positions if live else stream.positions

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
        message: Any = parse(TYPES[kind], given, "message")
        if isinstance(message, Watch):
            await self._opening.watch(message)
        elif isinstance(message, Attach):
            await self._opening.attach(message)
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
            self._persistence.refuse_lost(name)
            raise ServiceError("unknown_stream", f"No stream {name!r} runs here.")
        return stream

    def begun(self, stream: Stream, gaps: Gaps, *, learned: bool) -> None:
        """Says that a stream runs, from where, and what it does not hear."""
        token = self.token(stream)
        if stream.window is not None:
            stream.window.begin(token, time.time())
            self._windowed[stream.id] = stream
        said = self._of(stream) | {"token": token}
        del said["definition_version"]  # the client's own
        said.pop("epoch", None)  # `attached` has it
        self.queue({"type": "watching", **said})
        if stream.kept is not None:
            self._persistence.begun(stream, stream.kept)
        if learned:
            self.queue(self._learner.event(stream))
        for gap in gaps:
            self.missed(stream, gap)

    def missed(self, stream: Stream, gap: dict[str, Any]) -> None:
        """Says what a stream does not hear."""
        self.queue({"type": "gap", "stream": stream.id, **gap})

    async def _ack(self, stream: Stream, message: Ack) -> None:
        self._persistence.ack(stream, message)

    async def _feedback(self, stream: Stream, message: Feedback) -> None:
        definition = await self.instance.definition(self.context, stream.collection)
        told = await self._learner.feedback(
            stream, definition, message.item, good=message.good
        )
        await self._persistence.learned(stream)
        self.queue(told)

    async def _undo(self, stream: Stream, _: Any) -> None:
        told = self._learner.undo(stream)
        await self._persistence.learned(stream)
        self.queue(told)

    async def _drop(self, stream: Stream, _: Any) -> None:
        await self._persistence.drop(stream)
        # It may have ended while its home was asked.
        if self.streams.get(stream.id) is stream:
            self.remove(stream)
            self.queue({"type": "dropped", "stream": stream.id})

    def remove(self, stream: Stream) -> None:
        """A stream ends here."""
        del self.streams[stream.id]
        self._windowed.pop(stream.id, None)
        self._learner.forget(stream)
        lanes = self.instance.lanes
        lane = lanes.followed[stream.lane]
        if stream.key in lane.collections:
            lane.collections[stream.key].standing.remove(stream)
        lanes.replay(self, stream.lane).drop(stream)

    async def _pause(self, stream: Stream, _: Any) -> None:
        stream.paused = True
        self._stop(stream)
        token = self.token(stream)
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
        states = [s.shown(self.token(s)) for s in self.streams.values()]
        self.queue({"type": "streams", "streams": states})
