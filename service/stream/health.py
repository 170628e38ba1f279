"""Whether this instance can serve, measured once a second, at its start oftener."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from service.feed import AWAY, open_redis
from service.log.database import GONE
from service.log.migrate import is_migrated
from service.stream.connections import Connections
from service.stream.instance import Instance

MOST_LAG_SECONDS = 10.0
"""A lane that has not caught up for so long makes the instance not ready."""
_FRESH = 6.0
_FAILURES = (*AWAY, *GONE, asyncpg.PostgresError)


class Health:
    """State of what an instance needs.

    Not ready: this region's database or Redis is away, or a followed lane lags
    too long; another region answers better. Degraded: the hub's primary is away;
    searches and watches still work, so the instance stays ready.
    """

    def __init__(self, instance: Instance, connections: Connections) -> None:
        self._instance = instance
        self._connections = connections
        self._started = False
        self._database = self._redis = 0.0
        self._caught_up: dict[tuple[int, str], float] = {}
        self._lags: dict[tuple[int, str], int] = {}

    async def run(self) -> None:
        """Measures until cancelled; an instance without lanes measures less."""
        settings, google = self._instance.settings, self._instance.google
        client = await open_redis(settings, google)
        try:
            # Apart: a Redis that hangs must not keep the database from being read.
            await asyncio.gather(
                self._repeat(self._check_database),
                self._repeat(lambda: self._check_redis(client)),
                self._repeat(self._instance.committer.probe),
            )
        finally:
            await client.aclose()

    async def _repeat(self, check: Callable[[], Awaitable[None]]) -> None:
        while True:
            await check()
            if not self._started:
                pause = 0.1
            else:
                pause = 1.0 if self._instance.lanes.followed else 2.5
            await asyncio.sleep(pause)

    async def _check_database(self) -> None:
        try:
            if not self._started:
                async with self._instance.reader.pool.acquire() as connection:
                    self._started = await is_migrated(connection)
                if self._started:
                    # A backend keeps what it ever read; a new one reads less.
                    await self._instance.reader.pool.expire_connections()
            if self._started:
                self._lags = await self._instance.lanes.pulse()
                self._database = time.monotonic()
        except _FAILURES:
            return
        for key, lag in self._lags.items():
            if not lag or key not in self._caught_up:
                self._caught_up[key] = time.monotonic()

    async def _check_redis(self, client: Any) -> None:
        try:
            if await client.ping():
                self._redis = time.monotonic()
        except _FAILURES:
            return

    def reasons(self) -> list[str]:
        """Why the instance is not ready; empty when it is."""
        now = time.monotonic()
        found = []
        if not self._started:
            found.append("the schema is not there yet")
        if now - self._database > _FRESH:
            found.append(f"database {self._instance.settings.database_local} is away")
        if now - self._redis > _FRESH:
            found.append("redis is away")
        for (lane, origin), lag in self._lags.items():
            if lag and now - self._caught_up[lane, origin] > MOST_LAG_SECONDS:
                found.append(f"lane {lane} of {origin} is {lag} changes behind")
        if self._connections.draining:
            found.append("draining")
        return found

    def answer(self, probe: str) -> tuple[int, dict[str, Any]]:
        """Status and body of `/health/<probe>`."""
        settings = self._instance.settings
        body: dict[str, Any] = {"region": settings.region, "hub": settings.hub}
        if probe == "live":
            return 200, {**body, "status": "ok"}
        if probe == "startup":
            status = 200 if self._started else 503
            return status, {**body, "status": "ok" if self._started else "starting"}
        reasons = self.reasons()
        primary = self._instance.committer.healthy
        body |= {
            "status": "not ready" if reasons else "ok" if primary else "degraded",
            "reasons": reasons,
            "primary": primary,
            "kernel": self._instance.kernel.name,
            "text": self._instance.embedder.available,
            "lanes": sorted(self._instance.lanes.followed),
            "lag": sum(self._lags.values()),
            "revision": settings.revision,
        }
        return (503 if reasons else 200), body

    def export(self) -> None:
        """Writes the gauges that are read rather than counted."""
        metrics, lanes = self._instance.metrics, self._instance.lanes.followed
        metrics.connections.set(len(self._connections))
        metrics.streams.set(self._connections.streams)
        held = [c.items for lane in lanes.values() for c in lane.collections.values()]
        metrics.items.set(sum(len(i) for i in held if i is not None))
        guides = [i.guide for i in held if i is not None and i.guide is not None]
        metrics.graph_rows.set(sum(guide.rows for guide in guides))
        for origin in self._instance.settings.hubs:
            mine = [lane.sequencers[origin] for lane in lanes.values()]
            metrics.applied_position.labels(origin).set(
                sum(s.position.seq for s in mine)
            )
            metrics.lag_changes.labels(origin).set(sum(s.lag for s in mine))
