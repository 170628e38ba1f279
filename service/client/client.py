"""Requests: retried safely, kept within a pool, a deadline and a budget."""

import asyncio
import hashlib
import random
import time
import uuid
from collections.abc import Sequence
from typing import Any, Self

import aiohttp

from service.client.cache import Cache
from service.client.carriers import (
    AWAY,
    Carrier,
    GrpcCarrier,
    HttpCarrier,
    Sessions,
    WebSocketCarrier,
)
from service.client.errors import ClientError, DeadlineError
from service.client.methods import Methods, identified
from service.client.policy import Breaker, Budget, Pool, backoff
from service.client.watching import Watching
from service.contract.operations import OPERATIONS, Operation
from service.contract.signing import MOST_SECONDS, signed_path

Json = dict[str, Any]
TRANSPORTS = ("http", "websocket", "grpc")
_CACHED = ("search", "get_item", "get_items", "describe_collection", "count_items")
_WRITES = ("upsert", "patch", "delete", "drop_collection", "save_query", "drop_query")
_ITEMS = ("upsert", "patch", "delete")


class Client(Methods):
    """A client of one address, or of several that are tried in turn.

    Every write gets event ids before it is first sent, so that all requests may be
    sent again. At most `most_requests` are under way; who waits goes by `priority`.
    With `hedge_after` a read that takes longer is asked of the next address too.
    """

    def __init__(
        self,
        base_url: str | Sequence[str],
        *,
        key: str | None = None,
        over: str = "http",
        deadline: float = 30.0,
        most_requests: int = 64,
        hedge_after: float | None = None,
        cache_entries: int = 0,
        cache_seconds: float = 5.0,
        headers: dict[str, str] | None = None,
        tracer: Any = None,
    ) -> None:
        if over not in TRANSPORTS:
            raise ValueError(f"over is {over!r}; allowed: {', '.join(TRANSPORTS)}")
        urls = [base_url] if isinstance(base_url, str) else list(base_url)
        if not urls:
            raise ValueError("base_url is empty: give at least one address")
        self._urls = [url.rstrip("/") for url in urls]
        self.deadline = deadline
        self.over = over
        self.headers = dict(headers or {})
        self._key = key or ""
        if key is not None:
            self.headers["authorization"] = f"Bearer {key}"
        self._who = hashlib.sha256(
            repr(sorted(self.headers.items())).encode()
        ).hexdigest()
        self._hedge_after = hedge_after
        self._tracer = tracer
        self._sessions = Sessions(most_requests)
        self.watchings: set[Watching] = set()
        """Those that run; they end with the client."""
        self._pool = Pool(most_requests)
        self._budget = Budget()
        self._breakers: dict[str, Breaker] = {}
        self.cache = Cache(cache_entries, cache_seconds, time.monotonic)
        self._carrier: Carrier | None = None

    def __repr__(self) -> str:
        """Without the key."""
        return f"Client({self._urls!r}, over={self.over!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends what is watched and closes the connections."""
        # One that went on would connect again, with nobody to close it.
        for watching in tuple(self.watchings):
            await watching.close()
        if self._carrier is not None:
            await self._carrier.close()
            self._carrier = None
        await self._sessions.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The HTTP session, made at its first use."""
        return self._sessions.session

    @property
    def carrier(self) -> Carrier:
        """What carries the calls."""
        if self._carrier is None:
            if self.over == "grpc":
                self._carrier = GrpcCarrier()
            elif self.over == "websocket":
                self._carrier = WebSocketCarrier(self._sessions)
            else:
                self._carrier = HttpCarrier(self._sessions)
        return self._carrier

    @property
    def url(self) -> str:
        """The address in use."""
        return self._urls[0]

    def next_url(self) -> None:
        """Goes on with the next address."""
        self._urls.append(self._urls.pop(0))

    async def call(
        self,
        operation: str,
        *,
        priority: int = 5,
        deadline: float | None = None,
        **params: Any,
    ) -> Json:
        """Answer of an operation of the contract.

        `deadline` in seconds; a lower `priority` goes first. Raises ClientError for a
        refusal, DeadlineError when time is over.
        """
        found = OPERATIONS[operation]
        collection = str(params.get("collection", ""))
        cached = operation in _CACHED and params.get("consistency") is None
        key, version = b"", self.cache.version(collection)
        if cached:
            key = self.cache.key(self._who, operation, params)
            kept = self.cache.get(key, collection)
            if kept is not None:
                return kept
        until = time.monotonic() + (self.deadline if deadline is None else deadline)
        if operation in _ITEMS:
            params = identified(params)
        try:
            answer = await self._persist(found, params, priority, until)
        finally:
            # After it, too: what was read meanwhile may be older than the write.
            if operation in _WRITES:
                self.cache.changed(collection)
        if cached:
            self.cache.put(key, version, answer)
        return answer

    async def _persist(
        self, operation: Operation, params: Json, priority: int, until: float
    ) -> Json:
        """Tries until it is answered, refused for good, or time is over."""
        headers = self.headers | {"x-request-id": uuid.uuid4().hex}
        self._budget.asked()
        attempt = 0
        while True:
            left = until - time.monotonic()
            try:
                async with self._pool.slot(priority, left):
                    return await self._hedged(operation, params, headers, until)
            except ClientError as error:
                if not error.again:
                    raise
                failure: Exception = error
                pause = max(backoff(attempt), error.retry_after or 0.0)
            except AWAY as error:
                failure = error
                pause = backoff(attempt)
            attempt += 1
            if not self._budget.spend():
                # Out of budget: slowly, so that a failing service gets no more load.
                pause = max(pause, random.uniform(1.0, 2.0))
            if time.monotonic() + pause >= until:
                self._give_up(operation, attempt, failure)
            self.next_url()
            await asyncio.sleep(pause)

    @staticmethod
    def _give_up(operation: Operation, attempts: int, failure: Exception) -> None:
        if isinstance(failure, ClientError):
            raise failure
        raise DeadlineError(
            f"{operation.name}: no answer after {attempts} attempts "
            f"({type(failure).__name__}: {failure})"
        ) from failure

    async def _hedged(
        self, operation: Operation, params: Json, headers: dict[str, str], until: float
    ) -> Json:
        """One attempt; of a slow read a second one elsewhere, the first answer wins."""
        reads = operation.method == "GET" or operation.scope == "read"
        if self._hedge_after is None or len(self._urls) < 2 or not reads:
            return await self._attempt(self._pick(), operation, params, headers, until)
        first = asyncio.create_task(
            self._attempt(self._pick(), operation, params, headers, until)
        )
        tasks = {first}
        try:
            done, _ = await asyncio.wait(tasks, timeout=self._hedge_after)
            if not done:
                second = self._attempt(self._urls[1], operation, params, headers, until)
                tasks.add(asyncio.create_task(second))
            while True:
                done, waiting = await asyncio.wait(
                    tasks, return_when=asyncio.FIRST_COMPLETED
                )
                good = [t for t in done if t.exception() is None]
                if good or not waiting:
                    return (good or list(done))[0].result()
                tasks = waiting
        finally:
            for task in tasks:
                task.cancel()

    def _pick(self) -> str:
        """The first address whose breaker lets a request through."""
        for url in self._urls:
            if self._breaker(url).allow():
                return url
        # All are open: waiting helps nobody, and one of them may be back.
        return random.choice(self._urls)

    def _breaker(self, url: str) -> Breaker:
        if url not in self._breakers:
            self._breakers[url] = Breaker(time.monotonic)
        return self._breakers[url]

    def signed_address(
        self, collection: str, item: str, seconds: float = 3600.0
    ) -> str:
        """Address that opens one item to anybody for a while; asks nobody.

        Caches may keep what it answers for up to a minute. It ends with the key that
        the client was given; without one, ValueError.
        """
        if not 1 <= seconds <= MOST_SECONDS:
            raise ValueError(f"seconds is {seconds}; allowed: 1 to {MOST_SECONDS}")
        expires = int(time.time() + seconds)
        return self._urls[0] + signed_path(self._key, collection, item, expires)

    async def _attempt(
        self,
        url: str,
        operation: Operation,
        params: Json,
        headers: dict[str, str],
        until: float,
    ) -> Json:
        seconds = max(0.001, until - time.monotonic())
        breaker = self._breaker(url)
        with _span(self._tracer, operation.name, headers) as traced:
            try:
                answer = await self.carrier.call(
                    url, operation, params, traced, seconds
                )
            except ClientError as error:
                # Asked to wait is not broken.
                if error.again and error.status != 429:
                    breaker.failed()
                else:
                    breaker.succeeded()
                raise
            except BaseException:
                breaker.failed()
                raise
        breaker.succeeded()
        return answer


class _span:
    """A span of the caller's tracer around an attempt; its context goes along."""

    def __init__(self, tracer: Any, name: str, headers: dict[str, str]) -> None:
        self._headers = headers
        self._around = (
            tracer.start_as_current_span(f"meridian.{name}") if tracer else None
        )

    def __enter__(self) -> dict[str, str]:
        if self._around is None:
            return self._headers
        context = self._around.__enter__().get_span_context()
        flags = int(context.trace_flags)
        parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"
        return self._headers | {"traceparent": parent}

    def __exit__(self, *raised: Any) -> None:
        if self._around is not None:
            self._around.__exit__(*raised)
