"""The local world: bring it up, look at it, take it down."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import topology
from localcloud.errors import WorldError
from localcloud.version import code_version
from localcloud.world import World, open_world
from ops import acceptances, engine, fleet, records, stack
from ops.errors import CommandError
from ops.orphans import end_orphans
from ops.paths import ROOT, WORK

Json = dict[str, Any]
READY_SECONDS = 120.0
STOP_SECONDS = 60.0
START_SECONDS = 30.0
LEFT = ("world", "state", "stacks", "stamps", "records", "up-unfinished")
"""What a world leaves below `.meridian/`; gone with it unless its data is kept."""


def world() -> World:
    """The world of this clone."""
    try:
        return open_world(ROOT)
    except WorldError as error:
        raise CommandError(str(error)) from error


def call(path: str, body: Json | None = None, timeout: float = 10.0) -> Json:
    """Ask the control plane; raises `CommandError` when it does not answer."""
    url = f"{world().control}{path}"
    data = json.dumps(body).encode() if body is not None else None
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            answer: Json = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        raise CommandError(_said(error), 2) from error
    except OSError as error:
        raise CommandError(
            f"the world does not answer ({error}): `meridian up` starts it"
        ) from error


def _said(error: urllib.error.HTTPError) -> str:
    """What the control plane says of itself; a failure inside it is no JSON."""
    body = error.read()
    try:
        return str(json.loads(body or b"{}").get("error", error))
    except (ValueError, AttributeError):
        return f"the control plane failed ({error}): see `meridian logs control`"


def alive() -> bool:
    """Whether the control plane answers."""
    known = (WORK / "world" / "world.json").exists()
    return known and _running_version() is not None


def start_control_plane() -> bool:
    """Start the keeper unless the world runs; whether it was started."""
    if alive():
        if _keeper() is None:
            _start_keeper()
        return _renew()
    _start_keeper()
    return True


def _start_keeper() -> None:
    here = world()
    log = here.folder("logs") / "keeper.log"
    with log.open("ab") as output:
        subprocess.Popen(
            [sys.executable, "-m", "localcloud.keeper", str(ROOT)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _running_version() -> str | None:
    """Version of the control plane's code; None when it does not answer."""
    try:
        return str(call("/console/world", timeout=2).get("version"))
    except CommandError:
        return None


def _renew() -> bool:
    """Have an older control plane replaced by this clone's code; parts run on."""
    if _running_version() == code_version():
        return False
    call("/admin/restart", {})
    deadline = time.monotonic() + START_SECONDS
    while _running_version() != code_version():
        if time.monotonic() > deadline:
            raise CommandError("the control plane does not start again: see its log")
        time.sleep(0.05)
    return True


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Two `meridian up` of one clone would fight over the stack."""
    WORK.mkdir(exist_ok=True)
    lock = WORK / "up.lock"
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = "another `meridian up` or `down` of this clone is at work"
            who = stack.holder_of(lock)
            raise CommandError(f"{text} ({who}): wait for it, or end it") from None
        stack.sign(file)
        yield


def up(console: Console) -> Json:
    """Apply the local world and wait until every region answers; its status."""
    catalogue = topology.load("local")
    acceptances.refuse(topology.make_plan(catalogue))
    with one_at_a_time():
        fleet.refuse_other_layout(catalogue)
        end_orphans()
        targets, retired = fleet.targets(catalogue), fleet.retired(catalogue)
        for note in fleet.prepare([*targets, *retired]):
            console.print(f"  {note}")
        started = start_control_plane()
        if started:
            console.print("  control plane started")
        unfinished = WORK / "up-unfinished"
        swept = unfinished.exists()
        unfinished.touch()
        record = records.begin("local")
        _apply(console, catalogue, targets, retired)
        if swept:
            _sweep(console, targets)
        status = _wait_until_ready(console)
        unfinished.unlink()
        record.waves = [[target.piece.name for target in targets]]
        record.result = records.DONE
        record.save()
        return status


def variables() -> dict[str, str]:
    """What an `up` of this machine's world tells program and provider."""
    return {
        "MERIDIAN_CONTROL_PLANE": world().control,
        "PULUMI_EXPERIMENTAL": "true",
        "PULUMI_SKIP_CHECKPOINTS": "true",
    }


def _apply(
    console: Console,
    catalogue: topology.Catalogue,
    targets: list[stack.Stack],
    retired: list[stack.Stack],
) -> None:
    """Every stack brought up, then what the catalogue dropped taken down."""
    with Progress(console) as progress:
        fleet.up(catalogue, targets, variables(), progress.event)
        fleet.destroy(retired, variables(), progress.event)


class Progress:
    """Counts engine events; rewrites one line on a terminal, prints some elsewhere."""

    def __init__(self, console: Console, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._counts: dict[str, int] = {}
        self._seen = 0
        self._last = time.monotonic()
        self._status = (
            console.status("  resources: planning") if console.is_terminal else None
        )
        if self._status:
            self._status.start()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def event(self, target: stack.Stack, event: Json) -> None:
        done = event.get("resOutputsEvent")
        diagnostic = event.get("diagnosticEvent", {})
        if (
            diagnostic.get("severity") == "warning"
            and engine.PLUGIN not in diagnostic["message"]
        ):
            message = diagnostic["message"].strip()
            self._console.print(f"  {message}", markup=False, highlight=False)
        if not done or self._quiet:
            return
        op = done["metadata"]["op"]
        self._counts[op] = self._counts.get(op, 0) + 1
        self._seen += 1
        if self._status:
            self._status.update(f"  resources: {self._text()}")
        elif time.monotonic() - self._last > 2:
            self._last = time.monotonic()
            self._console.print(f"  resources: {self._text()}")

    def _text(self) -> str:
        return ", ".join(f"{n} {op}" for op, n in sorted(self._counts.items()))

    def close(self) -> None:
        if self._status:
            self._status.stop()
        self._console.print(f"  resources: {self._text() or 'none'}")


def _sweep(console: Console, targets: list[stack.Stack]) -> None:
    """Remove what an interrupted run made and nothing declares any more."""
    kept = {r.get("id") for target in targets for r in stack.resources(target)}
    gone = call("/console/sweep", {"keep": sorted(k for k in kept if k)}, timeout=120)
    for path in gone["removed"]:
        console.print(f"  removed, declared no more: {path}")


def _wait_until_ready(console: Console) -> Json:
    deadline = time.monotonic() + READY_SECONDS
    told = time.monotonic()
    while True:
        try:
            status = call("/console/world")
        except CommandError:
            # An `up` with nothing to do is here before a new control plane listens.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
            continue
        held = {f["target"].split("/")[1] for f in status["faults"]}
        waiting = [
            r["name"]
            for r in status["regions"]
            if r["serving"] and not r["ready"] and r["name"] not in held
        ]
        if status["regions"] and not waiting:
            return status
        if time.monotonic() > deadline:
            raise CommandError(
                f"not ready after {READY_SECONDS:.0f} s: {', '.join(waiting)}. "
                f"`meridian logs {waiting[0] if waiting else ''}` says why"
            )
        if time.monotonic() - told > 2:
            told = time.monotonic()
            console.print(f"  waiting for {', '.join(waiting) or 'the first region'}")
        time.sleep(0.1)


def down(console: Console, *, keep_data: bool) -> None:
    """Stop everything; nothing is left running. Data goes too unless kept."""
    with one_at_a_time():
        end_orphans()
        if (WORK / "world" / "world.json").exists():
            _stop(console)
        if not keep_data:
            for name in LEFT:
                path = WORK / name
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)


def _stop(console: Console) -> None:
    keeper = _keeper()
    try:
        call("/admin/shutdown", {})
    except CommandError:
        _stop_orphans(console)
    deadline = time.monotonic() + STOP_SECONDS
    while keeper and Path(f"/proc/{keeper}").exists() and _keeper():
        if time.monotonic() > deadline:
            raise CommandError(f"the world does not stop: process {keeper} is alive")
        time.sleep(0.05)
    _stop_orphans(console)


def _keeper() -> int | None:
    """Pid of the keeper that holds this world's lock."""
    file = WORK / "world" / "keeper.lock"
    if not file.exists():
        return None
    with file.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        except BlockingIOError:
            text = lock.read().strip()
            return int(text) if text else None


def _stop_orphans(console: Console) -> None:
    """End processes that the world's records name and that still run."""
    if not (WORK / "world" / "state" / "control.sqlite").exists():
        return
    done = subprocess.run(
        [sys.executable, "-m", "localcloud.stop", str(ROOT)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        console.print(done.stderr, markup=False)
        raise CommandError("some processes of the world could not be stopped")


def table(status: Json) -> Table:
    """Regions as people read them."""
    shown = Table(box=None, pad_edge=False)
    for name in ("region", "city", "role"):
        shown.add_column(name, no_wrap=True)
    for name in ("instances", "requests/s", "latency"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("health", no_wrap=True)
    for region in status["regions"]:
        latency = region["latency_ms"]
        shown.add_row(
            region["name"],
            region["city"],
            region["role"],
            str(region["instances"]),
            f"{region['requests_per_second']:.1f}",
            f"{latency:.1f} ms" if latency is not None else "-",
            _health(region),
        )
    return shown


def kernels(status: Json) -> str:
    """Which matching kernel runs, and whether sentences can be embedded."""
    regions = [r for r in status["regions"] if r["kernel"]]
    found = sorted({r["kernel"] for r in regions})
    note = " (no compiled kernel: the numpy reference runs)" if "numpy" in found else ""
    text = "yes" if regions and all(r["text"] for r in regions) else "not installed"
    return f"kernel: {', '.join(found) or 'unknown'}{note}; sentences: {text}"


def _health(region: Json) -> str:
    why = "; ".join(map(str, region["degraded"]))
    if region["ready"]:
        return f"[yellow]degraded: {why}[/yellow]" if why else "[green]ready[/green]"
    because = f": {why}" if why else ""
    if by := region["served_by"]:
        return f"[yellow]served by {by}{because}[/yellow]"
    return f"[red]not ready{because}[/red]"
