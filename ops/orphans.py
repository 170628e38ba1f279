"""What a killed command leaves: an engine without its command, helpers without it.

A language host whose engine was killed would wait for minutes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localcloud.supervisor import start_time
from ops.paths import WORK

PARENT = "MERIDIAN_PARENT"
"""Variable that names the command an engine was started by."""
BACKEND = f"PULUMI_BACKEND_URL=file://{WORK / 'state'}"
HELPERS = ("pulumi-language-python", "pulumi-resource-gcp", "localcloud.provider")
GRACE_SECONDS = 15.0
"""An engine that is interrupted ends its open operations first."""


@dataclass(frozen=True)
class Process:
    """A live process that belongs to this clone's engine."""

    pid: int
    parent: int
    line: str
    variables: tuple[str, ...]

    @property
    def is_engine(self) -> bool:
        return Path(self.line.split("\0")[0]).name == "pulumi"

    @property
    def commander(self) -> int | None:
        """Pid of the `meridian` command that started it, if one did."""
        mark = f"{PARENT}="
        found = [v.removeprefix(mark) for v in self.variables if v.startswith(mark)]
        return int(found[0]) if found else None


def end_orphans() -> None:
    """End engines whose command is dead, then helpers whose engine is."""
    engines = [p for p in _ours() if p.is_engine and _is_dead(p.commander)]
    for engine in engines:
        _signal(engine.pid, signal.SIGINT)
    deadline = time.monotonic() + GRACE_SECONDS
    while engines and time.monotonic() < deadline:
        engines = [e for e in engines if start_time(e.pid) is not None]
        time.sleep(0.05)
    for engine in engines:
        _signal(engine.pid, signal.SIGKILL)
    left = {p.pid: p for p in _ours()}
    for process in left.values():
        helper = any(name in process.line for name in HELPERS)
        if helper and not _has_engine(process, left):
            _signal(process.pid, signal.SIGKILL)


def _ours() -> Iterator[Process]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().decode(errors="replace")
            variables = (folder / "environ").read_bytes().decode(errors="replace")
            stat = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        names = tuple(variables.split("\0"))
        if BACKEND in names and line:
            yield Process(int(folder.name), int(stat[1]), line, names)


def _is_dead(pid: int | None) -> bool:
    """Whether a command is gone; an engine that nobody marked is somebody's own."""
    return pid is not None and start_time(pid) is None


def _has_engine(process: Process, ours: dict[int, Process]) -> bool:
    """Whether a live engine is among the ancestors of a helper."""
    parent = ours.get(process.parent)
    while parent:
        if parent.is_engine:
            return True
        parent = ours.get(parent.parent)
    return False


def _signal(pid: int, sign: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sign)
