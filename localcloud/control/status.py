"""What the world looks like now: regions, parts, traffic. Read by `meridian status` and
by the page.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import aiohttp

from localcloud.control.store import Json, Store
from localcloud.realise.envoy import Envoy
from localcloud.realise.pool import speaks_http2
from localcloud.realise.run import SERVICE, Run, region_of
from localcloud.supervisor import Supervisor
from localcloud.version import code_version
from topology.facts import places

PROBE_SECONDS = 2.0
PROBES_AT_ONCE = 2
"""More would measure how they wait for each other."""
PROBE_TIMEOUT = aiohttp.ClientTimeout(total=2)
ASIDE_TIMEOUT = aiohttp.ClientTimeout(total=1)
"""For an instance itself: every region waits for it."""


@dataclass
class Sample:
    """Last look at one region from its own clients' side."""

    ready: bool = False
    latency_ms: float | None = None
    served_by: str | None = None
    service: Json = field(default_factory=dict)
    """What the answering instance says of itself."""
    requests: float = 0.0
    """Counted by Envoy so far, this module's own probes included."""
    probes: int = 0
    """Own probes since the last count."""
    rate: float = 0.0
    at: float = field(default_factory=time.monotonic)


class Status:
    """Samples every region through the load balancer and puts the picture together."""

    def __init__(
        self, store: Store, supervisor: Supervisor, run: Run, envoy: Envoy
    ) -> None:
        self._store, self._supervisor = store, supervisor
        self._run, self._envoy = run, envoy
        self.version = code_version()
        self._samples: dict[str, Sample] = {}
        self._turn = asyncio.Semaphore(PROBES_AT_ONCE)

    def world(self) -> Json:
        """The shape of `meridian status --json`, with what the page shows besides."""
        serving, urls = self._envoy.serving(), self._envoy.urls()
        regions = [
            self._region(row.path, row.body, serving, urls)
            for row in self._store.all(SERVICE)
            if not speaks_http2(row.body)
        ]
        regions.sort(key=lambda r: (r["role"] != "hub", r["name"]))
        return {
            "regions": regions,
            "parts": self._parts(),
            "at": time.time(),
            "version": self.version,
        }

    def _region(
        self, path: str, body: Json, serving: set[str], urls: dict[str, str]
    ) -> Json:
        name = region_of(path)
        place = places()[name]
        env = {
            e["name"]: e.get("value") for e in body["template"]["containers"][0]["env"]
        }
        pool = self._run.pools.get(path)
        ready = [i for i in pool.instances.values() if i.ready] if pool else []
        sample = self._samples.get(name, Sample())
        return {
            "name": name,
            "city": place.city,
            "latitude": place.latitude,
            "longitude": place.longitude,
            "role": "hub" if _holds_primary(env) else "regional",
            "hub": env.get("MERIDIAN_HUB"),
            "ready": bool(ready) and sample.ready,
            "instances": len(ready),
            "grpc_instances": self._grpc_instances(name),
            "maximum": pool.spec.maximum if pool and pool.spec else 0,
            "serving": name in serving,
            "served_by": sample.served_by,
            "kernel": sample.service.get("kernel"),
            "text": sample.service.get("text"),
            "degraded": _reasons(sample.service),
            "latency_ms": sample.latency_ms,
            "requests_per_second": round(sample.rate, 2),
            "url": urls.get(name),
        }

    def _grpc_instances(self, region: str) -> int:
        """Ready instances of the region's service that speaks gRPC."""
        return sum(
            len(pool.ports())
            for path, pool in self._run.pools.items()
            if region_of(path) == region and pool.spec and pool.spec.http2
        )

    def _parts(self) -> list[Json]:
        return [
            {
                "name": key,
                "kind": key.split("/", 1)[0],
                "pid": running.pid,
                "healthy": not running.exited.is_set(),
            }
            for key, running in sorted(self._supervisor.running.items())
        ]

    async def sample_forever(self) -> None:
        """Ask every region, as its own clients would."""
        connector = aiohttp.TCPConnector(limit=16)
        async with aiohttp.ClientSession(connector=connector) as session:
            while True:
                urls = self._envoy.urls()
                await asyncio.gather(
                    *(self._sample(session, region, urls[region]) for region in urls)
                )
                await self._traffic()
                missing = [r for r in urls if not self._samples[r].ready]
                await asyncio.sleep(0.2 if missing else PROBE_SECONDS)

    async def _sample(
        self, session: aiohttp.ClientSession, region: str, door: str
    ) -> None:
        sample = self._samples.setdefault(region, Sample())
        url = f"{door}/health/ready"
        sample.probes += 1
        async with self._turn:
            started = time.perf_counter()
            try:
                async with session.get(url, timeout=PROBE_TIMEOUT) as response:
                    answered = response.status == 200
                    sample.service = await response.json() if answered else {}
                    sample.served_by = response.headers.get("x-meridian-region")
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
                answered, sample.served_by = False, None
            took = (time.perf_counter() - started) * 1000
        sample.latency_ms = round(took, 2) if answered else None
        sample.ready = answered and sample.served_by == region
        if not sample.ready:
            sample.service = await self.asked_itself(session, region)

    async def asked_itself(self, session: aiohttp.ClientSession, region: str) -> Json:
        """What a region's own instance says, which the front door passes over while it
        is not ready; nothing where none answers."""
        for row in self._store.all(SERVICE):
            pool = self._run.pools.get(row.path)
            if not pool or region_of(row.path) != region or speaks_http2(row.body):
                continue
            for instance in list(pool.instances.values())[:1]:
                url = f"http://127.0.0.1:{instance.port}/health/ready"
                try:
                    async with session.get(url, timeout=ASIDE_TIMEOUT) as response:
                        answer: Json = await response.json()
                        return answer
                except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
                    return {}
        return {}

    async def _traffic(self) -> None:
        now = time.monotonic()
        for region, total in (await self._envoy.requests()).items():
            sample = self._samples.get(region)
            if sample:
                others = total - sample.requests - sample.probes
                span = max(now - sample.at, 1e-3)
                sample.rate = max(0.0, others / span) if sample.requests else 0.0
                sample.requests, sample.at, sample.probes = total, now, 0

    async def autoscale_forever(self) -> None:
        """Scale every service by the requests and streams that Envoy holds to it."""
        while True:
            await asyncio.sleep(1.0)
            active = await self._envoy.active()
            for row in self._store.all(SERVICE):
                pool = self._run.pools.get(row.path)
                if pool:
                    key = (region_of(row.path), row.path.rsplit("/", 1)[-1])
                    pool.load(active.get(key, 0.0))


def _reasons(health: Json) -> list[str]:
    """Why an instance is not ready, or not as it should be."""
    found = [str(reason) for reason in health.get("reasons", [])]
    if not health.get("primary", True):
        found.append(f"the primary of {health['hub']} is away: other hubs take writes")
    return found


def _holds_primary(env: Json) -> bool:
    """A region's own server is its primary there, and nowhere else."""
    return env.get("DATABASE_PRIMARY") == env.get("DATABASE_LOCAL")
