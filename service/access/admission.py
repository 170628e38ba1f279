"""Access, limits and overload in the order in which a request meets them."""

import asyncio
import time
from typing import Any

import asyncpg
import redis.asyncio

from service.access.caller import DEFAULT_TENANT, SCOPES, Caller
from service.access.delay import measure_loop
from service.access.gate import OPEN, Access, Gate
from service.access.knobs import Knobs
from service.access.limiter import Limiter
from service.access.origins import check_origin, cors_headers, preflight
from service.access.overload import Overload
from service.access.peers import Peers
from service.access.quotas import QuotaStore
from service.access.records import KeyStore
from service.access.tickets import Tickets
from service.access.tokens import Tokens, read_issuers
from service.contract import Operation, ServiceError
from service.feed import open_redis
from service.google import Google
from service.kernel.native import SEARCH_WIDTH
from service.log.commit import Committer
from service.log.database import GONE
from service.log.reader import Reader
from service.settings import Settings
from service.telemetry import Metrics

Headers = list[tuple[bytes, bytes]]
_EVERYBODY = Caller(
    tenant=DEFAULT_TENANT,
    scopes=frozenset(SCOPES),
    tier="standard",
    key=OPEN,
    origins=("*",),
)
"""Whoever comes where nobody is asked who he is: a world of one's own."""


class Admission:
    """Lets callers in, and holds them up when there is too much to do."""

    def __init__(
        self,
        settings: Settings,
        client: redis.asyncio.Redis,
        reader: Reader,
        committer: Committer,
        metrics: Metrics,
    ) -> None:
        self._client = client
        self._metrics = metrics
        self.required = settings.access == "required"
        self.keys = KeyStore(reader, committer, time.time)
        self.quotas = QuotaStore(reader, committer, time.time)
        self.tickets = Tickets(client)
        self.knobs = Knobs(client, time.monotonic)
        self.overload = Overload(time.monotonic)
        self._limiter = Limiter(
            client,
            settings.rates,
            time.monotonic,
            gauge=metrics.limiter_alone,
        )
        self._peers = Peers(client)
        issuers = read_issuers(settings.issuers)
        self._gate = Gate(
            Access(
                required=self.required,
                root_sha256=settings.root_key_sha256,
                address_header=settings.address_header.encode(),
                proxies=settings.proxies,
            ),
            time.time,
            keys=self.keys,
            tokens=Tokens(issuers, time.time) if issuers else None,
            tickets=self.tickets,
        )

    @classmethod
    async def open(
        cls,
        settings: Settings,
        google: Google,
        reader: Reader,
        committer: Committer,
        metrics: Metrics,
    ) -> "Admission":
        """With a connection to this region's Redis, which is made when it is used."""
        client = await open_redis(settings, google)
        return cls(settings, client, reader, committer, metrics)

    async def close(self) -> None:
        """Closes the connection."""
        await self._limiter.close()
        if self._limiter.limits:
            await self._peers.leave()
        await self._client.aclose()

    async def run(self) -> None:
        """Reads knobs and measures the loop until cancelled."""
        work = [self.knobs.run(), measure_loop(self.overload), self._follow_knobs()]
        if self._limiter.limits:
            work.append(self._peers.run(self._share))
        await asyncio.gather(*work)

    def _share(self, instances: int) -> None:
        self._limiter.instances = instances
        self._metrics.peers.set(instances)

    async def _follow_knobs(self) -> None:
        while True:
            values = self.knobs.values()
            self.overload.floor = values["admission"]
            for name, value in values.items():
                self._metrics.knobs.labels(name).set(value)
            self._metrics.pressure.set(self.overload.pressure())
            await asyncio.sleep(0.5)

    @property
    def search_width(self) -> float | None:
        """Width of the search's bound, None where nobody turned it."""
        share = self.knobs.values()["search_width"]
        return None if share == 1.0 else share * SEARCH_WIDTH

    async def identify(
        self, scope: dict[str, Any], *, ticket: bool = False
    ) -> tuple[Caller, Headers]:
        """Who sends a request, and what its answer says of web origins."""
        headers = scope["headers"]
        peer = (scope.get("client") or ("", 0))[0]
        caller = await self._gate.admit(
            headers, scope["query_string"], peer, ticket_allowed=ticket
        )
        if caller.key == OPEN:
            caller = _EVERYBODY
        if ticket:
            check_origin(caller, headers)
        return caller, cors_headers(caller.origins, headers)

    async def admit(self, caller: Caller, operation: Operation, cost: float) -> None:
        """Raises ServiceError when the caller may not, or not now."""
        caller.need(operation.scope)
        if operation.group is None:
            return
        self.overload.admit(caller.tier)
        waiting = self._limiter.take(caller, operation.group, cost)
        if waiting is not None:
            await waiting

    async def watch(self, caller: Caller) -> None:
        """Raises ServiceError when the caller may not watch, or not now."""
        caller.need("watch")
        waiting = self._limiter.take(caller, "watch")
        if waiting is not None:
            await waiting

    def may_hold(self, caller: Caller, priority: str) -> bool:
        """Whether streams of the caller's tier go on; else they are parked."""
        return self.overload.may_hold(caller.tier, priority)

    async def holds(self, caller: Caller) -> bool:
        """Whether a caller with an open connection would still be let in."""
        return caller.key == OPEN or await self._gate.holds(caller)

    async def measure(self, scope: dict[str, Any]) -> None:
        """Raises ServiceError unless the caller may read metrics.

        A collector beside the service may: it comes over loopback, and through no
        proxy, which would say so.
        """
        peer = (scope.get("client") or ("", 0))[0]
        names = {key for key, _ in scope["headers"]}
        if peer != "127.0.0.1" or b"x-forwarded-for" in names or b"forwarded" in names:
            await self.operate(scope)

    async def operate(self, scope: dict[str, Any]) -> None:
        """Raises ServiceError unless the caller operates the service."""
        caller, _ = await self.identify(scope)
        caller.need("operate")

    async def cors(self, headers: Headers) -> Headers:
        """What a refusal says before there is a caller, so that his page may read it.

        A page of any known origin may: it learns what it could have asked anyway.
        """
        if not any(key == b"origin" for key, _ in headers):
            return []
        try:
            known = await self.keys.origins() if self.required else {"*"}
        except (ServiceError, *GONE, asyncpg.PostgresError):
            return []
        return cors_headers(known, headers)

    async def preflight(self, headers: Headers) -> Headers:
        """Headers of the answer to a browser that asks before it asks."""
        known = await self.keys.origins() if self.required else {"*"}
        return preflight(known, headers)
