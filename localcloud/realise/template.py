"""Warm template processes of the service: instances are forked from them in
milliseconds.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import sys
from pathlib import Path
from typing import Any, NamedTuple

from localcloud.errors import WorldError
from localcloud.supervisor import Running, Supervisor, clean_environment

log = logging.getLogger("template")
START_SECONDS = 60.0


class Forked(NamedTuple):
    """A process forked from the template."""

    pid: int
    port: int
    """Where it serves."""
    admin: int
    """Where it answers probes and scrapes: the same, unless it speaks gRPC."""


class Template:
    """One warmed process; asks it to fork, restarts it when it dies."""

    def __init__(self, supervisor: Supervisor, root: Path, log_file: Path) -> None:
        self._supervisor = supervisor
        self._root, self._log_file = root, log_file
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count()
        self._reader: asyncio.Task[None] | None = None

    async def fork(self, env: dict[str, str], log_file: Path) -> Forked:
        """A new instance with exactly this environment, which waits for `begin`.

        Until then it ends with the template: an instance that nobody has written
        down yet does not outlive a control plane that is killed.
        """
        process = await self._ready()
        number = str(next(self._numbers))
        line = {"id": number, "env": env, "log": str(log_file), "port": True}
        line["held"] = True
        answer: asyncio.Future[dict[str, Any]] = asyncio.Future()
        self._waiting[number] = answer
        assert process.stdin
        process.stdin.write(json.dumps(line).encode() + b"\n")
        reply = await asyncio.wait_for(answer, START_SECONDS)
        if "error" in reply:
            raise WorldError(f"the service's template cannot fork: {reply['error']}")
        port = int(reply["port"])
        return Forked(int(reply["pid"]), port, int(reply.get("admin_port", port)))

    def begin(self, forked: Forked) -> None:
        """Let a new instance go; one whose template has ended is gone already."""
        if self._process and self._process.stdin:
            self._process.stdin.write(
                json.dumps({"begin": forked.pid}).encode() + b"\n"
            )

    async def start(self) -> None:
        """Have it warm before the first fork."""
        await self._ready()

    def close(self) -> None:
        """End the template; what was forked from it lives on."""
        if self._process and self._process.stdin:
            self._process.stdin.close()

    async def _ready(self) -> asyncio.subprocess.Process:
        async with self._lock:
            if self._process is None or self._process.returncode is not None:
                self._process = await self._start()
            return self._process

    async def _start(self) -> asyncio.subprocess.Process:
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "service.template",
                cwd=self._root,
                env={**clean_environment(), "OPENBLAS_NUM_THREADS": "1"},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                start_new_session=True,
            )  # fmt: skip
        assert process.stdout
        first = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        if not first:
            raise WorldError(
                f"the service does not start from the tree: see {self._log_file}"
            )
        self._supervisor.register(
            f"template/{process.pid}", process.pid, on_exit=self._gone
        )
        self._reader = asyncio.create_task(self._read(process))
        return process

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        while line := await process.stdout.readline():
            reply = json.loads(line)
            waiting = self._waiting.pop(reply.get("id", ""), None)
            if waiting and not waiting.done():
                waiting.set_result(reply)
        self._fail_waiting()

    def _gone(self, running: Running) -> None:
        self._process = None
        self._fail_waiting()

    def _fail_waiting(self) -> None:
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(WorldError("the service's template ended"))
        self._waiting.clear()
