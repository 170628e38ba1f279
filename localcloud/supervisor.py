"""Processes of the world: started, adopted after a restart of the control plane,
watched, stopped.

Children are session leaders and outlive the control plane. A process is known by pid
and start time, so that a pid
used again by the system is never taken for ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcloud.control.store import Store

log = logging.getLogger("supervisor")
HELD = ("/bin/sh", "-c", 'read -r _ && exec "$@" </dev/null', "held")
"""Prefix of a command that waits for a line of its input, and ends without one."""


@dataclass(eq=False)
class Running:
    """A live process."""

    key: str
    pid: int
    data: dict[str, Any] = field(default_factory=dict)
    """What its owner must know again after a restart, for instance its port."""
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: bool = False
    pidfd: int = -1


class Supervisor:
    """Owner of all processes of one world."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.running: dict[str, Running] = {}

    def start(
        self,
        key: str,
        command: Sequence[str],
        *,
        log_file: Path,
        env: Mapping[str, str] | None = None,
        data: dict[str, Any] | None = None,
        on_exit: Callable[[Running], None] | None = None,
    ) -> Running:
        """Start a program as a session leader of its own, output appended to a log.

        It begins once it is written down: a program that nobody knows of would
        outlive a control plane that is killed in between, and be started twice.
        """
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("ab") as output:
            process = subprocess.Popen(
                [*HELD, *command],
                env=dict(env) if env is not None else clean_environment(),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                close_fds=True,
            )
        # The pidfd says when it ends; Popen would only warn that nobody waited.
        process.returncode = 0
        running = self.register(key, process.pid, data=data, on_exit=on_exit)
        assert process.stdin
        with contextlib.suppress(BrokenPipeError), process.stdin as begin:
            begin.write(b"\n")
        return running

    def register(
        self,
        key: str,
        pid: int,
        *,
        data: dict[str, Any] | None = None,
        on_exit: Callable[[Running], None] | None = None,
    ) -> Running:
        """Take charge of a process that runs already."""
        running = Running(key, pid, data or {})
        started = start_time(pid)
        if started is None:
            running.exited.set()
            return running
        sql = "INSERT OR REPLACE INTO process VALUES (?,?,?,?)"
        values = (key, pid, started, json.dumps(running.data))
        self._store.db.execute(sql, values)
        self._watch(running, on_exit)
        return running

    def adopt(
        self, key: str, on_exit: Callable[[Running], None] | None = None
    ) -> Running | None:
        """The process that an earlier control plane started, if it is alive."""
        if key in self.running:
            return self.running[key]
        sql = "SELECT pid, started, data FROM process WHERE key=?"
        found = self._store.db.execute(sql, (key,)).fetchone()
        if not found:
            return None
        pid, started, data = found
        if start_time(pid) != started:
            self._forget(key)
            return None
        running = Running(key, pid, json.loads(data))
        self._watch(running, on_exit)
        return running

    def recorded(self, prefix: str) -> list[str]:
        """Keys of processes, alive or not, that begin with a prefix."""
        sql = "SELECT key FROM process WHERE substr(key, 1, ?) = ? ORDER BY key"
        found = self._store.db.execute(sql, (len(prefix), prefix))
        return [key for (key,) in found.fetchall()]

    def _watch(
        self, running: Running, on_exit: Callable[[Running], None] | None
    ) -> None:
        try:
            running.pidfd = os.pidfd_open(running.pid)
        except ProcessLookupError:
            running.exited.set()
            self._forget(running.key)
            return
        self.running[running.key] = running
        loop = asyncio.get_running_loop()
        loop.add_reader(running.pidfd, self._ended, running, on_exit)

    def _ended(
        self, running: Running, on_exit: Callable[[Running], None] | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(running.pidfd)
        os.close(running.pidfd)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(running.pid, os.WNOHANG)
        if self.running.get(running.key) is running:
            del self.running[running.key]
            self._forget(running.key)
        running.exited.set()
        if on_exit:
            on_exit(running)

    def _forget(self, key: str) -> None:
        self._store.db.execute("DELETE FROM process WHERE key=?", (key,))

    async def stop(
        self, running: Running, *, sign: int = signal.SIGTERM, grace: float = 10.0
    ) -> None:
        """Ask it to end, and kill it when it has not after `grace` seconds."""
        running.stopping = True
        self.signal(running, sign)
        try:
            await asyncio.wait_for(running.exited.wait(), grace)
        except TimeoutError:
            log.warning("%s did not end within %s s: killed", running.key, grace)
            self.signal(running, signal.SIGKILL)
            await running.exited.wait()

    def signal(self, running: Running, sign: int) -> None:
        """Signal the process by its pidfd, so never another one."""
        if not running.exited.is_set():
            with contextlib.suppress(ProcessLookupError, OSError):
                signal.pidfd_send_signal(running.pidfd, sign)

    def signal_session(self, running: Running, sign: int) -> None:
        """Signal the process and all of its session's group."""
        if not running.exited.is_set() and start_time(running.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, sign)


def start_time(pid: int) -> int | None:
    """When a live process was started, in clock ticks since boot; None for none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rsplit(")", 1)[1].split()
    return None if fields[0] in "ZX" else int(fields[19])


def clean_environment() -> dict[str, str]:
    """What every part may see of the user's environment."""
    keep = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "XDG_CACHE_HOME", "TMPDIR")
    kept = {k: os.environ[k] for k in keep if k in os.environ}
    openblas = {k: v for k, v in os.environ.items() if k.startswith("OPENBLAS_")}
    return {**kept, **openblas}
