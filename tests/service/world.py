"""Regions for the tests: servers, a broker, service processes."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.service.pooler import Pooler
from tests.service.servers import ROOT, Postgres, Redis, postgres_bin, run_as_postgres

POOLED = os.environ.get("MERIDIAN_TEST_POOLED") == "1"
"""Has the whole suite run with poolers."""


class Template:
    """The warmed process that forks the service."""

    def __init__(self) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "service.template"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert json.loads(self.child.stdout.readline()) == {"ready": True}
        self.pids: list[int] = []

    def tell(self, line: dict) -> None:
        self.child.stdin.write(json.dumps(line) + "\n")
        self.child.stdin.flush()

    def ask(
        self, environment: dict[str, str], log: Path, port: bool, **more: bool
    ) -> dict:
        request = {"id": "x", "env": environment, "log": str(log), "port": port}
        self.tell(request | more)
        answer = json.loads(self.child.stdout.readline())
        self.pids.append(answer["pid"])
        return answer

    def close(self) -> None:
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.child.stdin.close()
        self.child.wait(10)


def wait_gone(pid: int, seconds: float = 10) -> None:
    """Returns once a process (not our child) has ended."""
    until = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < until, f"{pid} still runs"
        time.sleep(0.02)


class Region:
    """One region: database, Redis, worker, instance."""

    def __init__(self, world: "World", name: str, hub: str) -> None:
        self.world, self.name, self.hub = world, name, hub
        self.folder = world.folder / name
        self.folder.mkdir()
        self.redis = Redis(self.folder / "redis")
        self.postgres: Postgres
        self.pooler: Pooler | None = None
        self.instance: dict = {}
        self.worker: dict = {}
        self.grpc: dict = {}
        self.others: list[dict] = []
        self.leads = hub if name == hub else ""
        """Hub whose log is written in this region."""

    @property
    def is_hub(self) -> bool:
        return bool(self.leads)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.instance['port']}"

    def environment(self, role: str) -> dict[str, str]:
        primary = self.world.primaries.get(self.hub, self)
        return {
            "MERIDIAN_ROLE": role,
            "MERIDIAN_ENVIRONMENT": "test",
            "MERIDIAN_REGION": self.name,
            "MERIDIAN_HUB": self.hub,
            "MERIDIAN_HUBS": ",".join(self.world.hubs),
            "GOOGLE_CLOUD_PROJECT": "test",
            "DATABASE_PRIMARY": primary.postgres.address,
            "DATABASE_LOCAL": self.postgres.address,
            "DATABASE_NAME": "postgres",
            "DATABASE_USER": "meridian",
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(self.redis.port),
            "PUBSUB_TOPIC_CHANGES": "projects/test/topics/changes",
            "PUBSUB_TOPIC_REPAIRS": "projects/test/topics/repairs",
            "PUBSUB_SUBSCRIPTION_CHANGES": f"projects/test/subscriptions/c-{self.name}",
            "PUBSUB_SUBSCRIPTION_REPAIRS": (
                f"projects/test/subscriptions/r-{self.leads}" if self.leads else ""
            ),
            "SERVICE_LIMITS": json.dumps(self.world.limits),
            "MERIDIAN_TRACE_SHARE": "1",
            "MERIDIAN_BUCKET": f"snapshots-{self.name}",
            "MERIDIAN_GOOGLE_API": f"http://127.0.0.1:{self.world.broker_port}",
            "HOST": "127.0.0.1",
            "PATH": os.environ["PATH"],
            **self._pooled(role, primary),
            **self.world.environment,
        }

    def _pooled(self, role: str, primary: "Region") -> dict[str, str]:
        """Instances go through the poolers, workers round them."""
        if role != "stream" or self.pooler is None or primary.pooler is None:
            return {}
        return {
            "DATABASE_POOLED": "1",
            "DATABASE_PRIMARY": primary.pooler.address,
            "DATABASE_LOCAL": self.pooler.address,
        }

    def start_instance(self) -> None:
        self.instance = self.world.template.ask(
            self.environment("stream"), self.folder / "instance.log", True
        )

    def start_grpc(self) -> None:
        """A second service of the region, as the platform has one for gRPC."""
        environment = self.environment("stream") | {"MERIDIAN_PROTOCOL": "grpc"}
        self.grpc = self.world.template.ask(environment, self.folder / "grpc.log", True)

    def second_instance(self, **environment: str) -> dict:
        """One more instance of the service, until the end of the session."""
        self.others.append(
            self.world.template.ask(
                self.environment("stream") | environment,
                self.folder / f"other-{len(self.others)}.log",
                True,
            )
        )
        return self.others[-1]

    def end(self, part: dict) -> None:
        """SIGTERM, as the platform ends an instance."""
        os.kill(part["pid"], signal.SIGTERM)

    def start_worker(self) -> None:
        self.worker = self.world.template.ask(
            self.environment("worker"), self.folder / "worker.log", True
        )

    def second_worker(self) -> None:
        """One more worker, until the end of the session: it stands by."""
        log = self.folder / "worker.log"
        ask = self.world.template.ask
        self.others.append(ask(self.environment("worker"), log, True))

    def kill(self, what: str) -> None:
        pid = getattr(self, what)["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_gone(pid)


class World:
    """Hubs and regional cells on one machine."""

    def __init__(
        self,
        folder: Path,
        template: Template,
        cluster: Path,
        regions: dict[str, str],
        limits: dict[str, int],
        *,
        pooled: bool = POOLED,
        **environment: str,
    ) -> None:
        self.environment = environment
        self.pooled = pooled
        """Whether instances reach their servers through poolers, as in production."""
        self.folder, self.template, self.cluster = folder, template, cluster
        self.limits = limits
        self.hubs = sorted(set(regions.values()))
        self.regions: dict[str, Region] = {}
        self.primaries: dict[str, Region] = {}
        """Where each hub's log is written."""
        self._start_broker(regions)
        for name, hub in sorted(regions.items(), key=lambda r: r[0] != r[1]):
            made = self.regions[name] = Region(self, name, hub)
            if made.leads:
                self.primaries[hub] = made
        for region in self.regions.values():
            self._start_postgres(region)
            region.redis.start()
            region.start_worker()
            region.start_instance()
            region.start_grpc()

    def _start_broker(self, regions: dict[str, str]) -> None:
        base = "projects/test/subscriptions/"
        topics = {
            "projects/test/topics/changes": {f"{base}c-{r}": None for r in regions},
            "projects/test/topics/repairs": {f"{base}r-{h}": h for h in self.hubs},
        }
        config = self.folder / "broker.json"
        config.write_text(json.dumps({"topics": topics}))
        self.broker = subprocess.Popen(
            [sys.executable, "-m", "tests.service.broker", str(config)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.broker_port = int(self.broker.stdout.readline())

    def _start_postgres(self, region: Region) -> None:
        data = region.folder / "data"
        if region.is_hub:
            subprocess.run(["cp", "-a", str(self.cluster), str(data)], check=True)
        else:
            port = self.regions[region.hub].postgres.port
            data.mkdir()
            if os.getuid() == 0:
                os.chown(data, 65534, 65534)
            data.chmod(0o700)
            command = [str(postgres_bin() / "pg_basebackup"), "-D", str(data), "-R"]
            command += ["-h", "127.0.0.1", "-p", str(port), "-U", "meridian"]
            run_as_postgres([*command, "-c", "fast"])
        region.postgres = Postgres(data, region.folder / "postgres.log")
        region.postgres.start()
        if self.pooled:
            region.pooler = Pooler(region.folder / "pooler", region.postgres.port)
            region.pooler.start()

    async def promote(self, standby: Region) -> None:
        """Makes a region's replica its hub's primary, as an operator would."""
        connection = await standby.postgres.connect()
        assert await connection.fetchval("SELECT pg_promote()")
        await connection.close()
        standby.leads = standby.hub
        self.primaries[standby.hub] = standby
        for part in ("instance", "worker", "grpc"):
            standby.kill(part)
        standby.start_worker()
        standby.second_worker()
        standby.start_instance()
        standby.start_grpc()

    async def ready(self) -> None:
        """Waits until every instance is ready."""
        import aiohttp

        async with aiohttp.ClientSession() as session:
            for region in self.regions.values():
                await wait_ready(session, region)
                await wait_listening(region.grpc["port"])

    def close(self) -> None:
        for region in self.regions.values():
            for part in (region.instance, region.worker, region.grpc, *region.others):
                with contextlib.suppress(ProcessLookupError, KeyError):
                    os.kill(part["pid"], signal.SIGKILL)
        for region in reversed(self.regions.values()):
            if region.pooler is not None:
                region.pooler.stop()
            region.postgres.stop()
            region.redis.process.kill()
        self.broker.kill()
        self.broker.wait()


async def wait_listening(port: int, seconds: float = 30) -> None:
    """Waits until a port is listened on.

    A channel of gRPC that was refused once waits for longer and longer, and so does
    every other one to the same port.
    """
    until = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        assert time.monotonic() < until, f"nobody listens on {port}"
        await asyncio.sleep(0.05)


async def wait_ready(session, region: Region, seconds: float = 30) -> None:
    """Waits until an instance says that it is ready."""
    import aiohttp

    until = time.monotonic() + seconds
    body = ""
    while time.monotonic() < until:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(region.url + "/health/ready") as answer:
                body = await answer.text()
                if answer.status == 200:
                    return
        await asyncio.sleep(0.05)
    log = (region.folder / "instance.log").read_text()[-3000:]
    raise AssertionError(f"{region.name} is not ready: {body}\n{log}")
