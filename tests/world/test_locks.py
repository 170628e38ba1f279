"""Two people at one cell: at most one proceeds, the other is told who holds it. On a
file, on Google's storage and on S3, by the real engine; the clouds are emulated.

The provider of the first run is held in the middle of a create by the test, so that
nothing here depends on how fast the machine is.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2_grpc

from localcloud.provider.scratch import Scratch
from localcloud.provider.servicer import Provider
from tests.world.conftest import Clone
from tools import toolchain
from tools.progress import SetupError

pytestmark = pytest.mark.timeout(1500)
"""The first run on a machine builds the emulator of gs://."""
UP = ("up", "--yes", "--skip-preview", "--suppress-outputs")
FOUNDATION = "local"
FIRST, SECOND, THIRD, FOURTH = (
    f"local.{hub}"
    for hub in ("us-central1", "europe-west1", "asia-northeast1", "asia-southeast1")
)
"""Cells of hubs: they read the foundation alone."""
BUCKET = "states"
S3_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
}
TIME = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d"


@dataclass
class Gate:
    """Which stacks' creates wait, and which have begun one."""

    shut: set[str] = field(default_factory=set)
    begun: list[str] = field(default_factory=list)


class Held(Provider):
    """The local provider in a rehearsal, behind a gate."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(None, Scratch())
        self.gate = gate

    async def Create(self, request: Any, context: Any) -> Any:
        stack = request.urn.split("::")[0].rsplit(":", 1)[1]
        self.gate.begun.append(stack)
        while stack in self.gate.shut:
            await asyncio.sleep(0.02)
        return await super().Create(request, context)


@contextmanager
def provider(gate: Gate) -> Iterator[int]:
    """Serve the held provider on a loopback port, from a thread."""
    ports: list[int] = []
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        server = grpc.aio.server()
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(Held(gate), server)
        ports.append(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        ready.set()
        while not done.is_set():
            await asyncio.sleep(0.05)
        await server.stop(grace=0)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(30)
        yield ports[0]
    finally:
        gate.shut.clear()
        done.set()
        thread.join()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def served(command: list[str], folder: Path, address: str) -> Iterator[None]:
    """Run a server until the end of the block; it answers when the block begins."""
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_for(lambda: answers(address, process))
        yield
    finally:
        process.terminate()
        process.wait(20)


def answers(address: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the server ended"
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def wait_for(what: Any, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.02)


def ask(url: str, method: str = "GET", body: Any = None) -> str:
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


class Team:
    """People who work on the same stacks with plain `pulumi`, on one backend."""

    def __init__(self, clone: Clone, backend: dict[str, str], gate: Gate, port: int):
        self.clone, self.backend, self.gate = clone, backend, gate
        self.url = backend["PULUMI_BACKEND_URL"]
        self.port = port
        self._known: dict[str, dict[str, str]] = {}

    def variables(self, stack: str) -> dict[str, str]:
        """What `eval "$(meridian env)"` sets, then the backend; asked once a stack."""
        if stack not in self._known:
            self._known[stack] = self._asked(stack)
        return dict(self._known[stack])

    def _asked(self, stack: str) -> dict[str, str]:
        _, _, region = stack.partition(".")
        chosen = ["--region", region] if region else ["--layer", "foundation"]
        line = ["env", "--env", "local", *chosen, "--offline"]
        text = self.clone.run(*line).stdout
        words = [shlex.split(each)[1] for each in text.splitlines()]
        given = dict(word.split("=", 1) for word in words)
        more = {
            "MERIDIAN_SCRATCH": "1",
            "PULUMI_DEBUG_PROVIDERS": f"gcp:{self.port}",
        }
        return {**self.clone.environment, **given, **self.backend, **more}

    def begin(self, stack: str) -> None:
        """`stack init`, in a scratch project: no committed file gains a salt."""
        values = self.variables(stack)
        project = "meridian-cell" if "." in stack else "meridian-foundation"
        scratch = self.clone.root / ".meridian" / "init" / str(self.port) / stack
        scratch.mkdir(parents=True)
        text = f"name: {project}\nruntime: python\n"
        (scratch / "Pulumi.yaml").write_text(text)
        values.pop("PULUMI_OPTION_CONFIG_FILE")
        line = ["pulumi", "stack", "init", stack, "--non-interactive"]
        subprocess.run(line, cwd=scratch, env=values, check=True, capture_output=True)

    def start(self, stack: str, *words: str) -> subprocess.Popen[str]:
        folder = "cell" if "." in stack else "foundation"
        return subprocess.Popen(
            ["pulumi", *words, "-s", stack, "--non-interactive"],
            cwd=self.clone.root / "stacks" / folder,
            env=self.variables(stack),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, stack: str, *words: str, code: int = 0) -> str:
        process = self.start(stack, *words)
        output, _ = process.communicate(timeout=240)
        assert process.returncode == code, output
        return output

    def hold(self, stack: str) -> subprocess.Popen[str]:
        """An `up` that stands in the middle of its first create.

        One step at a time: nothing is being written while it stands there, so that a
        kill tears no file.
        """
        self.gate.shut.add(stack)
        process = self.start(stack, *UP, "--parallel", "1")
        wait_for(lambda: stack in self.gate.begun or process.poll() is not None)
        assert process.poll() is None, process.communicate()[0]
        return process

    def locks(self) -> list[str]:
        """Lock files in the backend."""
        kind, _, place = self.url.partition("://")
        prefix = ".pulumi/locks"
        if kind == "file":
            return [str(f) for f in (Path(place) / prefix).rglob("*.json")]
        if kind == "gs":
            base = self.backend["STORAGE_EMULATOR_HOST"]
            url = f"http://{base}/storage/v1/b/{BUCKET}/o?prefix={prefix}"
            return [o["name"] for o in json.loads(ask(url)).get("items", ())]
        address = re.search(r"endpoint=([\d.:]+)", self.url)
        assert address
        found = ask(f"http://{address[1]}/{BUCKET}?list-type=2&prefix={prefix}")
        return re.findall(r"<Key>(.*?)</Key>", found)


@contextmanager
def on_files(folder: Path, clone: Clone) -> Iterator[dict[str, str]]:
    """The clone's own backend, which `meridian` uses too."""
    yield {"PULUMI_BACKEND_URL": f"file://{clone.root / '.meridian' / 'state'}"}


@contextmanager
def on_google(folder: Path, clone: Clone) -> Iterator[dict[str, str]]:
    try:
        program = toolchain.storage_emulator(Path(sys.executable))
    except SetupError as error:
        pytest.skip(f"the emulator of gs:// cannot be built: {error}")
    address = f"127.0.0.1:{free_port()}"
    host, port = address.split(":")
    line = [str(program), "-backend", "memory", "-scheme", "http"]
    line += ["-host", host, "-port", port, "-public-host", address]
    with served(line, folder, address):
        ask(f"http://{address}/storage/v1/b?project=test", "POST", {"name": BUCKET})
        yield {
            "PULUMI_BACKEND_URL": f"gs://{BUCKET}",
            # Without a scheme, and with a token: the engine asks for one first.
            "STORAGE_EMULATOR_HOST": address,
            "GOOGLE_OAUTH_ACCESS_TOKEN": "test",
        }


@contextmanager
def on_s3(folder: Path, clone: Clone) -> Iterator[dict[str, str]]:
    address = f"127.0.0.1:{free_port()}"
    host, port = address.split(":")
    line = [sys.executable, "-m", "moto.server", "-H", host, "-p", port]
    query = f"endpoint={address}&disableSSL=true&s3ForcePathStyle=true&region=us-east-1"
    with served(line, folder, address):
        ask(f"http://{address}/{BUCKET}", "PUT")
        yield {"PULUMI_BACKEND_URL": f"s3://{BUCKET}?{query}", **S3_VARIABLES}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone without a world: nothing of it runs."""
    made = Clone.make(tmp_path_factory.mktemp("locks") / "clone")
    yield made
    wait_for(lambda: made.processes() == [], 20)


@pytest.fixture(scope="module", params=[on_files, on_google, on_s3])
def team(
    request: pytest.FixtureRequest, clone: Clone, tmp_path_factory: Any
) -> Iterator[Team]:
    folder, gate = tmp_path_factory.mktemp("backend"), Gate()
    with ExitStack() as stack:
        backend = stack.enter_context(request.param(folder, clone))
        port = stack.enter_context(provider(gate))
        made = Team(clone, backend, gate, port)
        if request.param is not on_files:
            for name in (FOUNDATION, FIRST, SECOND, THIRD):
                made.begin(name)
        made.run(FOUNDATION, *UP)
        yield made


def children(pid: int) -> list[int]:
    """All that a process started: a language host outlives its engine for minutes."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    text = " ".join(task.read_text() for task in tasks)
    direct = [int(child) for child in text.split()]
    return [each for child in direct for each in (child, *children(child))]


def names_holder(output: str, pid: int) -> bool:
    """Whether user, host, process and time of the holder are said."""
    who = f"{getpass.getuser()}@{socket.gethostname()} (pid {pid})"
    return bool(re.search(rf"{re.escape(who)} at {TIME}", output))


def test_of_two_starts_at_once_at_most_one_proceeds(team: Team) -> None:
    team.gate.shut.add(FIRST)
    two = [team.start(FIRST, *UP) for _ in range(2)]
    wait_for(lambda: any(p.poll() is not None for p in two))
    wait_for(lambda: FIRST in team.gate.begun or all(p.poll() for p in two))
    refused = [p for p in two if p.poll() is not None]
    for process in refused:
        (other,) = [p for p in two if p is not process]
        output = process.communicate()[0]
        assert process.returncode == 1, output
        assert names_holder(output, other.pid), output
        assert "pulumi cancel" in output
    holder = team.hold(FIRST) if len(refused) == 2 else (set(two) - set(refused)).pop()

    assert names_holder(team.run(FIRST, *UP, code=1), holder.pid)
    team.run(SECOND, *UP)
    assert holder.poll() is None, "two cells at once do not wait for each other"

    team.gate.shut.clear()
    output, _ = holder.communicate(timeout=240)
    assert holder.returncode == 0, output
    team.run(FIRST, *UP)
    assert team.locks() == []


def test_the_lock_of_a_killed_holder_stays_until_it_is_cancelled(team: Team) -> None:
    holder = team.hold(THIRD)
    helpers = children(holder.pid)
    for pid in (holder.pid, *helpers):
        os.kill(pid, signal.SIGKILL)
    holder.communicate()
    team.gate.shut.clear()
    assert len(team.locks()) == 1

    assert names_holder(team.run(THIRD, *UP, code=1), holder.pid)
    team.run(THIRD, "cancel", "--yes")
    assert team.locks() == []
    team.run(THIRD, *UP)
    assert team.locks() == []


def test_meridian_up_says_who_holds_a_cell(team: Team) -> None:
    if not team.url.startswith("file://"):
        pytest.skip("the commands of this machine's world keep their states in files")
    holder = team.hold(FOURTH)
    said = team.clone.run("up", code=1).stderr
    team.gate.shut.clear()
    assert holder.wait(240) == 0
    who = f"process {holder.pid} of {getpass.getuser()} on {socket.gethostname()}"
    assert re.search(rf"{re.escape(who)} since {TIME}", said), said
    assert f"pulumi cancel -s {FOURTH}" in said
    assert os.listdir(team.clone.root / ".meridian").count("world") == 0
