"""Server-Sent Events of the matches this instance delivered, for the console."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import orjson

from service.log.change import Change
from service.stream.standing import Stream

_KEPT = 50
_QUEUED = 500
_TEXT = 160


class _Told(NamedTuple):
    """A match that was delivered."""

    stream: str
    collection: str
    change: Change
    score: float
    milliseconds: float


class Recent:
    """The newest matches and who listens to them."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._kept: deque[_Told] = deque(maxlen=_KEPT)
        self._queues: set[asyncio.Queue[bytes | None]] = set()

    def add(
        self, stream: Stream, change: Change, score: float, milliseconds: float
    ) -> None:
        """Takes a delivered match; a listener that lags misses some."""
        told = _Told(stream.id, stream.collection, change, score, milliseconds)
        self._kept.append(told)
        if not self._queues:
            return  # written out for a listener only: most of the time there is none
        event = self._event(told)
        for queue in self._queues:
            if queue.qsize() < _QUEUED:
                queue.put_nowait(event)

    def _event(self, told: _Told) -> bytes:
        change, text = told.change, ""
        if '"text"' in change.metadata:
            text = str(orjson.loads(change.metadata).get("text", ""))[:_TEXT]
        return orjson.dumps(
            {
                "stream": told.stream,
                "collection": told.collection,
                "item": change.item_id,
                "text": text,
                "score": round(told.score, 4),
                "written_in": change.region,
                "region": self._region,
                "milliseconds": round(told.milliseconds, 1),
                "committed_at": change.committed,
                "event_id": change.event_id,
            }
        )

    def end(self) -> None:
        """Ends every listener."""
        for queue in self._queues:
            queue.put_nowait(None)

    def listen(self) -> "asyncio.Queue[bytes | None]":
        """A queue that starts with what is kept."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        for told in self._kept:
            queue.put_nowait(self._event(told))
        self._queues.add(queue)
        return queue

    def leave(self, queue: "asyncio.Queue[bytes | None]") -> None:
        """Ends a listener."""
        self._queues.discard(queue)


async def serve_matches(
    recent: Recent,
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
    region: bytes,
) -> None:
    """Streams events until the client goes."""
    headers = [
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"private, no-store"),
        (b"x-meridian-region", region),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    queue = recent.listen()
    work = [
        asyncio.create_task(_write(queue, send)),
        asyncio.create_task(_gone(receive)),
    ]
    try:
        await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
    finally:
        recent.leave(queue)
        for task in work:
            task.cancel()


async def _gone(receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _write(
    queue: "asyncio.Queue[bytes | None]",
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    while True:
        try:
            event = await asyncio.wait_for(queue.get(), 15)
        except TimeoutError:
            body = b": idle\n\n"
        else:
            if event is None:
                break
            body = b"event: match\ndata: " + event + b"\n\n"
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
