"""Standing queries over WebSocket: one connection, many streams."""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import orjson

from service.contract import Drop, Ping, ServiceError, Watch, error_body, parse
from service.log.change import START, Change, Position
from service.log.database import GONE
from service.stream.admin import Recent
from service.stream.instance import Instance
from service.stream.lane import Lane
from service.stream.standing import Positions, Stream
from service.stream.token import read_token, write_token
from service.telemetry import log

HEARTBEAT = 15.0
CREDIT_BYTES = 256 * 1024
"""Queued bytes from which on a connection's streams stop advancing."""
_GOAWAY_SECONDS = (50 * 60.0, 58 * 60.0)
_GRACE = 5.0
_WINDOW_SECONDS = 7200
_FLOOR_SECONDS = 1.0

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Connections:
    """The open connections of an instance."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self.draining = False

    def __len__(self) -> int:
        return len(self._open)

    @property
    def streams(self) -> int:
        """Standing queries on all of them."""
        return sum(len(c.streams) for c in self._open)

    def add(self, connection: "Connection") -> None:
        """Counts a connection in."""
        self._open.add(connection)

    def remove(self, connection: "Connection") -> None:
        """Counts a connection out."""
        self._open.discard(connection)

    async def drain(self) -> None:
        """Tells every client to go elsewhere and waits until they were told."""
        self.draining = True
        for connection in list(self._open):
            connection.go_away("draining")
        until = time.monotonic() + 2
        while self._open and time.monotonic() < until:
            await asyncio.sleep(0.05)


class Connection:
    """One WebSocket; a `Listener` of its streams."""

    def __init__(
        self,
        instance: Instance,
        connections: Connections,
        recent: Recent,
        receive: Receive,
        send: Send,
    ) -> None:
        self._instance = instance
        self._connections = connections
        self._recent = recent
        self._receive = receive
        self._send = send
        self.streams: dict[str, Stream] = {}
        self._outbox: deque[bytes] = deque()
        self._queued = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._floor: dict[tuple[str, int], tuple[float, Position | None]] = {}

    async def run(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Serves the connection to its end."""
        if self._connections.draining:
            await self._send({"type": "websocket.close", "code": 1012})
            return
        await self._send({"type": "websocket.accept", "headers": headers})
        self._connections.add(self)
        tasks = [
            asyncio.create_task(self._write()),
            asyncio.create_task(self._keep_time()),
            asyncio.create_task(self._read()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._connections.remove(self)
            self._instance.lanes.forget(self)
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, Exception):
                    log("ERROR", "connection failed", error=repr(ended))

    @property
    def has_credit(self) -> bool:
        """Whether more may be queued."""
        return self._queued < CREDIT_BYTES

    def queue(self, message: dict[str, Any]) -> None:
        """Queues a message."""
        data = orjson.dumps(message)
        self._outbox.append(data)
        self._queued += len(data)
        self._wake.set()

    def deliver(
        self, stream: Stream, change: Change, score: float, positions: Positions
    ) -> None:
        """Queues a match."""
        settings = self._instance.settings
        now = time.time() * 1000
        token = write_token(stream.lane, positions, stream.definition_version)
        self.queue(
            {
                "type": "match",
                "stream": stream.id,
                "collection": stream.collection,
                "event_id": change.event_id,
                "op": change.op,
                "item": {
                    "id": change.item_id,
                    "metadata": orjson.Fragment(change.metadata),
                    "version": change.at,
                },
                "score": score,
                "threshold": stream.threshold,
                "position": {
                    "origin": change.origin,
                    "lane": change.lane,
                    "epoch": change.epoch,
                    "seq": change.seq,
                },
                "token": token,
                "written_in": change.region,
                "written_at": change.written,
                "committed_at": change.committed,
                "notified_at": int(now),
                "region": settings.region,
            }
        )
        metrics = self._instance.metrics
        metrics.notifications.labels(change.region).inc()
        metrics.notify_seconds.observe(max(0.0, now - change.committed) / 1000)
        self._recent.add(stream, change, score, now - change.committed)

    def go_away(self, reason: str) -> None:
        """Tells the client to resume elsewhere; closes once it was told."""
        if not self._closing:
            self._heartbeat()
            self.queue({"type": "goaway", "reason": reason, "seconds": _GRACE})
            self._closing = True
            self._wake.set()

    async def _write(self) -> None:
        with contextlib.suppress(Exception):
            while True:
                while self._outbox:
                    data = self._outbox.popleft()
                    self._queued -= len(data)
                    await self._send({"type": "websocket.send", "text": data.decode()})
                if self._closing:
                    break
                self._wake.clear()
                await self._wake.wait()
            await self._send({"type": "websocket.close", "code": 1012})

    async def _keep_time(self) -> None:
        leave = time.monotonic() + random.uniform(*_GOAWAY_SECONDS)
        while time.monotonic() < leave:
            await asyncio.sleep(HEARTBEAT)
            self._heartbeat()
        self.go_away("age")
        await asyncio.sleep(_GRACE)

    def _heartbeat(self) -> None:
        """Carries each stream's position, so that a quiet one stays in the window."""
        tokens = {s.id: self._token(s) for s in self.streams.values()}
        self.queue({"type": "heartbeat", "tokens": tokens, "at": time.time()})

    def _token(self, stream: Stream) -> str:
        lane = self._instance.lanes.followed[stream.lane]
        live = stream.slot is not None
        positions = lane.positions if live else stream.positions
        return write_token(stream.lane, positions, stream.definition_version)

    async def _read(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return
            if message["type"] == "websocket.receive":
                await self._handle(message.get("text") or message.get("bytes") or "")

    async def _handle(self, data: str | bytes) -> None:
        stream = None
        try:
            try:
                given = orjson.loads(data)
            except orjson.JSONDecodeError as error:
                raise ServiceError(
                    "bad_json", f"The message is no JSON ({error})."
                ) from None
            if isinstance(given, dict):
                stream = given.get("stream")
            try:
                await self._dispatch(given)
            except (*GONE, asyncpg.PostgresError):
                raise ServiceError(
                    "unavailable", "This region's database is away: try again."
                ) from None
        except ServiceError as error:
            body = error_body(error, "")["error"]
            del body["request_id"]
            self.queue({"type": "error", "stream": stream, "error": body})

    async def _dispatch(self, given: Any) -> None:
        kind = given.get("type") if isinstance(given, dict) else None
        if kind == "watch":
            await self._watch(parse(Watch, given, "message"))
        elif kind == "drop":
            self._drop(parse(Drop, given, "message").stream)
        elif kind == "ping":
            parse(Ping, given, "message")
            self._heartbeat()
        else:
            raise ServiceError(
                "bad_request", "message.type: allowed are watch, drop, ping."
            )

    async def _watch(self, wanted: Watch) -> None:
        self._refuse_more(wanted.stream)
        instance = self._instance
        definition = await instance.definition(wanted.collection)
        vector = await instance.query_vector(
            definition, wanted.vector, wanted.text, "message.vector"
        )
        lane, collection = await instance.lanes.collection(wanted.collection)
        positions, gaps = await self._start(lane, wanted.from_)
        self._refuse_more(wanted.stream)
        stream = Stream(
            wanted.stream,
            wanted.collection,
            lane.number,
            vector,
            wanted.threshold,
            wanted.definition_version,
            self,
        )
        self.streams[stream.id] = stream
        live = positions is None
        # "now" is the lane as it stands while nothing is awaited.
        stream.positions = dict(lane.positions) if positions is None else positions
        token = write_token(lane.number, stream.positions, stream.definition_version)
        self.queue(
            {
                "type": "watching",
                "stream": stream.id,
                "collection": stream.collection,
                "token": token,
                "region": instance.settings.region,
            }
        )
        for gap in gaps:
            self.queue({"type": "gap", "stream": stream.id, **gap})
        if live:
            collection.standing.add(stream)
        else:
            instance.lanes.replay(self, lane.number).add([stream])

    def _refuse_more(self, stream: str) -> None:
        most = self._instance.settings.limits.max_streams_per_connection
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

    async def _start(
        self, lane: Lane, given: Any
    ) -> tuple[Positions | None, list[dict[str, Any]]]:
        """Positions to start from, None for "now", and what cannot be replayed."""
        reader = self._instance.reader
        if given == "now":
            return None, []
        if isinstance(given, dict) and list(given) == ["token"]:
            token = read_token(str(given["token"]), lane.number)
            return await self._with_gaps(lane, token.positions)
        if isinstance(given, dict) and list(given) == ["seconds"]:
            seconds = given["seconds"]
            if isinstance(seconds, int | float) and 0 <= seconds <= _WINDOW_SECONDS:
                moment = int((time.time() - seconds) * 1000)
                return await self._with_gaps(
                    lane, await reader.since(lane.number, moment)
                )
        raise ServiceError(
            "out_of_range",
            'message.from: allowed are "now", {"token": t} and {"seconds": n} with n '
            f"from 0 to {_WINDOW_SECONDS}.",
        )

    async def _with_gaps(
        self, lane: Lane, positions: Positions
    ) -> tuple[Positions, list[dict[str, Any]]]:
        """Moves positions past what the log no longer holds, and says so."""
        gaps = []
        for origin in lane.sequencers:
            here = positions.get(origin, START)
            if here >= lane.sequencers[origin].position:
                continue
            oldest = await self._oldest(origin, lane.number)
            if oldest is None:
                oldest = lane.sequencers[origin].position
                oldest = Position(oldest.epoch, oldest.seq + 1)
            before = Position(oldest.epoch, oldest.seq - 1)
            if here < before and before.seq > 0:
                gaps.append({"origin": origin, "after": [*here], "before": [*oldest]})
                positions = {**positions, origin: before}
        return positions, gaps

    async def _oldest(self, origin: str, lane: int) -> Position | None:
        """First position in the log; one answer serves all streams of a resume."""
        known = self._floor.get((origin, lane))
        if known is None or known[0] < time.monotonic():
            found = await self._instance.reader.oldest(origin, lane)
            known = (time.monotonic() + _FLOOR_SECONDS, found)
            self._floor[origin, lane] = known
        return known[1]

    def _drop(self, name: str) -> None:
        stream = self.streams.pop(name, None)
        if stream is None:
            raise ServiceError("unknown_stream", f"No stream {name!r} runs here.")
        lanes = self._instance.lanes
        lane = lanes.followed[stream.lane]
        lane.collections[stream.collection].standing.remove(stream)
        lanes.replay(self, stream.lane).drop(stream)
        self.queue({"type": "dropped", "stream": name})
