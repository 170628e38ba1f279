"""The Pulumi engine of this clone: its environment, its runs. The user's own login is
never touched.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ops.errors import CommandError
from ops.orphans import PARENT
from ops.paths import ROOT, WORK
from ops.stack import Stack
from tools import toolchain

Json = dict[str, Any]
POLL_SECONDS = 0.05
GRACE_SECONDS = 15.0
"""How long an interrupted engine may take to end its open operations."""
OFFLINE = "offline, local provider"
PREVIEW = ("preview", "--json", "--show-sames")
"""Words after `pulumi`: every resource of a plan, as JSON."""
QUIET = {"MERIDIAN_QUIET_PROVIDER": "1"}
"""For answers that say themselves that they are offline."""
PLUGIN = "pulumi-resource-gcp from $PATH"
"""The engine's warning about a plugin on PATH: here that is what was asked for."""


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


def silent_home() -> Path:
    """Home of engines that write no log of their own.

    They write all they do, compressed, which is a fifth of their time, and cannot be
    told not to: without a folder to write to they go without.
    """
    home = WORK / "engine"
    home.mkdir(parents=True, exist_ok=True)
    (home / "logs").touch()
    return home


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
    if offline:
        values["PULUMI_HOME"] = str(silent_home())
    folder = WORK / "events"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        events = Path(scratch) / "events.jsonl"
        line = ["pulumi", *command, "-s", target.name, "--non-interactive"]
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
        if not _ended(process.pid, GRACE_SECONDS):
            # It waits for a program that this interrupt has ended, too.
            process.kill()
            _ended(process.pid, GRACE_SECONDS)
        raise


def _ended(pid: int, seconds: float) -> bool:
    """Whether a child ends within so many seconds.

    Not `Popen.wait`: an interrupt between the taking of its lock and the block that
    releases it leaves the lock taken, and the next `wait` waits for ever.
    """
    descriptor = os.pidfd_open(pid)
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


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
    """What the engine said, without its table of resources and without any state."""
    text = output[output.find("Diagnostics:") :] if "Diagnostics:" in output else output
    if output.lstrip().startswith("{"):
        text = _diagnostics(output)
    text = "\n".join(part.strip() for part in (text, errors) if part.strip())
    return f"pulumi {command[0]} failed:\n{text[-4000:]}"


def _diagnostics(output: str) -> str:
    """Errors in a JSON answer, each once; the rest of it is state."""
    try:
        said = json.loads(output).get("diagnostics") or ()
    except ValueError:
        return ""
    errors = (d["message"].strip() for d in said if d.get("severity") == "error")
    return "\n".join(dict.fromkeys(errors))
