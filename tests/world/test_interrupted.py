"""What else comes in the way of an `up`: a dying control plane, another command, a lock
left behind, half a state. Kills are in `test_kills`, held locks in `test_locks`.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import signal
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.world.conftest import FEW, Clone, make_few


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Clone]:
    made = make_few(tmp_path / "clone")
    try:
        yield made
    finally:
        made.down()
        assert made.processes() == []


def locks(clone: Clone) -> list[Path]:
    return list((clone.root / ".meridian/state/.pulumi/locks").rglob("*.json"))


def held(clone: Clone) -> int:
    """How many resources the control plane keeps; an `up` of five makes over 100."""
    file = clone.root / ".meridian/world/state/control.sqlite"
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as db:
            return int(db.execute("SELECT count(*) FROM resource").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def test_up_ends_well_though_the_control_plane_dies_in_its_middle(
    fresh: Clone,
) -> None:
    process = fresh.start("up")
    for count in (20, 80):
        fresh.wait(lambda count=count: held(fresh) >= count, 180)
        (line,) = [p for p in fresh.processes() if "localcloud.control" in p]
        os.kill(int(line.split()[0]), signal.SIGKILL)
    assert process.poll() is None, "it died in its middle"
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert set(fresh.json("preview")["summary"]) == {"same"}


def test_a_second_up_meanwhile_is_told_to_wait(fresh: Clone) -> None:
    process = fresh.start("up")
    lock = fresh.root / ".meridian" / "up.lock"
    fresh.wait(lambda: lock.exists() and lock.read_text())
    refused = fresh.run("up", code=1)
    assert "another `meridian up` or `down` of this clone is at work" in refused.stderr
    who = f"process {process.pid} of {getpass.getuser()} on {socket.gethostname()}"
    assert re.search(rf"{re.escape(who)} since 20\d\d-\d\d-\d\dT", refused.stderr)
    assert process.wait() == 0


def test_two_clones_run_side_by_side(fresh: Clone, tmp_path: Path) -> None:
    other = make_few(tmp_path / "other")
    try:
        first, second = fresh.start("up", "--json"), other.start("up", "--json")
        outputs = [p.communicate()[0] for p in (first, second)]
        assert (first.returncode, second.returncode) == (0, 0), outputs
        pages = []
        for clone in (fresh, other):
            regions = clone.json("status")["regions"]
            assert sum(r["ready"] for r in regions) == len(FEW)
            pages.append({r["url"] for r in regions})
        assert pages[0].isdisjoint(pages[1])
    finally:
        other.down()
        assert other.processes() == []


def test_a_foreign_lock_is_refused_and_a_dead_one_removed(fresh: Clone) -> None:
    fresh.run("preview")
    folder = fresh.root / ".meridian/state/.pulumi/locks/organization"
    folder = folder / "meridian-cell" / "local.us-east1"
    folder.mkdir(parents=True, exist_ok=True)
    lock = {"pid": 1, "username": "somebody", "hostname": "elsewhere", "timestamp": "t"}
    (folder / "x.json").write_text(json.dumps(lock))
    refused = fresh.run("up", code=1)
    assert "locked by process 1 of somebody on elsewhere" in refused.stderr
    dead = {**lock, "pid": 2**22 - 3, "hostname": os.uname().nodename}
    (folder / "x.json").write_text(json.dumps(dead))
    up = fresh.run("up")
    assert "lock of the dead process" in up.stdout
    assert locks(fresh) == []


def test_a_half_written_state_is_mended(fresh: Clone) -> None:
    fresh.run("up")
    folder = fresh.root / ".meridian/state/.pulumi/stacks/meridian-cell"
    state = folder / "local.us-east1.json"
    state.write_text("")
    (folder / "local.us-west1.json").write_text('{"version": 3, "checkpo')
    (folder / "local.us-west1.json.bak").unlink(missing_ok=True)
    (folder / "local.europe-west3.json.attrs").write_text("")
    up = fresh.run("up")
    assert up.stdout.count("half-written state") == 2
    assert "europe-west3: half-written attributes of its state removed" in up.stdout
    assert set(fresh.json("preview")["summary"]) == {"same"}
    assert fresh.ready() == len(FEW)
