"""A Postgres whose disk is small, and can be filled: tmpfs in a user namespace.

No right of root is needed: in a user namespace of one's own anybody may mount tmpfs. A
process that only waits holds the mounts; Postgres comes and goes inside them, and from
outside they are reached below `/proc/<pid>/root`.
"""

import contextlib
import os
import subprocess
from functools import cache
from pathlib import Path

from tests.service.servers import Postgres, postgres_bin
from tests.service.world import World

DATA_MIB = 160
LOG_MIB = 24
SETTINGS = {
    # A log of a few segments, so that it needs new ones while its disk is full.
    "min_wal_size": "2MB",
    "max_wal_size": "6MB",
    "wal_keep_size": "4MB",
}
SEGMENT = "--wal-segsize=1"
"""For initdb: segments of a MiB, of the log."""
_AS_USER = ("unshare", "-U", "--map-user=1000", "--map-group=1000")
"""Postgres refuses to be root: a namespace within, where it is somebody else."""


@cache
def refusal() -> str:
    """Why there can be no such disk here; empty where there can."""
    steps = f"mount -t tmpfs tmpfs /tmp && {' '.join(_AS_USER)} true"
    tried = ["unshare", "-Urm", "sh", "-c", steps]
    try:
        done = subprocess.run(tried, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "there is no unshare"
    return (done.stderr.strip() or "refused") if done.returncode else ""


class Disks:
    """Two disks at a folder: one for data, and one for the log (`pg_wal`)."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        log = folder / "pg_wal"
        mount = "mount -t tmpfs -o mode=700,size={}m tmpfs {}"
        script = " && ".join(
            [
                mount.format(DATA_MIB, folder),
                f"mkdir -m 700 {log}",
                mount.format(LOG_MIB, log),
                "echo ready",
                # It ends with whoever holds the other end of its pipe.
                "exec cat",
            ]
        )
        self._holder = subprocess.Popen(
            ["unshare", "-Urm", "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout and self._holder.stdout.readline() == "ready\n"
        self.data = Path(f"/proc/{self._holder.pid}/root{folder}")
        """The folder as it is seen from outside."""
        self.log = self.data / "pg_wal"

    def inside(self, command: list[str]) -> list[str]:
        """A command that runs in it, as a user who is not root there."""
        there = ["nsenter", "--preserve-credentials", "-U", "-m"]
        return [*there, "-t", str(self._holder.pid), *_AS_USER, *command]

    def fill(self, disk: Path) -> int:
        """Takes what is free of a disk; bytes that were."""
        taken = 0
        with (disk / "ballast").open("ab") as file, contextlib.suppress(OSError):
            while free := os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize:
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), free)
                taken += free
        return taken

    def free(self, disk: Path) -> None:
        """Gives it back."""
        (disk / "ballast").unlink()

    def close(self) -> None:
        """Ends the holder, and with the last process in them the disks."""
        self._holder.kill()
        self._holder.wait()


class SmallPostgres(Postgres):
    """A server on such disks."""

    def __init__(self, disks: Disks, folder: Path, log: Path) -> None:
        super().__init__(folder, log)
        self.disks = disks
        command = [str(postgres_bin() / "postgres"), "-D", str(folder)]
        command += ["-p", str(self.port)]
        for name, value in SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        self.process.command = disks.inside(command)
        self.folder = disks.data

    @property
    def ended(self) -> bool:
        """Whether the postmaster has given up."""
        return self.process.child is not None and self.process.child.poll() is not None


class SmallDiskWorld(World):
    """A world whose hub `asia` has small disks."""

    disks: Disks

    def _start_postgres(self, region) -> None:
        if region.name != "asia":
            super()._start_postgres(region)
            return
        folder = region.folder / "data"
        self.disks = Disks(folder)
        copy = ["cp", "-r", "--preserve=mode", f"{self.cluster}/.", self.disks.data]
        subprocess.run(copy, check=True)
        log = region.folder / "postgres.log"
        region.postgres = SmallPostgres(self.disks, folder, log)
        region.postgres.start()

    def close(self) -> None:
        super().close()
        self.disks.close()
