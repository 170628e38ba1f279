"""Keeps the control plane alive: starts it again when it dies, and adopts the orphans
of its death.

`python -m localcloud.keeper ROOT`. Holds the world's lock for its life, so that one
clone has one world.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

SET_CHILD_SUBREAPER = 36
BACKOFF_SECONDS = 0.2
SHORT_LIFE_SECONDS = 2.0
MOST_FAILURES = 5
"""Short lives in a row after which the keeper gives up: the log says why."""


def keep(root: Path) -> int:
    """Run the control plane until it ends by itself with status 0."""
    home = root / ".meridian" / "world"
    home.mkdir(parents=True, exist_ok=True)
    lock = (home / "keeper.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if not _outlived(home / "control.pid"):
        return 0
    failures = 0
    while failures < MOST_FAILURES:
        started = time.monotonic()
        child = _start(root, home)
        _pass_on_termination(child)
        if _wait(child.pid) == 0:
            return 0
        short = time.monotonic() - started < SHORT_LIFE_SECONDS
        failures = failures + 1 if short else 0
        time.sleep(BACKOFF_SECONDS * (1 + failures))
    return 1


def _outlived(file: Path) -> bool:
    """Wait for a control plane that outlived its keeper; whether one is wanted then.

    It removes its file when it was told to stop, and leaves it when it dies.
    """
    try:
        pid = int(file.read_text())
        descriptor = os.pidfd_open(pid)
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return True
    if b"localcloud.control" not in line:
        os.close(descriptor)
        return True
    with os.fdopen(descriptor):
        select.select([descriptor], [], [])
    return file.exists()


def _start(root: Path, home: Path) -> subprocess.Popen[bytes]:
    logs = home / "logs"
    logs.mkdir(exist_ok=True)
    with (logs / "control.log").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "localcloud.control", str(root)],
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _wait(pid: int) -> int:
    """Reap every child, adopted ones too, until this one ends; its status."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def _pass_on_termination(child: subprocess.Popen[bytes]) -> None:
    def handler(sign: int, frame: FrameType | None) -> None:
        os.kill(child.pid, sign)

    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1]).resolve()))
