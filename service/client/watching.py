"""Standing queries: reconnects, resumes, gives every event of a stream once."""

import asyncio
import random
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

if TYPE_CHECKING:
    from service.client.client import Client

_SILENCE = 40.0
"""Seconds without even a heartbeat after which the connection counts as lost."""
_REMEMBERED = 8192


@dataclass(frozen=True, kw_only=True)
class Query:
    """A standing query: one of `vector` and `text`."""

    stream: str
    collection: str
    threshold: float
    vector: Sequence[float] | str | None = None
    text: str | None = None
    start: str | dict[str, Any] = "now"
    """`"now"`, `{"token": t}` or `{"seconds": n}`."""


@dataclass(frozen=True, slots=True)
class Match:
    """An item that reached the threshold of a stream."""

    stream: str
    collection: str
    event_id: str
    id: str
    metadata: dict[str, Any]
    score: float
    written_in: str
    """Region that took the write."""
    region: str
    """Region that told of it."""
    written_at: int
    committed_at: int
    notified_at: int
    """All three in ms since 1970."""
    token: str
    """Resumes the stream after this match, in any region."""
    position: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes of an origin that the log no longer holds for a stream."""

    stream: str
    origin: str
    after: tuple[int, int]
    before: tuple[int, int]


class Watching:
    """An endless iterator of matches. `close` ends it."""

    def __init__(self, client: "Client", queries: Sequence[Query]) -> None:
        self._client = client
        self._queries = {q.stream: q for q in queries}
        self.tokens: dict[str, str] = {}
        """Newest token of each stream."""
        self.gaps: list[Gap] = []
        """What could not be resumed; empty in the stated window."""
        self.reconnects = 0
        self.repeats = 0
        """Events that a stream was told of again; they were not given on."""
        self._seen: dict[str, OrderedDict[str, None]] = {
            name: OrderedDict() for name in self._queries
        }
        self._confirmed: set[str] = set()
        self._ready = asyncio.Event()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._closed = False
        self._pending: asyncio.Queue[Match | Exception | None] = asyncio.Queue(4096)
        self._task: asyncio.Task[None] | None = None

    async def ready(self) -> None:
        """Returns once every stream is confirmed: from here nothing is missed.

        Raises what ended the watching, if it ended before.
        """
        self._start()
        assert self._task is not None
        waiting = asyncio.create_task(self._ready.wait())
        await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            await self._task

    async def close(self) -> None:
        """Ends the iteration and the connection."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._socket is not None:
            await self._socket.close()
        if self._pending.full():
            self._pending.get_nowait()
        self._pending.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Match]:
        self._start()
        while True:
            match = await self._pending.get()
            if match is None:
                return
            if isinstance(match, Exception):
                raise match
            yield match

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        pause = 0.05
        try:
            while not self._closed:
                try:
                    await self._connect()
                    pause = 0.05
                except (aiohttp.ClientError, OSError, TimeoutError):
                    pause = min(2 * pause, 1.0)
                self.reconnects += 1
                self._client.next_url()
                await asyncio.sleep(random.uniform(0, pause))
        except Exception as error:
            await self._pending.put(error)
            raise

    async def _connect(self) -> None:
        """One connection from its opening to its end."""
        url = self._client.url.replace("http", "ws", 1) + "/v1/watch"
        timeout = aiohttp.ClientWSTimeout(ws_close=2)  # type: ignore[call-arg]
        async with self._client.session.ws_connect(
            url, max_msg_size=0, timeout=timeout
        ) as self._socket:
            for query in self._queries.values():
                await self._socket.send_bytes(self._request(query))
            while True:
                message = await self._socket.receive(_SILENCE)
                if message.type not in (
                    aiohttp.WSMsgType.TEXT,
                    aiohttp.WSMsgType.BINARY,
                ):
                    return
                if not await self._handle(orjson.loads(message.data)):
                    return

    def _request(self, query: Query) -> bytes:
        token = self.tokens.get(query.stream)
        body: dict[str, Any] = {
            "type": "watch",
            "stream": query.stream,
            "collection": query.collection,
            "threshold": query.threshold,
            "from": {"token": token} if token else query.start,
        }
        if query.text is not None:
            body["text"] = query.text
        else:
            vector = query.vector
            body["vector"] = vector if isinstance(vector, str) else list(vector or ())
        return orjson.dumps(body)

    async def _handle(self, message: dict[str, Any]) -> bool:
        """Takes a message; False ends the connection."""
        kind = message["type"]
        if kind == "match":
            await self._match(message)
        elif kind == "watching":
            self.tokens[message["stream"]] = message["token"]
            self._confirmed.add(message["stream"])
            if self._confirmed >= self._queries.keys():
                self._ready.set()
        elif kind == "heartbeat":
            self.tokens |= message["tokens"]
        elif kind == "gap":
            self.gaps.append(
                Gap(
                    message["stream"],
                    message["origin"],
                    tuple(message["after"]),
                    tuple(message["before"]),
                )
            )
        elif kind == "error":
            self._refused(message["error"])
            return False
        return bool(kind != "goaway")

    @staticmethod
    def _refused(error: dict[str, Any]) -> None:
        """Raises unless the refusal will pass."""
        from service.client.client import ClientError

        if error["code"] not in ("unavailable", "overloaded", "internal"):
            raise ClientError(0, error)

    async def _match(self, m: dict[str, Any]) -> None:
        stream, event = m["stream"], m["event_id"]
        self.tokens[stream] = m["token"]
        seen = self._seen[stream]
        if event in seen:
            self.repeats += 1
            return
        seen[event] = None
        if len(seen) > _REMEMBERED:
            seen.popitem(last=False)
        item = m["item"]
        await self._pending.put(
            Match(
                stream,
                m["collection"],
                event,
                item["id"],
                item["metadata"],
                m["score"],
                m["written_in"],
                m["region"],
                m["written_at"],
                m["committed_at"],
                m["notified_at"],
                m["token"],
                m["position"],
            )
        )
