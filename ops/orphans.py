"""What a killed engine leaves behind: its language host, which waits for minutes."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from ops.paths import WORK

MARK = f"PULUMI_BACKEND_URL=file://{WORK / 'state'}".encode()
NAMES = ("pulumi-language-python", "pulumi-resource-gcp", "localcloud.provider")


def end_orphans() -> int:
    """Kill helpers of this clone's engine whose engine is gone; how many."""
    ended = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().decode(errors="replace")
            ours = MARK in (folder / "environ").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if ours and any(name in line for name in NAMES) and not _has_engine(parent):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(folder.name), signal.SIGKILL)
                ended += 1
    return ended


def _has_engine(pid: int) -> bool:
    """Whether an engine or a host of ours is among the ancestors of a process."""
    while pid > 1:
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return False
        if Path(line.split("\0")[0]).name == "pulumi":
            return True
        pid = int(stat.rsplit(")", 1)[1].split()[1])
    return False
