"""The Pulumi engine of this clone: environment, stacks, runs. The user's own login is
never touched.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from localcloud.supervisor import start_time
from ops.errors import BAD_INPUT, CommandError
from ops.orphans import PARENT
from ops.paths import CATALOGUES, ROOT, WORK, relative
from tools import toolchain

Json = dict[str, Any]
POLL_SECONDS = 0.05
LOCK_SECONDS = 20.0
"""How long an interrupted engine may take to let go of its stack."""
PLUGIN = "pulumi-resource-gcp from $PATH"
"""The engine's warning about a plugin on PATH: here that is what was asked for."""
IMAGE_INPUTS = ("service", "topology")
"""Folders that the container image is made of."""


@dataclass(frozen=True)
class Stack:
    """One stack of one environment."""

    environment: str

    @property
    def project(self) -> str:
        return "meridian"

    @property
    def folder(self) -> Path:
        """Folder of the project file."""
        return ROOT / "stacks" / "local" if self.environment == "local" else ROOT

    @property
    def config(self) -> Path:
        """Generated copy of the committed stack file, with the salt."""
        return WORK / "stacks" / f"{self.project}.{self.environment}.yaml"

    @property
    def state(self) -> Path:
        folder = WORK / "state" / ".pulumi" / "stacks" / self.project
        return folder / f"{self.environment}.json"

    @property
    def locks(self) -> Path:
        base = WORK / "state" / ".pulumi" / "locks" / "organization"
        return base / self.project / self.environment


def stack(environment: str) -> Stack:
    """The stack of an environment that has a catalogue."""
    known = sorted(file.stem for file in CATALOGUES.glob("*.yaml"))
    if environment not in known:
        text = f"environment {environment!r} has no catalogue: {', '.join(known)}"
        raise CommandError(text, BAD_INPUT)
    return Stack(environment)


def environment(target: Stack, *, offline: bool) -> dict[str, str]:
    """Variables that make `pulumi` work in this clone."""
    folders = [str(toolchain.engine_folder()), str(Path(sys.executable).parent)]
    if offline:
        folders.append(str(plugin_folder()))
    values = {
        "PATH": os.pathsep.join([*folders, os.environ.get("PATH", "")]),
        "PULUMI_HOME": str(WORK / "pulumi"),
        "PULUMI_BACKEND_URL": f"file://{WORK / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(WORK / "passphrase"),
        "PULUMI_OPTION_CONFIG_FILE": str(target.config),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    if offline:
        values["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    return values


def shell_lines(values: dict[str, str]) -> str:
    """`export` lines for `eval`."""
    return "\n".join(f"export {k}={shlex.quote(v)}" for k, v in values.items())


def plugin_folder() -> Path:
    """Folder that holds the local provider under the genuine name: on PATH only when
    asked for.
    """
    folder = WORK / "plugins"
    folder.mkdir(parents=True, exist_ok=True)
    launcher = folder / "pulumi-resource-gcp"
    text = (
        f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} "
        f'exec {shlex.quote(sys.executable)} -m localcloud.provider "$@"\n'
    )
    if not launcher.exists() or launcher.read_text() != text:
        launcher.write_text(text)
        launcher.chmod(0o755)
    return folder


def prepare(target: Stack) -> None:
    """Make backend, passphrase, stack and generated configuration, where missing."""
    (WORK / "state").mkdir(parents=True, exist_ok=True)
    passphrase = WORK / "passphrase"
    if not passphrase.exists():
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(passphrase, flags, 0o600), "w") as out:
            out.write(secrets.token_urlsafe(32))
    salt = target.config.with_suffix(".salt")
    if not target.state.exists() or not salt.exists():
        _initialise(target, salt)
    committed = target.folder / f"Pulumi.{target.environment}.yaml"
    content = yaml.safe_load(committed.read_text()) if committed.exists() else {}
    content["encryptionsalt"] = salt.read_text()
    content.setdefault("config", {})
    if target.environment == "local":
        content["config"]["meridian:imageDigest"] = tree_digest()
    target.config.write_text(yaml.safe_dump(content))


def _initialise(target: Stack, salt: Path) -> None:
    """`stack init` in a scratch project, so that no committed file gains a salt."""
    scratch = WORK / "stacks" / f"init-{target.environment}"
    scratch.mkdir(parents=True, exist_ok=True)
    settings = scratch / f"Pulumi.{target.environment}.yaml"
    settings.unlink(missing_ok=True)
    project = {"name": target.project, "runtime": "python"}
    (scratch / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    values = environment(target, offline=True)
    values.pop("PULUMI_OPTION_CONFIG_FILE")
    if target.state.exists():
        text = (
            f"{relative(salt)} is missing but the state exists: `make clean` and again"
        )
        raise CommandError(text)
    command = ["pulumi", "stack", "init", target.environment, "--non-interactive"]
    done = subprocess.run(
        command,
        cwd=scratch,
        env={**os.environ, **values},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandError(f"the stack cannot be made: {done.stderr.strip()}")
    salt.write_text(yaml.safe_load(settings.read_text())["encryptionsalt"])


def tree_digest() -> str:
    """Digest of what the image holds, for services run from the working tree."""
    total = hashlib.sha256()
    for name in IMAGE_INPUTS:
        for file in sorted((ROOT / name).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                total.update(str(file.relative_to(ROOT)).encode() + b"\0")
                total.update(file.read_bytes())
    return f"sha256:{total.hexdigest()}"


def break_stale_lock(target: Stack) -> str | None:
    """Remove a lock whose holder is dead; refuse one that is held, after a while.

    An interrupted engine ends its open operations before it lets go.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        held = [(f, _read_lock(f)) for f in target.locks.glob("*.json")]
        if not held:
            return None
        file, lock = held[0]
        here = lock.get("hostname") == socket.gethostname()
        if here and start_time(int(lock.get("pid", 0))) is None:
            file.unlink(missing_ok=True)
            return f"lock of the dead process {lock.get('pid')} removed"
        if not here or time.monotonic() > deadline:
            raise CommandError(
                f"{target.project}/{target.environment} is locked by process "
                f"{lock.get('pid')} of {lock.get('username')} on "
                f"{lock.get('hostname')} since {lock.get('timestamp')}: wait for it, "
                "or run `pulumi cancel` when it is gone"
            )
        time.sleep(POLL_SECONDS)


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


def resources(target: Stack) -> list[Json]:
    """Resources in the stack's state."""
    if not target.state.exists():
        return []
    latest = json.loads(target.state.read_text())["checkpoint"].get("latest") or {}
    found: list[Json] = latest.get("resources") or []
    return found


def run(
    target: Stack,
    command: list[str],
    *,
    offline: bool,
    extra: dict[str, str] | None = None,
    on_event: Callable[[Json], None] | None = None,
) -> str:
    """Run `pulumi` to its end; its standard output. Engine events go to `on_event`."""
    # Without debug commands the CLI has no --event-log.
    values = {**os.environ, **environment(target, offline=offline), **(extra or {})}
    values |= {"PULUMI_DEBUG_COMMANDS": "true", PARENT: str(os.getpid())}
    folder = WORK / "events"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        events = Path(scratch) / "events.jsonl"
        line = ["pulumi", *command, "-s", target.environment, "--non-interactive"]
        if on_event:
            line += ["--event-log", str(events)]
        files = [Path(scratch) / name for name in ("out", "err")]
        with files[0].open("w") as out, files[1].open("w") as err:
            process = subprocess.Popen(
                line, cwd=target.folder, env=values, stdout=out, stderr=err
            )
            _watch(process, events, on_event)
        output, errors = (file.read_text() for file in files)
    if process.returncode:
        raise CommandError(_failure(command, output, errors))
    return output


def _watch(
    process: subprocess.Popen[bytes],
    events: Path,
    on_event: Callable[[Json], None] | None,
) -> None:
    """Wait for the engine; when this command is interrupted, so is the engine."""
    try:
        for event in _follow(events, process):
            if on_event:
                on_event(event)
    except BaseException:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise


def _follow(file: Path, process: subprocess.Popen[bytes]) -> Iterator[Json]:
    """Lines of the event log as they are written, until the process has ended."""
    position, rest = 0, ""
    while True:
        ended = process.poll() is not None
        if file.exists():
            with file.open() as source:
                source.seek(position)
                text = source.read()
                position = source.tell()
            *lines, rest = (rest + text).split("\n")
            yield from (json.loads(line) for line in lines if line)
        if ended:
            return
        try:
            process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue


def _failure(command: list[str], output: str, errors: str) -> str:
    """What the engine said, without its table of resources."""
    text = output[output.find("Diagnostics:") :] if "Diagnostics:" in output else output
    text = "\n".join(part.strip() for part in (text, errors) if part.strip())
    return f"pulumi {command[0]} failed:\n{text[-4000:]}"
