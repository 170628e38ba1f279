"""States: adoption, a new passphrase, another release of a provider."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.world.conftest import Clone, changed

CELL = "europe-west3"
BUCKET = ("gcp:storage/bucket:Bucket", f"{CELL}-vault-snapshots")


@pytest.fixture(scope="module")
def clone(few: Clone) -> Clone:
    return few


@pytest.fixture(scope="module")
def catalogue(clone: Clone) -> Path:
    return clone.root / "stacks" / "catalogue" / "local.yaml"


def state_of(clone: Clone, region: str) -> Path:
    folder = clone.root / ".meridian" / "state" / ".pulumi" / "stacks"
    return folder / "meridian-cell" / f"local.{region}.json"


def held(clone: Clone, region: str, kind: str, name: str) -> dict[str, Any]:
    document = json.loads(state_of(clone, region).read_text())
    return next(
        r
        for r in document["checkpoint"]["latest"]["resources"]
        if r["type"] == kind and r["urn"].endswith(f"::{name}")
    )


def forget(clone: Clone, region: str, kind: str, name: str) -> str:
    """Take a resource out of a state, which then knows nothing of it; its ID."""
    file = state_of(clone, region)
    gone = held(clone, region, kind, name)
    document = json.loads(file.read_text())
    latest = document["checkpoint"]["latest"]
    kept = [r for r in latest["resources"] if r["urn"] != gone["urn"]]
    for resource in kept:
        for urns in (
            resource.get("dependencies") or [],
            *(resource.get("propertyDependencies") or {}).values(),
        ):
            if gone["urn"] in (urns or []):
                urns.remove(gone["urn"])
    latest["resources"] = kept
    file.write_text(json.dumps(document))
    return str(gone["id"])


@pytest.fixture
def lost_bucket(clone: Clone) -> Iterator[str]:
    """A bucket that exists and that no state knows; its ID."""
    yield forget(clone, CELL, *BUCKET)
    if (clone.root / "stacks" / "catalogue" / "adoptions" / "local.yaml").exists():
        clone.run("adopt", "--forget", BUCKET[1])
    clone.run("up")


def test_what_exists_is_adopted_and_not_made_again(
    clone: Clone, lost_bucket: str
) -> None:
    answer = clone.json("adopt", *BUCKET, lost_bucket)
    assert [e["imported"] for e in answer["adoptions"]] == [False]
    (step,) = changed(clone.json("preview"))
    assert (step["op"], step["type"]) == ("import", BUCKET[0])
    clone.run("up")
    assert held(clone, CELL, *BUCKET)["id"] == lost_bucket
    assert changed(clone.json("preview")) == []
    assert [e["imported"] for e in clone.json("adopt")["adoptions"]] == [True]
    again = clone.run("adopt", *BUCKET, lost_bucket, code=2)
    assert "managed already" in again.stderr


def test_what_differs_from_its_declaration_is_changed_after_its_adoption(
    clone: Clone, lost_bucket: str, catalogue: Path
) -> None:
    text = catalogue.read_text()
    other = re.sub(r"soft_delete_days: \d+", "soft_delete_days: 9", text)
    assert other != text
    clone.run("adopt", *BUCKET, lost_bucket)
    catalogue.write_text(other)
    try:
        steps = changed(clone.json("preview"))
        mine = [s for s in steps if s["urn"].endswith(f"::{BUCKET[1]}")]
        assert [s["op"] for s in mine] == ["import", "update"]
        differing = "softDeletePolicy.retentionDurationSeconds"
        assert list(mine[1]["changes"]) == [differing]
        clone.run("up")
        found = held(clone, CELL, *BUCKET)
        assert found["id"] == lost_bucket
        days = int(found["inputs"]["softDeletePolicy"]["retentionDurationSeconds"])
        assert days == 9 * 86_400
    finally:
        catalogue.write_text(text)


def test_what_cannot_be_adopted_is_named(clone: Clone) -> None:
    unknown = clone.run("adopt", BUCKET[0], f"{CELL}-vault-snapshot", "b/x", code=2)
    assert f"declares no {BUCKET[0]} named {CELL}-vault-snapshot" in unknown.stderr
    assert f"{CELL}-vault-snapshots" in unknown.stderr
    assert "go together" in clone.run("adopt", BUCKET[0], code=2).stderr
    none = clone.run("adopt", "--forget", "nothing", code=2)
    assert "nothing is not listed: none are" in none.stderr
    assert clone.run("adopt").stdout == "nothing is to be adopted\n"


def test_the_passphrase_is_changed_under_a_running_world(clone: Clone) -> None:
    passphrase = clone.root / ".meridian" / "passphrase"
    old = passphrase.read_text()
    before = {name: _salt(state) for name, state in clone.states().items()}
    done = clone.run("state", "rotate")
    assert f"{len(before)} states have a new passphrase" in done.stdout
    new = passphrase.read_text()
    assert new != old
    assert passphrase.stat().st_mode & 0o777 == 0o600
    after = {name: _salt(state) for name, state in clone.states().items()}
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())
    assert old not in done.stdout + done.stderr
    assert new not in done.stdout + done.stderr
    assert changed(clone.json("preview")) == []
    clone.run("up")
    code, said = encrypted(clone, old)
    assert code != 0
    assert "incorrect passphrase" in said
    assert encrypted(clone, new)[0] == 0


def test_a_change_of_passphrase_that_was_stopped_goes_on(clone: Clone) -> None:
    with clone.start("state", "rotate") as stopped:
        assert stopped.stdout
        for line in stopped.stdout:
            if line.startswith("3 of"):
                stopped.kill()
                break
    refused = clone.run("preview", code=1)
    assert "`meridian state rotate` ends it" in refused.stderr
    done = clone.run("state", "rotate")
    assert "1 of" not in done.stderr
    assert changed(clone.json("preview")) == []


def test_an_older_providers_state_is_previewed_before_an_upgrade(
    clone: Clone,
) -> None:
    """A state written by an older release: same resources, an older version, and one
    default that the new release writes and the old one did not.
    """
    file = state_of(clone, CELL)
    kept = file.read_text()
    document = json.loads(kept)
    resources = document["checkpoint"]["latest"]["resources"]
    provider = next(r for r in resources if r["type"] == "pulumi:providers:gcp")
    version = provider["inputs"]["version"]
    for key in ("inputs", "outputs"):
        provider[key]["version"] = "10.0.0"
    bucket = next(r for r in resources if r["type"] == BUCKET[0])
    del bucket["inputs"]["uniformBucketLevelAccess"]
    file.write_text(json.dumps(document))
    try:
        found = clone.json("preview", "--region", CELL)
    finally:
        file.write_text(kept)
    assert found["versions"] == [
        {"slice": CELL, "package": "gcp", "state": "10.0.0", "program": version}
    ]
    ops = {s["type"]: s["op"] for s in changed(found)}
    assert ops == {"pulumi:providers:gcp": "update", BUCKET[0]: "update"}


def _salt(state: dict[str, Any]) -> str:
    return str(state["checkpoint"]["latest"]["secrets_providers"]["state"]["salt"])


def encrypted(clone: Clone, passphrase: str) -> tuple[int, str]:
    """Exit code and errors of plain `pulumi` that encrypts something."""
    script = (
        f'eval "$({sys.executable} -m ops env --env local --region {CELL} --offline)"; '
        "unset PULUMI_CONFIG_PASSPHRASE_FILE; "
        f"exec pulumi config set --secret a b -s local.{CELL} "
        "--cwd stacks/cell --non-interactive"
    )
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=clone.root,
        env={**clone.environment, "PULUMI_CONFIG_PASSPHRASE": passphrase},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr
