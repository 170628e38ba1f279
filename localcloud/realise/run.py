"""Cloud Run: services and worker pools as processes forked from a warm template."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import aiohttp

from localcloud.control.store import Json, Row
from localcloud.realise.activator import Activator
from localcloud.realise.pool import Pool, Spec, spec
from localcloud.realise.template import Template
from localcloud.supervisor import Supervisor, clean_environment
from localcloud.world import World

log = logging.getLogger("run")
SERVICE = "gcp:cloudrunv2/service:Service"
WORKER_POOL = "gcp:cloudrunv2/workerPool:WorkerPool"


class Run:
    """Realiser of services and worker pools."""

    def __init__(self, world: World, root: Path, supervisor: Supervisor) -> None:
        self._world, self._root = world, root
        self._supervisor = supervisor
        self._templates: dict[str, Template] = {}
        self._spare: Template | None = None
        self._session: aiohttp.ClientSession | None = None
        self._activators: dict[str, Activator] = {}
        self.pools: dict[str, Pool] = {}
        """Resource path -> pool."""
        self.changed: list[Callable[[], None]] = []
        """Called when an instance appears, becomes ready or goes."""
        self.held: set[str] = set()
        """Regions that a fault keeps down."""

    async def ensure(self, row: Row) -> Json:
        pool = self._pool(row)
        new = spec(row.body, worker=row.token == WORKER_POOL)
        if new.minimum == 0 and row.path not in self._activators:
            self._activators[row.path] = activator = Activator(pool.wake)
            pool.activator = await activator.open()
        await pool.apply(new)
        name = row.path.rsplit("/", 1)[-1]
        revision = f"{name}-{new.revision}"
        uri = f"http://{name}.{region_of(row.path)}.local"
        return {
            "uri": uri,
            "latestReadyRevision": revision,
            "latestCreatedRevision": revision,
            "terminalCondition": {"type": "Ready", "state": "CONDITION_SUCCEEDED"},
        }

    async def remove(self, row: Row) -> None:
        activator = self._activators.pop(row.path, None)
        if activator:
            activator.close()
        pool = self.pools.pop(row.path, None)
        if pool:
            await pool.stop()

    def service(self, region: str, name: str) -> Pool | None:
        """The pool of a service."""
        for path, pool in self.pools.items():
            if path.endswith(f"/locations/{region}/services/{name}"):
                return pool
        return None

    def _pool(self, row: Row) -> Pool:
        if row.path not in self.pools:
            if self._session is None:
                connector = aiohttp.TCPConnector(limit=64, force_close=True)
                self._session = aiohttp.ClientSession(connector=connector)
            name = f"{region_of(row.path)}/{row.path.rsplit('/', 1)[-1]}"
            logs = self._world.folder("logs", region_of(row.path))
            pool = Pool(
                name,
                self._supervisor,
                self._template,
                self._session,
                self._environment,
                logs / f"{row.path.rsplit('/', 1)[-1]}.log",
                self._notify,
            )
            pool.held = region_of(row.path) in self.held
            pool.adopt()
            self.pools[row.path] = pool
        return self.pools[row.path]

    def _template(self, image: str) -> Template:
        """The warm process of an image; those that no pool runs any more are ended."""
        if image not in self._templates:
            self._templates[image] = self._spare or self._new_template()
            self._spare = None
        used = {p.spec.image for p in self.pools.values() if p.spec} | {image}
        for old in set(self._templates) - used:
            self._templates.pop(old).close()
        return self._templates[image]

    def _new_template(self) -> Template:
        log_file = self._world.home / "logs" / "template.log"
        return Template(self._supervisor, self._root, log_file)

    async def warm(self) -> None:
        """Start the template of the first image before anything asks for it."""
        if not self._templates and self._spare is None:
            self._spare = self._new_template()
            await self._spare.start()

    def _notify(self) -> None:
        for listener in self.changed:
            listener()

    def _environment(self, name: str, new: Spec) -> dict[str, str]:
        """The declared variables and those that the platform adds."""
        service = name.rsplit("/", 1)[-1]
        address = self._world.control.removeprefix("http://")
        return {
            **clean_environment(),
            **dict(new.env),
            "HOST": "127.0.0.1",
            "K_SERVICE": service,
            "K_REVISION": f"{service}-{new.revision}",
            "GCE_METADATA_HOST": f"{address}/identity/{new.account}",
            "MERIDIAN_GOOGLE_API": f"{self._world.control}/{{api}}",
        }

    async def probe_forever(self) -> None:
        """Liveness and readiness, each pool at its own period."""
        loop = asyncio.get_running_loop()
        due: dict[str, float] = {}
        while True:
            await asyncio.sleep(0.5)
            for path, pool in list(self.pools.items()):
                if pool.spec and loop.time() >= due.get(path, 0):
                    due[path] = loop.time() + pool.spec.period
                    try:
                        await pool.check()
                    except Exception:
                        log.exception("probing %s", pool.name)

    async def close(self) -> None:
        for activator in self._activators.values():
            activator.close()
        if self._session:
            await self._session.close()


def region_of(path: str) -> str:
    """Region in a resource path."""
    parts = path.split("/")
    for word in ("locations", "regions"):
        if word in parts:
            return parts[parts.index(word) + 1]
    return "global"
