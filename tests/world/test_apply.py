"""Waves over the sliced world: order, gates, what was approved, and the way back."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.world.conftest import FEW, Clone, changed

RETIRED = "us-west1"
"""A region from which no other one copies."""


@pytest.fixture(scope="module")
def clone(few: Clone) -> Clone:
    """Waves may take two of the five regions, as they take several of fifteen."""
    text = few.catalogue.read_text()
    wider, found = re.subn(r"wave_share: [\d.]+", "wave_share: 0.4", text)
    assert found == 1
    few.catalogue.write_text(wider)
    return few


@pytest.fixture(scope="module")
def catalogue(clone: Clone) -> Path:
    return clone.catalogue


@pytest.fixture
def kept(clone: Clone, catalogue: Path) -> Iterator[str]:
    """The catalogue's text; put back, and the world brought to it, afterwards."""
    text = catalogue.read_text()
    yield text
    catalogue.write_text(text)
    clone.run("layout", "move")
    clone.run("up")


def declared(clone: Clone) -> dict[str, int]:
    """Number of resources in each stack that holds any, without the engine's own."""
    held = {
        name: [
            r
            for r in (state["checkpoint"].get("latest") or {}).get("resources") or ()
            if not r["type"].startswith("pulumi:")
        ]
        for name, state in clone.states().items()
    }
    return {name: len(found) for name, found in held.items() if found}


def test_the_order_is_shown_before_anything_is_done(clone: Clone) -> None:
    waves = clone.json("apply", "--dry-run")
    assert waves[0]["slices"] == ["foundation"]
    assert waves[-1]["slices"] == ["edge"]
    assert waves[1]["why"] == "canary"
    cells = [name for wave in waves[1:-1] for name in wave["slices"]]
    assert sorted(cells) == sorted(clone.tiers())
    assert max(len(wave["slices"]) for wave in waves[1:-1]) > 1


def test_what_was_approved_is_applied_and_nothing_else(
    clone: Clone, catalogue: Path, kept: str
) -> None:
    catalogue.write_text(
        kept.replace("ack_deadline_seconds: 30", "ack_deadline_seconds: 31")
    )
    preview = clone.json("preview")
    # Every region's subscription to changes, every hub's to repairs.
    assert len(changed(preview)) == len(clone.tiers()) + len(clone.hubs())
    catalogue.write_text(
        kept.replace("ack_deadline_seconds: 30", "ack_deadline_seconds: 32")
    )
    refused = clone.run("apply", "--expect", preview["hash"], code=4)
    assert "nothing was applied" in refused.stderr
    assert clone.json("preview")["hash"] != preview["hash"]
    catalogue.write_text(
        kept.replace("ack_deadline_seconds: 30", "ack_deadline_seconds: 31")
    )
    traffic = clone.start("demo", "--rounds", "1", "--json")
    applied = clone.json("apply", "--expect", preview["hash"], "--bake", "0.5")
    output, _ = traffic.communicate(timeout=300)
    assert traffic.returncode == 0, output
    assert applied["result"] == "done"
    assert applied["waves"] == [w["slices"] for w in clone.json("apply", "--dry-run")]
    assert changed(clone.json("preview")) == []


def test_a_bad_revision_stops_in_the_first_wave_and_is_rolled_back(
    clone: Clone, kept: str
) -> None:
    before = {r["name"]: r["instances"] for r in clone.json("status")["regions"]}
    program = clone.root / "service" / "template.py"
    sound = program.read_text()
    try:
        program.write_text("raise SystemExit('planted')\n" + sound)
        failed = clone.run("apply", "--bake", "0.5", code=1)
    finally:
        program.write_text(sound)
    assert "stopped in this wave, later ones were not touched" in failed.stderr
    assert "Rolled back to" in failed.stderr
    canary = clone.json("apply", "--dry-run")[1]["slices"][0]
    told = failed.stdout
    assert f"{canary}: failed" in told
    assert "wave 2" not in told
    assert clone.ready() == len(FEW)
    after = {r["name"]: r["instances"] for r in clone.json("status")["regions"]}
    assert after == before
    assert changed(clone.json("preview")) == []


def test_a_revision_that_answers_with_errors_is_rolled_back(
    clone: Clone, kept: str
) -> None:
    """Ready, and wrong every third time: no region is left out for that.

    By count and not by chance: five failures in a row would leave it out.
    """
    canary = clone.json("apply", "--dry-run")[1]["slices"][0]
    urls = {r["name"]: r["url"] for r in clone.json("status")["regions"]}
    program = clone.root / "service" / "api" / "searches.py"
    sound = program.read_text()
    head = (
        "    async def search(self, context: Context, request: Search) "
        "-> dict[str, Any]:\n"
    )
    assert head in sound
    with clients(f"{urls[canary]}/v1/collections/none:search"):
        try:
            planted = (
                "        self._planted = getattr(self, '_planted', 0) + 1\n"
                "        if self._planted % 3 == 0:\n"
                "            raise RuntimeError('planted')\n"
            )
            program.write_text(sound.replace(head, head + planted))
            failed = clone.run("apply", "--bake", "8", code=1)
        finally:
            program.write_text(sound)
    assert re.search(
        rf"{canary} answered \d+ of \d+ requests with a server", failed.stderr
    )
    assert "Rolled back to" in failed.stderr
    assert clone.ready() == len(FEW)
    assert changed(clone.json("preview")) == []


@contextlib.contextmanager
def clients(url: str) -> Iterator[None]:
    """A few searches a second, whatever they are answered."""
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(0.1):
            body = json.dumps({"vector": [1.0], "k": 1}).encode()
            headers = {"content-type": "application/json"}
            request = urllib.request.Request(url, data=body, headers=headers)
            with contextlib.suppress(OSError):
                urllib.request.urlopen(request, timeout=5).close()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        ended.set()
        asking.join()


def test_a_region_is_retired_and_born_again(
    clone: Clone, catalogue: Path, kept: str
) -> None:
    pattern = rf"^  {RETIRED}:\n(    .*\n)+"
    catalogue.write_text(re.sub(pattern, "", kept, count=1, flags=re.M))
    unnamed = clone.run("apply", code=2)
    assert f"--retire {RETIRED}" in unnamed.stderr
    applied = clone.json("apply", "--retire", RETIRED, "--bake", "0")
    assert applied["waves"][-1] == [RETIRED]
    assert applied["waves"][-2] == ["edge"]
    assert clone.ready() == len(clone.tiers()) == len(FEW) - 1
    assert not [p for p in clone.processes() if RETIRED in p]
    catalogue.write_text(kept)
    still = clone.run("apply", "--retire", RETIRED, code=2)
    assert "the catalogue still has it" in still.stderr
    clone.run("apply", "--bake", "0")
    assert clone.ready() == len(FEW)


def test_the_layout_moves_to_whole_and_back(
    clone: Clone, catalogue: Path, kept: str
) -> None:
    catalogue.write_text(kept.replace("layout: sliced", "layout: whole"))
    refused = clone.run("up", code=2)
    assert "meridian layout move" in refused.stderr
    pids = {p["name"]: p["pid"] for p in clone.json("status")["parts"]}
    sliced = declared(clone)
    total = sum(sliced.values())
    # Each stack has a root and a provider besides.
    assert clone.json("layout", "move")["moved"] == total + 2
    assert declared(clone) == {"meridian/local": total}
    assert changed(clone.json("preview")) == []
    clone.run("up")
    catalogue.write_text(kept)
    assert clone.json("layout", "move")["moved"] == total + 2 * len(sliced)
    assert declared(clone) == sliced
    assert changed(clone.json("preview")) == []
    clone.run("up")
    assert pids == {p["name"]: p["pid"] for p in clone.json("status")["parts"]}
    assert clone.json("layout", "move")["moved"] == 0


def test_one_cell_alone_is_previewed_on_what_stands(clone: Clone) -> None:
    one = clone.json("preview", "--region", "europe-west3")
    assert one["wiring"] == "live"
    assert {step["slice"] for step in one["steps"]} == {"europe-west3"}
    assert changed(one) == []
    output = subprocess.run(
        ["git", "status", "--porcelain"],
        cwd=clone.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert output.stdout == "" or "not a git repository" in output.stderr


def test_a_finding_refuses_until_it_is_accepted_with_a_reason(
    clone: Clone, catalogue: Path, kept: str
) -> None:
    small = re.sub(r"(^quota:\n  vcpu: )\d+", r"\g<1>1", kept, count=1, flags=re.M)
    assert small != kept
    catalogue.write_text(small)
    for command in ("up", "apply"):
        refused = clone.run(command, code=3)
        assert "nothing was changed" in refused.stderr
        assert "[quota-cpu]" in refused.stderr
    alone = clone.run("up", "--accept", "quota-cpu", code=2)
    assert "an acceptance needs reason, until" in alone.stderr
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    why = ("--reason", "a test", "--until", day)
    clone.run("up", "--accept", "quota-cpu", *why)
    state = clone.states()["meridian-cell/local.us-east1"]["checkpoint"]["latest"]
    (stack,) = [r for r in state["resources"] if r["type"] == "pulumi:pulumi:Stack"]
    (accepted,) = stack["outputs"]["accepted"]
    assert (accepted["finding"], accepted["reason"]) == ("quota-cpu", "a test")
    (clone.root / ".meridian" / "accepted" / "local.json").unlink()


def test_a_broken_mandatory_rule_refuses_before_anything_is_applied(
    clone: Clone, catalogue: Path, kept: str
) -> None:
    opened = kept.replace("transit_encryption: true", "transit_encryption: false")
    assert opened != kept
    catalogue.write_text(opened)
    refused = clone.run("apply", code=3)
    assert "nothing was applied" in refused.stderr
    assert "[redis-tls]" in refused.stderr
    clone.run("preview", "--strict", code=3)
    catalogue.write_text(kept)
    assert changed(clone.json("preview")) == []


def test_a_lost_state_is_restored_from_its_backup(clone: Clone) -> None:
    folder = clone.run("state", "backup").stdout.strip()
    assert len(list((clone.root / folder).rglob("*.json"))) == 2 + len(FEW)
    states = clone.root / ".meridian" / "state" / ".pulumi" / "stacks"
    for file in states.glob("meridian-cell/local.us-*.json"):
        file.unlink()
    assert changed(clone.json("preview")) != []
    clone.run("state", "restore", Path(folder).name)
    assert changed(clone.json("preview")) == []
    unknown = clone.run("state", "restore", "yesterday", code=2)
    assert Path(folder).name in unknown.stderr
