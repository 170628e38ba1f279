"""Killed at recorded steps while resources are being changed, an `up` converges when it
is run again: twenty kills of one world that stays up, its cloud slowed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcloud.types import registry, resource_types
from localcloud.types.base import IamMemberType
from localcloud.world import open_world
from tests.world.conftest import Clone

SEED = os.environ.get("MERIDIAN_KILL_SEED", "20261124")
"""Draws the order of the kills and the step of each; printed with every kill."""
KEPT = ("us-central1", "europe-west1")
"""Two hubs, one of which comes and goes: they wait for the foundation alone, so a round
is three engines deep; a region of a hub would be one more.
"""
ALONE = ("--accept", "failover-none", "--reason", "one region is left for a while")
"""The plan refuses a single region, unless that is accepted."""
SLOW = "0.3s"
STEPS = {"nothing": 60, "settings": 8, "death": 14, "birth": 14}
"""Latest step of each edit at which a kill may fall; all of them have some more."""
MEMBER = "member of a policy"


class Way(StrEnum):
    """How a run is killed."""

    ENGINE = "SIGKILL of the engine"
    COMMAND = "SIGKILL of meridian"
    INTERRUPT = "SIGINT"
    TWICE = "SIGINT twice"
    END = "SIGTERM of meridian"


@dataclass(frozen=True)
class Kill:
    """One round."""

    number: int
    way: Way
    edit: str
    step: int
    """Changes of resources that had begun when it was killed."""

    def __str__(self) -> str:
        return f"{self.number:02}: {self.way} at step {self.step} of {self.edit}"


def drawn() -> list[Kill]:
    """Ten SIGKILL, five SIGINT, five twice; the first in an `up` from nothing.

    And one SIGTERM, as a service manager sends it.
    """
    generator = random.Random(SEED)
    ways = [Way.ENGINE, Way.COMMAND, Way.INTERRUPT, Way.TWICE] * 5
    generator.shuffle(ways)
    ways.append(Way.END)
    edits = ["nothing", *["settings", "death", "birth"] * len(ways)]
    return [
        Kill(number, way, edit, generator.randint(1, STEPS[edit]))
        for number, (way, edit) in enumerate(zip(ways, edits, strict=False))
    ]


class World:
    """A small local world in a clone: edited, killed, looked at."""

    def __init__(self, clone: Clone) -> None:
        self.clone = clone
        self.file = clone.root / "stacks" / "catalogue" / "local.yaml"
        self.full: dict[str, Any] = yaml.safe_load(self.file.read_text())
        self.regions = {name: self.full["regions"][name] for name in KEPT}
        self.edits = 0
        self.write(self.regions)

    def write(self, regions: dict[str, Any]) -> None:
        body = {**self.full, "regions": regions}
        self.file.write_text(yaml.safe_dump(body, sort_keys=False))

    def edit(self, name: str) -> None:
        """Change the catalogue: services, subscriptions, buckets; or a region."""
        if name == "settings":
            self.edits += 1
            self.full["limits"]["max_batch_items"] = 900 + self.edits
            self.full["messaging"]["ack_deadline_seconds"] = 40 + self.edits
            self.full["storage"]["keep_days"] = 8 + self.edits
            self.full["database"]["backups_kept"] = 8 + self.edits
        dead = {k: v for k, v in self.regions.items() if k != KEPT[-1]}
        self.write(dead if name == "death" else self.regions)

    def slow(self, seconds: int) -> None:
        """What `meridian fail cloud --slow` asks for, as soon as there is a world."""
        how = f"slow by {SLOW}"
        body = {"kind": "cloud", "region": "", "how": how, "seconds": seconds}
        address = f"{open_world(self.clone.root).control}/console/faults"
        data, headers = json.dumps(body).encode(), {"content-type": "application/json"}

        def asked() -> bool:
            request = urllib.request.Request(address, data=data, headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    return answer.status == 200
            except OSError:
                return False

        self.clone.wait(asked)

    def rows(self, query: str) -> list[Any]:
        file = self.clone.root / ".meridian/world/state/control.sqlite"
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as db:
            return db.execute(query).fetchall()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    clone = Clone.make(tmp_path_factory.mktemp("kills") / "clone")
    try:
        yield World(clone)
    finally:
        clone.down()
        assert clone.processes() == []


class Steps:
    """Changes that the engines of a run have begun, read from their event logs."""

    def __init__(self, clone: Clone) -> None:
        self._folder = clone.root / ".meridian" / "events"
        self._read: dict[Path, int] = {}
        self.count = 0

    def last(self) -> Path | None:
        """Read on; the log that recorded the latest change just now."""
        found = None
        for file in self._folder.glob("*/events.jsonl"):
            try:
                with file.open() as source:
                    source.seek(self._read.get(file, 0))
                    text = source.read()
            except FileNotFoundError:
                continue
            whole = text[: text.rfind("\n") + 1]
            self._read[file] = self._read.get(file, 0) + len(whole.encode())
            begun = sum(map(is_change, whole.splitlines()))
            self.count += begun
            found = file if begun else found
        return found


def is_change(line: str) -> bool:
    begun = json.loads(line).get("resourcePreEvent")
    kind = begun and begun["metadata"]["type"]
    return (
        bool(begun)
        and not kind.startswith("pulumi:")
        and begun["metadata"]["op"] not in ("same", "read", "refresh")
    )


def engine_of(log: Path) -> int:
    """The engine that writes an event log."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if str(log) in words and Path(words[0]).name == "pulumi":
            return int(folder.name)
    raise AssertionError(f"no engine writes {log}")


def killed(world: World, kill: Kill) -> str:
    """Run an `up` and kill it at the step; what it said."""
    steps = Steps(world.clone)
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    process = world.clone.start("up", *ALONE, "--until", str(tomorrow))
    world.slow(600)
    log = None
    while steps.count < kill.step or log is None:
        assert process.poll() is None, f"ended too soon: {process.communicate()[0]}"
        time.sleep(0.01)
        log = steps.last() or log
    strike(process, kill.way, log)
    output, _ = process.communicate(timeout=300)
    print(f"{kill}; {steps.count} had begun; ended with {process.returncode}")
    expected = -signal.SIGKILL if kill.way is Way.COMMAND else 1
    assert process.returncode == expected, output
    world.slow(0)
    return output


def strike(process: subprocess.Popen[str], way: Way, log: Path) -> None:
    match way:
        case Way.ENGINE:
            os.kill(engine_of(log), signal.SIGKILL)
        case Way.COMMAND:
            os.kill(process.pid, signal.SIGKILL)
        case Way.END:
            os.kill(process.pid, signal.SIGTERM)
        case Way.INTERRUPT | Way.TWICE:
            # To the whole group, as a terminal does it.
            os.killpg(process.pid, signal.SIGINT)
    if way is Way.TWICE:
        time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)


def pending(clone: Clone) -> list[Any]:
    latest = [s["checkpoint"].get("latest") or {} for s in clone.states().values()]
    return [p for state in latest for p in state.get("pending_operations") or []]


def locks(clone: Clone) -> list[Path]:
    return list((clone.root / ".meridian/state/.pulumi/locks").rglob("*.json"))


def declared(clone: Clone) -> list[tuple[str, str]]:
    """(type, id) of what the states hold at Google."""
    latest = [s["checkpoint"].get("latest") or {} for s in clone.states().values()]
    resources = [r for state in latest for r in state.get("resources") or ()]
    google = [r for r in resources if r["type"].startswith("gcp:") and r["custom"]]
    return sorted(
        (MEMBER if is_member(r["type"]) else r["type"], r["id"]) for r in google
    )


def kept(world: World) -> list[tuple[str, str]]:
    """The same of the objects and policies that the control plane has."""
    known = {kind.token: kind for kind in resource_types()}
    rows = world.rows("SELECT token, path FROM resource")
    found = [(t, path.removeprefix(known[t].version)) for t, path in rows]
    for path, body in world.rows("SELECT path, body FROM policy"):
        for binding in json.loads(body).get("bindings", ()):
            role = f"{path}/{binding['role']}"
            found += [(MEMBER, f"{role}/{member}") for member in binding["members"]]
    return sorted(found)


def is_member(token: str) -> bool:
    return isinstance(registry()[token], IamMemberType)


def strays(clone: Clone) -> list[str]:
    """Live processes that are no part of the world, nor a child of one."""
    parts = {int(p["pid"]) for p in clone.json("status")["parts"]}
    lines = {int(line.split()[0]): line for line in clone.processes()}
    own = ("localcloud.keeper", "localcloud.control")
    parts |= {pid for pid, line in lines.items() if any(o in line for o in own)}
    (keeper,) = [pid for pid, line in lines.items() if own[0] in line]
    parents = parents_of_all()
    found = {p for p in parents if keeper in chain(p, parents)} | set(lines)
    # What the keeper adopted is a child of it, and no part.
    adopters = parts - {keeper}
    return [
        lines.get(pid, str(pid))
        for pid in sorted(found - parts)
        if not adopters & set(chain(pid, parents))
    ]


def parents_of_all() -> dict[int, int]:
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        found[int(folder.name)] = int(stat[1])
    return found


def chain(pid: int, parents: dict[int, int]) -> Iterator[int]:
    """The ancestors of a process."""
    while pid := parents.get(pid, 0):
        yield pid


@pytest.mark.parametrize("kill", drawn(), ids=str)
def test_the_next_up_converges(world: World, kill: Kill) -> None:
    world.edit(kill.edit)
    output = killed(world, kill)
    if kill.way in (Way.INTERRUPT, Way.TWICE, Way.END):
        assert "interrupted: run it again" in output
    assert "Traceback" not in output, output

    world.clone.run("up")
    preview = world.clone.json("preview")
    assert set(preview["summary"]) == {"same"}
    assert pending(world.clone) == []
    assert locks(world.clone) == []
    assert kept(world) == declared(world.clone), "one object for each declaration"
    world.clone.wait(lambda: strays(world.clone) == [], 10)


def test_a_slow_cloud_is_said_and_delays_what_changes(world: World) -> None:
    said = world.clone.run("fail", "cloud", "--slow", SLOW, "--for", "60s").stdout
    assert "slow by 0.3s cloud/requests" in said
    assert "slow by 0.3s cloud/requests" in world.clone.run("status").stdout
    address = f"{open_world(world.clone.root).control}/run.googleapis.com/v2/nothing"
    request = urllib.request.Request(address, method="DELETE")
    began = time.monotonic()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(request, timeout=30)
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(
    "words",
    [
        ("cloud",),
        ("cloud", "us-east1", "--slow", SLOW),
        ("cloud", "--slow", "soon"),
        ("cloud", "--slow", "61s"),
        ("region", "us-east1", "--slow", SLOW),
        ("region",),
    ],
)
def test_a_slow_cloud_that_is_asked_for_badly_is_refused(
    world: World, words: tuple[str, ...]
) -> None:
    assert "slow" in world.clone.run("fail", *words, code=2).stderr
