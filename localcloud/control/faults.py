"""Faults on purpose: kill or freeze a part, or slow the control plane's own answers;
always with an end that also comes when the control plane restarts.
"""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import time
from dataclasses import asdict, dataclass
from typing import Any

from localcloud.control.store import Store
from localcloud.errors import WorldError
from localcloud.realise.redis import Redis
from localcloud.realise.run import SERVICE, Run, region_of
from localcloud.realise.sql import Sql
from localcloud.supervisor import Supervisor

log = logging.getLogger("faults")
KINDS = ("region", "service", "worker", "database", "cache")
WAYS = ("kill", "freeze")
CLOUD = "cloud"
"""What is slowed: every request to Google's APIs that changes something."""
SLOW = f"{CLOUD}/requests"
SLOW_BY = r"slow by (\d+(?:\.\d+)?)s"
"""How it is slowed: seconds that each such request waits."""
LONGEST_DELAY_SECONDS = 60.0
LONGEST_SECONDS = 3600
INSTANCE = "gcp:sql/databaseInstance:DatabaseInstance"
CACHE = "gcp:redis/instance:Instance"


@dataclass(frozen=True)
class Fault:
    """One fault under way."""

    target: str
    """`<kind>/<region>`, or `cloud/requests`."""
    how: str
    """`kill`, `freeze`, or `slow by 0.3s`."""
    until: float
    """Unix time of its end."""


class Faults:
    """Starts faults, remembers them, ends them."""

    def __init__(
        self, store: Store, supervisor: Supervisor, run: Run, sql: Sql, redis: Redis
    ) -> None:
        self._store, self._supervisor = store, supervisor
        self._run, self._sql, self._redis = run, sql, redis

    def active(self) -> list[dict[str, Any]]:
        return [asdict(fault) for fault in self._all()]

    def hold(self) -> None:
        """After a restart: what is still meant to be down stays down."""
        for fault in self._all():
            kind, region = fault.target.split("/")
            if fault.how == "kill":
                self._mark(kind, region, down=True)

    async def start(self, kind: str, region: str, how: str, seconds: float) -> Fault:
        """Begin a fault; raises `WorldError` for what is not known."""
        if kind == CLOUD:
            return self._slow(how, seconds)
        self._check(kind, region, how, seconds)
        fault = Fault(f"{kind}/{region}", how, time.time() + seconds)
        self._keep(fault)
        if how == "kill":
            self._mark(kind, region, down=seconds > 0)
        self._signal(kind, region, signal.SIGKILL if how == "kill" else signal.SIGSTOP)
        log.warning("fault: %s %s for %s s", how, fault.target, seconds)
        return fault

    def _slow(self, how: str, seconds: float) -> Fault:
        """Delay every changing request of the provider, as a busy cloud would.

        The request is done all the same, even when who asked is gone by then.
        """
        found = re.fullmatch(SLOW_BY, how)
        if not found or not 0 < float(found[1]) <= LONGEST_DELAY_SECONDS:
            most = f"{LONGEST_DELAY_SECONDS:g}s"
            raise WorldError(f"how {how!r} is not known: `slow by 0.3s`, up to {most}")
        _check_length(seconds)
        fault = Fault(SLOW, how, time.time() + seconds)
        self._keep(fault)
        log.warning("fault: %s %s for %s s", fault.target, how, seconds)
        return fault

    def delay(self) -> float:
        """Seconds that a changing request has to wait now."""
        now = time.time()
        slow = [f for f in self._all() if f.target == SLOW and f.until > now]
        found = re.fullmatch(SLOW_BY, slow[0].how) if slow else None
        return float(found[1]) if found else 0.0

    def _keep(self, fault: Fault) -> None:
        sql = "INSERT OR REPLACE INTO hold VALUES (?,?,?)"
        self._store.db.execute(sql, (fault.target, fault.how, fault.until))

    async def end_forever(self) -> None:
        """End each fault at its time."""
        while True:
            await asyncio.sleep(0.2)
            for fault in self._all():
                if fault.until <= time.time():
                    await self.end(fault)

    async def end(self, fault: Fault) -> None:
        kind, region = fault.target.split("/")
        self._store.db.execute("DELETE FROM hold WHERE target=?", (fault.target,))
        if fault.how == "freeze":
            self._signal(kind, region, signal.SIGCONT)
            return
        self._mark(kind, region, down=False)
        for name in self._named(INSTANCE, region, kind in ("region", "database")):
            self._sql.restart(name)
        for name in self._named(CACHE, region, kind in ("region", "cache")):
            self._redis.restart(name)
        for pool in self._pools(kind, region):
            await pool.reconcile()
        log.warning("fault ended: %s", fault.target)

    def _all(self) -> list[Fault]:
        rows = self._store.db.execute("SELECT target, how, until FROM hold")
        return [Fault(*row) for row in rows.fetchall()]

    def _check(self, kind: str, region: str, how: str, seconds: float) -> None:
        regions = sorted({region_of(row.path) for row in self._store.all(SERVICE)})
        if kind not in KINDS:
            known = ", ".join((*KINDS, CLOUD))
            raise WorldError(f"{kind!r} cannot fail: choose from {known}")
        if region not in regions:
            raise WorldError(f"region {region!r} is not here: {', '.join(regions)}")
        if how not in WAYS:
            raise WorldError(f"how {how!r} is not known: {' or '.join(WAYS)}")
        _check_length(seconds)

    def _pools(self, kind: str, region: str) -> list[Any]:
        services = {row.path for row in self._store.all(SERVICE)}
        return [
            pool
            for path, pool in self._run.pools.items()
            if region_of(path) == region
            and (kind == "region" or (path in services) == (kind == "service"))
            and kind in ("region", "service", "worker")
        ]

    def _named(self, token: str, region: str, wanted: bool) -> list[str]:
        if not wanted:
            return []
        rows = self._store.all(token)
        here = [r for r in rows if region in (r.body.get("region"), region_of(r.path))]
        return [row.path.rsplit("/", 1)[-1] for row in here]

    def _mark(self, kind: str, region: str, *, down: bool) -> None:
        change = set.update if down else set.difference_update
        if kind == "region":
            change(self._run.held, {region})
        change(
            self._sql.held,
            self._named(INSTANCE, region, kind in ("region", "database")),
        )
        change(
            self._redis.held, self._named(CACHE, region, kind in ("region", "cache"))
        )
        for pool in self._pools(kind, region):
            pool.held = down

    def _signal(self, kind: str, region: str, sign: int) -> None:
        """Signal whole sessions: a database server has children."""
        keys = [
            f"sql/{n}"
            for n in self._named(INSTANCE, region, kind in ("region", "database"))
        ]
        keys += [
            f"redis/{n}"
            for n in self._named(CACHE, region, kind in ("region", "cache"))
        ]
        for key in keys:
            running = self._supervisor.running.get(key)
            if running:
                self._supervisor.signal_session(running, sign)
        for pool in self._pools(kind, region):
            pool.kill(sign)


def _check_length(seconds: float) -> None:
    if not 0 <= seconds <= LONGEST_SECONDS:
        raise WorldError(f"{seconds} s: 0 to {LONGEST_SECONDS} are allowed")


def parse_seconds(text: str) -> float:
    """`90`, `90s`, `2m` as seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m)?", text.strip())
    if not found:
        raise WorldError(f"{text!r} is no duration: write 60s or 2m")
    return float(found[1]) * (60 if found[2] == "m" else 1)
