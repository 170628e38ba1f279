"""The global load balancer: one Envoy, a listener for clients of each region.

Configuration is read from files that are moved into place whole: Envoy watches them.
`xds.py` makes their contents.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path

import aiohttp

from localcloud.control.store import Json, Row, Store
from localcloud.errors import WorldError
from localcloud.realise import xds
from localcloud.realise.pool import speaks_http2
from localcloud.realise.run import SERVICE, Run, region_of
from localcloud.supervisor import Running, Supervisor
from localcloud.world import ENVOY_ADMIN_PORT, FIRST_LISTENER_PORT, World

log = logging.getLogger("envoy")
KEY = "envoy"
NEG = "gcp:compute/regionNetworkEndpointGroup:RegionNetworkEndpointGroup"
BACKEND = "gcp:compute/backendService:BackendService"
URL_MAP = "gcp:compute/uRLMap:URLMap"
POLICY = "gcp:compute/securityPolicy:SecurityPolicy"
PROXY = "gcp:compute/targetHttpsProxy:TargetHttpsProxy"
RULE = "gcp:compute/globalForwardingRule:GlobalForwardingRule"
ADDRESS = "gcp:compute/globalAddress:GlobalAddress"
TYPES = {NEG, BACKEND, URL_MAP, POLICY, PROXY, RULE, ADDRESS}
SETTLE_SECONDS = 0.005
START_SECONDS = 30.0


def binary() -> str:
    spec = importlib.util.find_spec("envoy")
    places = spec.submodule_search_locations if spec else None
    if not places:
        raise WorldError("Envoy is missing: run `make up` to install the packages")
    return str(Path(next(iter(places))) / "_bin" / "envoy")


class Envoy:
    """Realiser of everything from the forwarding rule to the NEG."""

    def __init__(
        self, world: World, store: Store, supervisor: Supervisor, run: Run
    ) -> None:
        self._world, self._store = world, store
        self._supervisor, self._run = supervisor, run
        self._folder = world.folder("envoy")
        self._written: dict[str, str] = {}
        self._pending: asyncio.TimerHandle | None = None
        self._session: aiohttp.ClientSession | None = None
        run.changed.append(self.refresh_endpoints)

    def listeners(self) -> dict[str, int]:
        """Client region -> port. A port stays with its region."""
        regions = sorted({region_of(row.path) for row in self._store.all(NEG)})
        return {
            region: FIRST_LISTENER_PORT
            + self._store.address(f"listener/{region}") % 1000
            for region in regions
        }

    def serving(self) -> set[str]:
        """Regions that a backend service sends traffic to."""
        groups = (
            entry["group"]
            for row in self._store.all(BACKEND)
            for entry in row.body.get("backends", ())
        )
        return {group.split("/regions/")[1].split("/")[0] for group in groups}

    def urls(self) -> dict[str, str]:
        """Region -> where clients near it reach the platform."""
        return {
            region: f"http://{self._world.address}:{port}"
            for region, port in self.listeners().items()
        }

    async def ensure(self, row: Row) -> Json:
        self._schedule()
        if row.token == ADDRESS and row.body.get("addressType") != "INTERNAL":
            version6 = row.body.get("ipVersion") == "IPV6"
            return {"address": "::1" if version6 else self._world.address}
        return {}

    async def remove(self, row: Row) -> None:
        self._schedule()

    def _schedule(self) -> None:
        if self._pending is None:
            loop = asyncio.get_running_loop()
            self._pending = loop.call_later(SETTLE_SECONDS, self._rebuild)

    def _rebuild(self) -> None:
        """Write all configuration from what is declared now."""
        self._pending = None
        try:
            self.refresh_endpoints()
            front = self._front()
            if front:
                listeners = self.listeners()
                made = xds.clusters(front, self._folder, sorted(listeners))
                self._write("clusters.json", made)
                text = xds.listeners(front, listeners, self._world.address)
                self._write("listeners.json", text)
                self._start()
        except Exception:
            log.exception("the load balancer's configuration cannot be made")

    def _front(self) -> xds.Front | None:
        """The declared front door, or None while it is not whole yet."""
        maps = {row.body["selfLink"]: row.body for row in self._store.all(URL_MAP)}
        proxies = list(self._store.all(PROXY))
        if not proxies or not any(self._store.all(RULE)):
            return None
        wanted = proxies[0].body["urlMap"]
        url_map = next((m for link, m in maps.items() if link.endswith(wanted)), None)
        if url_map is None:
            return None
        backends = {b.path.rsplit("/", 1)[-1]: b.body for b in self._store.all(BACKEND)}
        return xds.Front(
            url_map=url_map,
            backends=self._groups(backends),
            bodies=backends,
            policies={
                p.path.rsplit("/", 1)[-1]: p.body for p in self._store.all(POLICY)
            },
        )

    def _groups(self, backends: dict[str, Json]) -> dict[str, list[xds.Group]]:
        """What the NEGs of each backend stand for; those that are gone are left out."""
        known = self._all_groups()
        found = {}
        for name, body in backends.items():
            links = [entry["group"] for entry in body.get("backends", ())]
            names = [link.rsplit("/", 1)[-1] for link in links]
            found[name] = [known[each] for each in names if each in known]
        return found

    def _all_groups(self) -> dict[str, xds.Group]:
        """NEG -> the service that it stands for."""
        http2 = {row.path for row in self._store.all(SERVICE) if speaks_http2(row.body)}
        made = {}
        for row in self._store.all(NEG):
            region = region_of(row.path)
            service = row.body["cloudRun"]["service"].rsplit("/", 1)[-1]
            end = f"/locations/{region}/services/{service}"
            clear = any(path.endswith(end) for path in http2)
            name = row.path.rsplit("/", 1)[-1]
            made[name] = xds.Group(region, service, clear)
        return made

    def refresh_endpoints(self) -> None:
        """Write the ready instances of every group, or who starts one."""
        for group in self._all_groups().values():
            pool = self._run.service(group.region, group.service)
            ports = pool.ports() if pool else []
            if pool and pool.activator and not ports and not pool.held:
                ports = [pool.activator]
            self._write(group.file, xds.endpoints(group, ports))

    def _write(self, name: str, content: Json) -> None:
        text = json.dumps(content)
        if self._written.get(name) == text:
            return
        self._written[name] = text
        scratch = self._folder / f".{name}"
        scratch.write_text(text)
        os.replace(scratch, self._folder / name)

    def _start(self) -> None:
        if self._supervisor.adopt(KEY, self._ended):
            return
        bootstrap = xds.bootstrap(self._folder, self._world.address, ENVOY_ADMIN_PORT)
        file = self._folder / "bootstrap.json"
        file.write_text(json.dumps(bootstrap))
        command = [
            binary(), "-c", str(file), "--concurrency", "1", "--disable-hot-restart",
            "--log-level", "warning", "--drain-time-s", "1",
        ]  # fmt: skip
        log_file = self._world.home / "logs" / "envoy.log"
        self._supervisor.start(KEY, command, log_file=log_file, on_exit=self._ended)

    def _ended(self, running: Running) -> None:
        if not running.stopping:
            log.warning("Envoy ended: started again")
            asyncio.get_running_loop().call_later(0.2, self._start)

    async def active(self) -> dict[tuple[str, str], float]:
        """Region and service -> requests and streams that Envoy holds open to it."""
        found: dict[tuple[str, str], float] = {}
        for name, value in (await self._stats("upstream_rq_active$")).items():
            parts = name.split(".")
            if parts[0] == "cluster" and parts[1].startswith("serve/"):
                _, region, service = parts[1].split("/")
                found[region, service] = found.get((region, service), 0) + value
        return found

    async def requests(self) -> dict[str, float]:
        """Client region -> requests so far."""
        stats = await self._stats("downstream_rq_total$")
        return {
            name.split(".")[1].removeprefix("from/"): value
            for name, value in stats.items()
            if name.startswith("http.from/")
        }

    async def _stats(self, pattern: str) -> dict[str, float]:
        if KEY not in self._supervisor.running:
            return {}
        if self._session is None:
            self._session = aiohttp.ClientSession()
        url = f"{self._world.envoy_admin}/stats"
        query = {"filter": pattern, "format": "json"}
        try:
            async with self._session.get(url, params=query) as response:
                stats: Iterable[Json] = (await response.json())["stats"]
        except (aiohttp.ClientError, OSError):
            return {}
        return {s["name"]: s["value"] for s in stats if "name" in s}

    async def close(self) -> None:
        if self._session:
            await self._session.close()
