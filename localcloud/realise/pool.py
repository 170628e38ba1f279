"""The instances of one Cloud Run service or worker pool: count, probes, revisions,
replacement.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from localcloud.control.store import Json
from localcloud.realise.template import Template
from localcloud.supervisor import Running, Supervisor
from localcloud.types.base import short_hash

log = logging.getLogger("run")
GRACE_SECONDS = 10.0
"""SIGTERM, this long, SIGKILL (gcp.md 1.1: as Cloud Run)."""
STARTUP_POLL_SECONDS = (0.01, 0.05)
"""Between two looks at a starting instance: at first, and at most."""
READY_SECONDS = 2.0
"""How long a started instance is looked at closely; then at the probes' period."""
CRASH_BACKOFF_SECONDS = 1.0
IDLE_SECONDS = 30.0
"""A higher count is kept this long after the load that needed it."""
PROBE_TIMEOUT = aiohttp.ClientTimeout(total=4)


@dataclass(frozen=True)
class Spec:
    """What a service's body asks for."""

    image: str
    env: tuple[tuple[str, str], ...]
    account: str
    minimum: int
    maximum: int
    concurrency: int
    startup: str | None
    liveness: str | None
    readiness: str | None
    period: float
    revision: str
    http2: bool
    """Whether requests come by HTTP/2 in clear."""


@dataclass(eq=False)
class Instance:
    """One process of a revision."""

    running: Running
    port: int
    admin: int
    """Where probes and scrapes are answered."""
    revision: str
    started: float = field(default_factory=time.monotonic)
    ready: bool = False
    failures: int = 0


def spec(body: Json, *, worker: bool) -> Spec:
    """Read a service's (or worker pool's) body as Google keeps it."""
    template = body["template"]
    container = template["containers"][0]
    scaling = {**template.get("scaling", {}), **body.get("scaling", {})}
    fixed = scaling.get("manualInstanceCount")
    least = fixed if fixed is not None else scaling.get("minInstanceCount", 0)
    most = template.get("scaling", {}).get("maxInstanceCount", 100)
    env = tuple(sorted((e["name"], str(e.get("value", ""))) for e in container["env"]))
    account = template.get("serviceAccount", "")
    probes = {k: container.get(f"{k}Probe") or {} for k in PROBES}
    periods = [p.get("periodSeconds", 10) for p in probes.values() if p]
    image = container.get("image", "")
    return Spec(
        image=image,
        env=env,
        account=account,
        minimum=least,
        maximum=max(least, fixed if worker and fixed is not None else most),
        concurrency=template.get("maxInstanceRequestConcurrency", 80),
        startup=_path(probes["startup"]),
        liveness=_path(probes["liveness"]),
        readiness=_path(probes["readiness"]),
        period=float(max([5, *periods])),
        revision=short_hash(image, env, account, json.dumps(probes, sort_keys=True)),
        http2=speaks_http2(body),
    )


def speaks_http2(body: Json) -> bool:
    """Whether a service's requests come by HTTP/2 in clear."""
    (container, *_) = body["template"]["containers"]
    return any(port.get("name") == "h2c" for port in container.get("ports", ()))


PROBES = ("startup", "liveness", "readiness")


def _path(probe: Json) -> str | None:
    get = probe.get("httpGet")
    return get.get("path", "/") if get else None


class Pool:
    """Keeps the wanted number of instances of the newest revision alive."""

    def __init__(
        self,
        name: str,
        supervisor: Supervisor,
        templates: Callable[[str], Template],
        session: aiohttp.ClientSession,
        environment: Callable[[str, Spec], dict[str, str]],
        log_file: Path,
        changed: Callable[[], None],
    ) -> None:
        self.name = name
        self._supervisor, self._templates, self._session = (
            supervisor,
            templates,
            session,
        )
        self._environment, self._log_file, self._changed = (
            environment,
            log_file,
            changed,
        )
        self.spec: Spec | None = None
        self.instances: dict[str, Instance] = {}
        self.wanted = 0
        self.held = False
        """A fault keeps the pool empty."""
        self.activator: int | None = None
        """Port that takes connections while no instance runs."""
        self._busy_until = 0.0
        self._numbers = itertools.count(int(time.time() * 1000) % 10**9)
        self._lock = asyncio.Lock()
        self._crashed = 0.0
        self._settled = asyncio.Event()

    def adopt(self) -> None:
        """Take over instances that an earlier control plane started."""
        for key in self._supervisor.recorded(f"run/{self.name}/"):
            running = self._supervisor.adopt(key, self._ended)
            if running:
                data = running.data
                self.instances[key] = Instance(
                    running, data["port"], data["admin"], data["revision"]
                )

    async def apply(self, new: Spec) -> None:
        """Bring the pool to a spec: the new answers before the old one ends."""
        self.spec = new
        self.wanted = min(max(self.wanted, new.minimum), new.maximum)
        if time.monotonic() > self._busy_until:
            self.wanted = new.minimum
        await self.reconcile()

    def load(self, active: float) -> None:
        """Scale by concurrency: `active` requests are held by this pool now."""
        if not self.spec:
            return
        need = -(-active // max(1, int(self.spec.concurrency * 0.7)))
        need = int(min(max(need, self.spec.minimum), self.spec.maximum))
        now = time.monotonic()
        if need >= self.wanted:
            self._busy_until = now + IDLE_SECONDS
        if need > self.wanted or (need < self.wanted and now > self._busy_until):
            log.info("%s: %s -> %s instances", self.name, self.wanted, need)
            self.wanted = need
            asyncio.get_running_loop().create_task(self.reconcile())

    async def wake(self) -> int | None:
        """Port of a ready instance, started for this where none runs; None: none is."""
        self._busy_until = time.monotonic() + IDLE_SECONDS
        self.wanted = max(1, self.wanted)
        await self.reconcile()
        return next(iter(self.ports()), None)

    def ports(self) -> list[int]:
        """Where ready instances serve."""
        return sorted(i.port for i in self.instances.values() if i.ready)

    async def reconcile(self) -> None:
        """Start what is missing, end what is too much. One at a time."""
        async with self._lock:
            if not self.spec:
                return
            wanted = 0 if self.held else self.wanted
            current = [i for i in self.instances.values() if self._is_current(i)]
            missing = wanted - len(current)
            if missing > 0:
                await asyncio.gather(*(self._launch() for _ in range(missing)))
            for instance in current:
                if not instance.ready and self.instances.get(instance.running.key):
                    await self._await_startup(instance)
            extra = [i for i in self.instances.values() if not self._is_current(i)]
            if missing < 0:
                extra += sorted(current, key=lambda i: i.started)[missing:]
            self._retire(extra)

    def _is_current(self, instance: Instance) -> bool:
        return self.spec is not None and instance.revision == self.spec.revision

    async def _launch(self) -> None:
        assert self.spec
        revision = self.spec.revision
        key = f"run/{self.name}/{next(self._numbers):09d}"
        env = self._environment(self.name, self.spec)
        template = self._templates(self.spec.image)
        forked = await template.fork(env, self._log_file)
        data = {"port": forked.port, "admin": forked.admin, "revision": revision}
        running = self._supervisor.register(
            key, forked.pid, data=data, on_exit=self._ended
        )
        template.begin(forked)
        instance = Instance(running, forked.port, forked.admin, revision)
        self.instances[key] = instance
        await self._await_startup(instance)

    async def _await_startup(self, instance: Instance) -> None:
        """Poll until it has started; no traffic before it says that it is ready.

        Envoy would take its refusals for errors and eject it for seconds.
        """
        assert self.spec
        startup, readiness = self.spec.startup, self.spec.readiness
        if startup:
            await self._until(instance, startup, float("inf"))
        ready = not readiness or await self._until(instance, readiness, READY_SECONDS)
        instance.ready = ready and not instance.running.exited.is_set()
        self._changed()

    async def _until(self, instance: Instance, path: str, seconds: float) -> bool:
        """Whether a probe answers, within the time and before the process ends."""
        deadline = time.monotonic() + seconds
        pause, longest = STARTUP_POLL_SECONDS
        while not instance.running.exited.is_set() and time.monotonic() < deadline:
            if await self.probe(instance, path):
                return True
            await asyncio.sleep(pause)
            pause = min(pause * 1.2, longest)
        return False

    async def probe(self, instance: Instance, path: str) -> bool:
        """Whether an HTTP probe answers with a 2xx or 3xx."""
        url = f"http://127.0.0.1:{instance.admin}{path}"
        try:
            async with self._session.get(url, timeout=PROBE_TIMEOUT) as response:
                return response.status < 400
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    async def check(self) -> None:
        """One round of liveness and readiness probes."""
        assert self.spec
        for instance in list(self.instances.values()):
            if instance.running.stopping or instance.running.exited.is_set():
                continue
            await self._check_one(instance, self.spec)

    async def _check_one(self, instance: Instance, new: Spec) -> None:
        if new.readiness:
            ready = await self.probe(instance, new.readiness)
            if ready != instance.ready:
                instance.ready = ready
                self._changed()
        if new.liveness and not await self.probe(instance, new.liveness):
            instance.failures += 1
            if instance.failures >= 3:
                log.warning("%s: an instance fails its liveness probe", self.name)
                await self._supervisor.stop(instance.running, grace=GRACE_SECONDS)
                instance.running.stopping = False
                self._replace(instance)
        else:
            instance.failures = 0

    def _retire(self, instances: list[Instance]) -> None:
        for instance in instances:
            self.instances.pop(instance.running.key, None)
            instance.running.stopping = True
        if instances:
            self._changed()
        for instance in instances:
            stop = self._supervisor.stop(instance.running, grace=GRACE_SECONDS)
            task = asyncio.get_running_loop().create_task(stop)
            _ending.add(task)
            task.add_done_callback(_ending.discard)

    def _ended(self, running: Running) -> None:
        instance = self.instances.pop(running.key, None)
        self._changed()
        if instance and not running.stopping and not self.held:
            self._replace(instance)

    def _replace(self, instance: Instance) -> None:
        """Start another one: at once, or later when the last one hardly lived."""
        lived = time.monotonic() - instance.started
        delay = 0.0 if lived > CRASH_BACKOFF_SECONDS else CRASH_BACKOFF_SECONDS
        loop = asyncio.get_running_loop()
        loop.call_later(delay, lambda: loop.create_task(self.reconcile()))

    async def stop(self) -> None:
        """End all instances."""
        self.wanted = 0
        instances = list(self.instances.values())
        self.instances.clear()
        self._changed()
        stops = [
            self._supervisor.stop(i.running, grace=GRACE_SECONDS) for i in instances
        ]
        await asyncio.gather(*stops)

    def kill(self, sign: int) -> None:
        """Signal every instance (fault injection)."""
        for instance in list(self.instances.values()):
            self._supervisor.signal(instance.running, sign)


_ending: set[asyncio.Task[None]] = set()
"""Stops under way: the loop holds tasks only weakly."""
