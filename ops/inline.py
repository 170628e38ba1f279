"""Many stacks at once: each in a fork of one warmed process.

A program's imports cost seconds of CPU and so does the provider's start; here they are
paid once for all slices. A fork serves both to its own engine, which otherwise runs as
it always does.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import Any, BinaryIO

from ops import engine, program
from ops.errors import CommandError
from ops.stack import Stack
from stacks.importing import importing
from topology import slices

Json = dict[str, Any]
OnEvent = Callable[[Stack, Json], None]
WATCH_SECONDS = 0.2
WARMED = ("localcloud.provider.__main__", "pulumi.automation._server", "stacks.program")
"""What every fork runs; the provider's classes come besides."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One run of the engine over one stack."""

    target: Stack
    """The stack."""
    command: tuple[str, ...]
    """Words after `pulumi`."""
    extra: Mapping[str, str]
    """Variables of the program and of the provider."""
    tree: Path | None = None
    """Checkout whose code runs, where it is not this clone's own."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended."""

    target: Stack
    """The stack."""
    output: str
    """Standard output of the engine."""
    error: str
    """What went wrong; empty when nothing did."""
    seconds: float
    """How long it took."""


def warm() -> None:
    """Import what every program touches, before the first fork.

    Classes of the provider's modules are loaded when they are first touched.
    """
    from localcloud.google import bodies
    from localcloud.types import registry

    # Frozen, too: the collector would touch, and so copy, every page in every fork.
    with importing():
        bodies.preload()
        for name in WARMED:
            importlib.import_module(name)
        for token in registry():
            package, module, name = token.split(":")
            folder = module.split("/")[0].lower()
            getattr(importlib.import_module(f"pulumi_{package}.{folder}"), name)


class Pool:
    """Forks that are under way."""

    def __init__(self, limit: int, on_event: OnEvent | None = None) -> None:
        self._limit = limit
        self._on_event = on_event
        self._selector = DefaultSelector()
        self._running: dict[int, tuple[Task, BinaryIO, float, list[str]]] = {}

    @property
    def has_room(self) -> bool:
        """Whether another run may begin."""
        return len(self._running) < self._limit

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs."""
        return not self._running

    def start(self, task: Task) -> None:
        """Begin a run in a fork."""
        sys.stdout.flush()
        sys.stderr.flush()
        reader, writer = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _child(task, writer, parent)
        os.close(writer)
        source = os.fdopen(reader, "rb")
        self._running[pid] = (task, source, time.monotonic(), [])
        self._selector.register(source, EVENT_READ, pid)

    def wait(self) -> Iterator[Result]:
        """Pass on events until at least one run has ended; those that have."""
        ended = False
        while not ended:
            for key, _ in self._selector.select():
                pid: int = key.data
                task, source, began, answer = self._running[pid]
                line = source.readline()
                if line:
                    self._line(task, json.loads(line), answer)
                    continue
                ended = True
                self._selector.unregister(source)
                source.close()
                os.waitpid(pid, 0)
                del self._running[pid]
                yield _result(task, answer, time.monotonic() - began)

    def _line(self, task: Task, line: Json, answer: list[str]) -> None:
        if "event" not in line:
            answer.append(json.dumps(line))
        elif self._on_event:
            self._on_event(task.target, line["event"])

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Interrupt what runs, and wait until it has let go of its stacks."""
        if not self._running:
            return
        # A second interrupt reaches the engines by itself; it must not end this wait.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for pid in self._running:
            os.kill(pid, signal.SIGINT)
        for pid in list(self._running):
            os.waitpid(pid, 0)
            del self._running[pid]
        signal.signal(signal.SIGINT, before)


def in_order(
    pieces: Sequence[slices.Slice],
    needs: Callable[[slices.Slice], Iterable[slices.Slice]],
    begin: Callable[[slices.Slice], Task],
    limit: int,
    on_event: OnEvent | None = None,
) -> Iterator[Result]:
    """Run slices as soon as what they need has ended well; their results as they come.

    Needs outside `pieces` count as met. After a failure nothing more begins, and what
    runs is waited for.
    """
    waiting, done, failed = list(pieces), set[slices.Slice](), False
    among = set(pieces)
    with Pool(limit, on_event) as pool:
        while (waiting and not failed) or not pool.is_idle:
            for piece in list(waiting):
                met = set(needs(piece)) & among <= done
                if met and pool.has_room and not failed:
                    waiting.remove(piece)
                    pool.start(begin(piece))
            for result in pool.wait():
                failed = failed or bool(result.error)
                done.add(result.target.piece)
                yield result


def _result(task: Task, answer: list[str], seconds: float) -> Result:
    found = json.loads(answer[-1]) if answer else {"error": "its process was killed"}
    return Result(
        target=task.target,
        output=found.get("output", ""),
        error=found.get("error", ""),
        seconds=seconds,
    )


def _child(task: Task, writer: int, parent: int) -> None:
    """Serve program and provider to one engine; never returns."""
    code = 1
    # A killed command reads no answer any more.
    with (
        contextlib.suppress(BrokenPipeError),
        os.fdopen(writer, "w", buffering=1) as out,
    ):
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.environ.update(task.extra)
            answer = {"output": _serve(task, out, parent)}
            code = 0
        except KeyboardInterrupt:
            answer = {"error": "interrupted"}
        except CommandError as error:
            answer = {"error": str(error)}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        out.write(json.dumps(answer) + "\n")
    os._exit(code)


def _end_with(parent: int) -> None:
    """Interrupt this process when the command that forked it is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()


def _serve(task: Task, out: Any, parent: int) -> str:
    def tell(event: Json) -> None:
        if brief := _brief(event):
            print(json.dumps({"event": brief}), file=out)

    # Forked before the first thread.
    provider = _provider_fork()
    _end_with(parent)
    server, port = program.serve(task.target.program, task.tree)
    try:
        return engine.run(
            task.target,
            [
                *task.command,
                f"--client={program.LOOPBACK}:{port}",
                "--exec-kind=auto.inline",
            ],
            offline=True,
            extra={**task.extra, "PULUMI_DEBUG_PROVIDERS": f"gcp:{provider.port}"},
            on_event=tell,
        )
    finally:
        server.stop(grace=None)
        provider.end()


def _brief(event: Json) -> Json | None:
    """What the command needs of an engine event: no inputs, no state."""
    said = event.get("diagnosticEvent", {})
    if said.get("severity") in ("warning", "error"):
        return {"diagnosticEvent": said}
    done = event.get("resOutputsEvent")
    if not done:
        return None
    metadata = done["metadata"]
    brief = {"op": metadata["op"], "urn": metadata["urn"]}
    if metadata["type"] == "pulumi:pulumi:Stack":
        brief["outputs"] = (metadata.get("new") or {}).get("outputs") or {}
    return {"resOutputsEvent": {"metadata": brief}}


@dataclass(frozen=True)
class _Provider:
    """The local provider in a process of its own: its loop is not the program's."""

    pid: int
    port: int

    def end(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)


def _provider_fork() -> _Provider:
    from localcloud.provider.__main__ import serve

    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # The engine ends by its own signal and still asks until then.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stdout = os.fdopen(writer, "w")
        try:
            asyncio.run(serve(None))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as source:
        return _Provider(pid, int(source.readline()))
