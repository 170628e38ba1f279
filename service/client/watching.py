"""Standing queries: reconnects, resumes, gives every event of a stream once."""

import asyncio
import random
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import aiohttp

from service.client.acks import Acks, attach_message
from service.client.channels import OVER, Channel, open_channel
from service.client.errors import ClientError
from service.client.queries import Attachment, Gap, Match, Query

if TYPE_CHECKING:
    from service.client.client import Client

_REMEMBERED = 8192
_PASSING = (
    *("unavailable", "overloaded", "rate_limited", "internal", "behind"),
    "home_away",
)
"""Refusals of a stream that will pass: it is asked for again."""


class Watching:
    """An endless iterator of matches. `close` ends it."""

    def __init__(
        self,
        client: "Client",
        queries: Sequence[Query | Attachment],
        over: str = "websocket",
        acks: str = "taken",
    ) -> None:
        if over not in OVER:
            raise ValueError(f"over is {over!r}; allowed: {', '.join(OVER)}")
        self._client = client
        self._over = over
        self._queries = {q.stream: q for q in queries}
        self.tokens: dict[str, str] = {}
        """Newest token of each stream."""
        self.gaps: list[Gap] = []
        """What could not be resumed; empty in the stated window."""
        self.refusals: list[dict[str, Any]] = []
        """Errors of messages to streams that run: marks, credit, pauses."""
        self.reconnects = 0
        self.repeats = 0
        """Events that a stream was told of again; they were not given on."""
        self._seen: dict[str, OrderedDict[str, None]] = {
            name: OrderedDict() for name in self._queries
        }
        self._confirmed: set[str] = set()
        self._ready = asyncio.Event()
        self.learned: dict[str, dict[str, Any]] = {}
        """What each stream learned, as the service told it last."""
        self.thresholds: dict[str, float] = {}
        """What each stream's score must reach."""
        self._channel: Channel | None = None
        self._acks = Acks(acks, self._tell)
        self._closed = False
        self._pending: asyncio.Queue[Match | Exception | None] = asyncio.Queue(4096)
        self._task: asyncio.Task[None] | None = None

    @property
    def ids(self) -> dict[str, str]:
        """Id of each persistent stream: whoever knows it can attach again."""
        return self._acks.ids

    @property
    def acked(self) -> dict[str, str]:
        """Token of each persistent stream that its home has: it comes no more."""
        return self._acks.acked

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
        """Ends the iteration and the connection; what was taken is acknowledged."""
        self._closed = True
        await self._acks.close()
        self._client.watchings.discard(self)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
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
            # Whoever asks for the next one has dealt with this one.
            self._acks.taken(match)

    def _start(self) -> None:
        if self._task is None:
            self._client.watchings.add(self)
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        pause = 0.05
        try:
            while not self._closed:
                try:
                    self._confirmed.clear()
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
        client = self._client
        watches = [self._request(query) for query in self._queries.values()]
        async with open_channel(
            self._over, client.session, client.url, client.headers, watches
        ) as channel:
            self._channel = channel
            try:
                while (message := await channel.receive()) is not None:
                    if not await self._handle(message):
                        return
            finally:
                self._channel = None

    def _request(self, query: Query | Attachment) -> dict[str, Any]:
        known = self._acks.known(query.stream)
        if known is not None:
            return known.attach()
        if isinstance(query, Attachment):
            return attach_message(query.stream, query.id, query.credit)
        learned = self.learned.get(query.stream, {}).get("learned")
        threshold = self.thresholds.get(query.stream)
        return query.message(self.tokens.get(query.stream), learned, threshold)

    async def _tell(self, message: dict[str, Any]) -> None:
        """Sends a message about a stream; raises ClientError when it cannot go now."""
        if message["stream"] not in self._queries:
            raise ValueError(f"there is no stream {message['stream']!r}")
        # Before it is confirmed nobody there knows the stream, and says so.
        if self._channel is None or message["stream"] not in self._confirmed:
            raise ClientError(
                503,
                {"code": "unavailable", "message": "There is no connection just now."},
            )
        await self._channel.send(message)

    async def ack(self, match: Match) -> None:
        """Everything of a persistent stream up to a match was dealt with.

        It is said at once, or on the next connection; `acked` has what is kept.
        """
        await self._acks.ack(match)

    async def feedback(self, stream: str, item: str, *, good: bool) -> None:
        """Marks a delivered item; `learned` says what became of it."""
        mark = {"type": "feedback", "stream": stream, "item": item, "good": good}
        await self._tell(mark)

    async def undo(self, stream: str) -> None:
        """Puts a stream back to its first definition."""
        await self._tell({"type": "undo", "stream": stream})

    async def credit(self, stream: str, credit: int) -> None:
        """Lets a stream send more matches."""
        await self._tell({"type": "credit", "stream": stream, "credit": credit})

    async def pause(self, stream: str) -> None:
        """Stops a stream where it stands."""
        await self._tell({"type": "pause", "stream": stream})

    async def resume(self, stream: str) -> None:
        """Lets a paused stream go on."""
        await self._tell({"type": "resume", "stream": stream})

    async def _handle(self, message: dict[str, Any]) -> bool:
        """Takes a message; False ends the connection."""
        kind = message["type"]
        if kind == "match":
            await self._match(message)
        elif kind == "best":
            await self._window(message)
        elif kind == "watching":
            self.tokens[message["stream"]] = message["token"]
            self.thresholds[message["stream"]] = message["threshold"]
            if not self._queries[message["stream"]].persistent:
                self._confirm(message["stream"])
        elif kind == "attached":
            credit = self._queries[message["stream"]].credit
            token = self.tokens[message["stream"]]
            self._acks.attached(message, token, credit)
            self._confirm(message["stream"])
        elif kind == "acked":
            self._acks.kept(message)
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
        elif kind == "learned":
            self._learn(message)
        elif kind == "dropped":
            return _ended(message)
        elif kind == "error":
            return await self._failed(message)
        return bool(kind != "goaway")

    def _confirm(self, stream: str) -> None:
        self._confirmed.add(stream)
        if self._confirmed >= self._queries.keys():
            self._ready.set()

    async def _failed(self, message: dict[str, Any]) -> bool:
        """Takes an error; False ends the connection."""
        known = self._acks.known(message.get("stream") or "")
        if message["error"]["code"] == "home_away" and known is not None:
            # What it looks for and where it stands is known here: it goes on by that.
            assert self._channel is not None, "it is what was read from"
            await self._channel.send(known.attach(unfenced=True))
            return True
        self._refused(message)
        return message.get("stream") in self._confirmed

    def _learn(self, message: dict[str, Any]) -> None:
        if message["marks"]:
            self.learned[message["stream"]] = message
        else:
            self.learned.pop(message["stream"], None)

    def _refused(self, message: dict[str, Any]) -> None:
        """Raises unless it will pass or is of a message to a running stream."""
        error = message["error"]
        if message.get("stream") in self._confirmed:
            self.refusals.append(error)
        elif error["code"] not in _PASSING:
            raise ClientError(0, error)

    async def _match(self, m: dict[str, Any]) -> None:
        self.tokens[m["stream"]] = m["token"]
        await self._take(m, m, m["token"], None)

    async def _window(self, m: dict[str, Any]) -> None:
        """The matches of a window, best first.

        All but the last carry the token of before: whoever resumes between two of
        them hears the window again.
        """
        stream, window = m["stream"], (m["since"], m["until"])
        before = self.tokens[stream]
        for n, entry in enumerate(m["matches"], 1):
            last = n == len(m["matches"])
            await self._take(m, entry, m["token"] if last else before, window)
        self.tokens[stream] = m["token"]

    async def _take(
        self,
        m: dict[str, Any],
        entry: dict[str, Any],
        token: str,
        window: tuple[float, float] | None,
    ) -> None:
        """Hands a match on, unless it was heard before."""
        seen, event = self._seen[m["stream"]], entry["event_id"]
        if event in seen:
            self.repeats += 1
            return
        seen[event] = None
        if len(seen) > _REMEMBERED:
            seen.popitem(last=False)
        item = entry["item"]
        await self._pending.put(
            Match(
                m["stream"],
                m["collection"],
                event,
                item["id"],
                item["metadata"],
                entry["score"],
                entry["written_in"],
                m["region"],
                entry["written_at"],
                entry["committed_at"],
                m["notified_at"],
                token,
                entry["position"],
                window,
            )
        )


def _ended(message: dict[str, Any]) -> bool:
    """A stream that the service ended; raises ClientError unless it can go on."""
    code = message.get("code") or "unknown_collection"
    if code == "home_away":
        return False
    status = 409 if code == "fenced" else 404
    raise ClientError(status, {"code": code, "message": message["reason"]})
