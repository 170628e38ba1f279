"""Stacks of this clone: where each is kept, its configuration, lock and state."""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from localcloud.supervisor import start_time
from ops.errors import BAD_INPUT, CommandError
from ops.orphans import PARENT
from ops.paths import CATALOGUES, ROOT, WORK
from topology import slices

Json = dict[str, Any]
POLL_SECONDS = 0.05
LOCK_SECONDS = 20.0
"""How long an interrupted engine may take to let go of its stack."""
ORGANIZATION = "organization"
"""What a file backend calls the organisation of every stack."""


@dataclass(frozen=True)
class Stack:
    """One slice of one environment, as the engine keeps it."""

    environment: str
    piece: slices.Slice = slices.WORLD

    @property
    def project(self) -> str:
        return self.piece.project

    @property
    def name(self) -> str:
        """Name inside the project."""
        return self.piece.stack(self.environment)

    @property
    def folder(self) -> Path:
        """Folder of the project file."""
        if self.piece.layer is slices.Layer.WORLD:
            return ROOT / "stacks" / "local" if self.environment == "local" else ROOT
        return ROOT / "stacks" / self.piece.layer

    @property
    def program(self) -> Path:
        """The program that the project runs."""
        return ROOT / "stacks" / self.piece.layer / "__main__.py"

    @property
    def config(self) -> Path:
        """Generated copy of the committed stack file, with the salt."""
        return WORK / "stacks" / f"{self.project}.{self.name}.yaml"

    @property
    def shared_salt(self) -> Path:
        """The environment's salt: its stacks share one, as they share a passphrase."""
        return WORK / "stacks" / f"{self.environment}.salt"

    @property
    def own_salt(self) -> Path:
        """The stack's own salt, once its passphrase was changed."""
        return WORK / "stacks" / f"{self.project}.{self.name}.own.salt"

    @property
    def salt(self) -> Path:
        """The salt that its secrets are encrypted with."""
        return self.own_salt if self.own_salt.exists() else self.shared_salt

    @property
    def state(self) -> Path:
        folder = WORK / "state" / ".pulumi" / "stacks" / self.project
        return folder / f"{self.name}.json"

    @property
    def locks(self) -> Path:
        base = WORK / "state" / ".pulumi" / "locks" / ORGANIZATION
        return base / self.project / self.name


def stack(environment: str, piece: slices.Slice = slices.WORLD) -> Stack:
    """The stack of an environment that has a catalogue."""
    known = sorted(file.stem for file in CATALOGUES.glob("*.yaml"))
    if environment not in known:
        text = f"environment {environment!r} has no catalogue: {', '.join(known)}"
        raise CommandError(text, BAD_INPUT)
    return Stack(environment, piece)


def break_stale_lock(target: Stack) -> str | None:
    """Remove a lock whose holder is dead; refuse one that somebody holds.

    An interrupted engine ends its open operations before it lets go: what a command
    of ours started is waited for a while, an engine that a person started is not.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        held = [(f, _read_lock(f)) for f in target.locks.glob("*.json")]
        if not held:
            return None
        file, lock = held[0]
        here = lock.get("hostname") == socket.gethostname()
        pid = int(lock.get("pid", 0))
        if here and start_time(pid) is None:
            file.unlink(missing_ok=True)
            return f"lock of the dead process {pid} removed"
        if not here or not _is_ours(pid) or time.monotonic() > deadline:
            raise CommandError(
                f"{target.project}/{target.name} is locked by process "
                f"{lock.get('pid')} of {lock.get('username')} on "
                f"{lock.get('hostname')} since {lock.get('timestamp')}: wait for it, "
                f"or run `pulumi cancel -s {target.name}` when it is gone"
            )
        time.sleep(POLL_SECONDS)


def _is_ours(pid: int) -> bool:
    """Whether a `meridian` command started an engine; true when it has just ended."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:
        return False
    except OSError:
        return True
    return f"{PARENT}=".encode() in variables


def sign(file: TextIO) -> None:
    """Write who holds a lock of ours into it."""
    holder = {
        "pid": os.getpid(),
        "username": getpass.getuser(),
        "hostname": socket.gethostname(),
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    file.truncate(0)
    file.write(json.dumps(holder))
    file.flush()


def holder_of(file: Path) -> str:
    """Who holds a lock, for people; its holder may be about to write it."""
    lock = _read_lock(file)
    if "timestamp" not in lock:
        return "just started"
    return (
        f"process {lock['pid']} of {lock['username']} on {lock['hostname']} "
        f"since {lock['timestamp']}"
    )


def _read_lock(file: Path) -> Json:
    """A lock's content; a half-written one of a killed engine counts as nobody's."""
    try:
        lock: Json = json.loads(file.read_text())
    except (OSError, ValueError):
        return {"pid": 0, "hostname": socket.gethostname()}
    return lock


def clear_pending(target: Stack) -> str | None:
    """Forget operations that a killed run left open; their objects are adopted."""
    if not target.state.exists():
        return None
    document = json.loads(target.state.read_text())
    latest = document["checkpoint"].get("latest") or {}
    pending = latest.pop("pending_operations", None)
    if not pending:
        return None
    scratch = target.state.with_suffix(".new")
    scratch.write_text(json.dumps(document))
    os.replace(scratch, target.state)
    return f"{len(pending)} open operations of a killed run forgotten"


def remove(target: Stack) -> None:
    """Forget a stack that holds nothing any more."""
    for file in (target.state, target.config):
        for path in file.parent.glob(f"{file.name}*"):
            path.unlink()


def outputs(target: Stack) -> Json:
    """What the stack exports; empty before its first `up`."""
    for resource in resources(target):
        if resource["type"] == "pulumi:pulumi:Stack":
            exported: Json = resource.get("outputs") or {}
            return exported
    return {}


def resources(target: Stack) -> list[Json]:
    """Resources in the stack's state."""
    if not target.state.exists():
        return []
    latest = json.loads(target.state.read_text())["checkpoint"].get("latest") or {}
    found: list[Json] = latest.get("resources") or []
    return found
