"""Digests of prepared changes, on the real engine; the README shows five of them.

With MERIDIAN_WRITE_EXAMPLES=1 the examples are written anew instead of compared: read
the difference before it is committed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.world.conftest import ROOT, Clone

EXAMPLES = ROOT / "docs" / "digest"
FORMS = {"txt": (), "md": ("--markdown",), "sarif": ("--sarif",), "json": ("--json",)}


def git(clone: Clone, *words: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    line = ["git", *who, *words]
    done = subprocess.run(
        line, cwd=clone.root, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    made = Clone.make(tmp_path_factory.mktemp("diff"))
    git(made, "init", "-q", "-b", "main")
    git(made, "add", "-A")
    git(made, "commit", "-qm", "base")
    return made


@pytest.fixture
def prod(repository: Clone) -> Iterator[Path]:
    """The catalogue of production; the tree is put back afterwards."""
    yield repository.root / "stacks" / "catalogue" / "prod.yaml"
    git(repository, "checkout", "-q", "main")
    git(repository, "checkout", "-q", ".")


def replaced(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text, old
    file.write_text(text.replace(old, new, 1))


def digest(repository: Clone) -> dict[str, Any]:
    return repository.json("diff", "main")


def is_shown(repository: Clone, name: str, answer: dict[str, Any]) -> None:
    """The README's example of this change is what the command prints now."""
    kept = repository.root / ".meridian" / "digest.json"
    kept.write_text(json.dumps(answer))
    for form, words in FORMS.items():
        text = repository.run("diff", "--from", str(kept), *words).stdout
        # The hash names the whole source, and changes with every commit.
        text = text.replace(answer["hash"], "0123456789abcdef")
        file = EXAMPLES / f"{name}.{form}"
        if os.environ.get("MERIDIAN_WRITE_EXAMPLES"):
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        assert file.read_text() == text, f"{file.name}: see this module's docstring"
    assert (EXAMPLES / f"{name}.txt").read_text() in (ROOT / "README.md").read_text()


def test_a_tier_scaled_is_one_block_of_all_its_regions(
    repository: Clone, prod: Path
) -> None:
    replaced(prod, "cache_gib: 128", "cache_gib: 100")
    replaced(prod, "  asia-south1:\n", "  asia-south1:\n    cache_gib: 200\n")
    found = digest(repository)
    (change,) = found["changes"]
    assert (change["op"], change["risk"]) == ("update", "update")
    assert change["values"] == [{"path": "memorySizeGb", "before": 128, "after": 100}]
    assert [other["where"] for other in change["differs"]] == [["asia-south1"]]
    assert found["counts"] == {"update": 10}
    kept = repository.root / ".meridian" / "answer.json"
    kept.write_text(json.dumps(found))
    text = repository.run("diff", "--from", str(kept), "--markdown").stdout
    assert len(text.splitlines()) <= 60
    assert str(repository.root) not in text
    done = repository.run("diff", "--from", str(kept), "--sarif")
    runs = json.loads(done.stdout)["runs"]
    assert [r["ruleId"] for r in runs[0]["results"]] == ["risk-update"]
    is_shown(repository, "scale-a-tier", found)


def test_a_replaced_cache_is_the_worst_and_policy_refuses_it(
    repository: Clone, prod: Path
) -> None:
    replaced(prod, "transit_encryption: true", "transit_encryption: false")
    done = repository.run("diff", "main", "--json", "--strict", code=3)
    found = json.loads(done.stdout)
    assert found["worst"] == "data"
    first = found["changes"][0]
    assert (first["op"], len(first["regions"])) == ("replace", 15)
    assert first["because"] == ["transitEncryptionMode"]
    assert first["protected"]
    assert "redis-tls" in [broken["rule"] for broken in found["policy"]["new"]]
    is_shown(repository, "replace-a-cache", found)


def test_an_opened_ingress_is_an_exposure(repository: Clone, prod: Path) -> None:
    file = repository.root / "components" / "regional_cell.py"
    replaced(file, "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER", "INGRESS_TRAFFIC_ALL")
    found = digest(repository)
    assert found["worst"] == "exposure"
    (value,) = found["changes"][0]["values"]
    assert (value["path"], value["after"]) == ("ingress", "INGRESS_TRAFFIC_ALL")
    assert found["policy"]["refused"]
    is_shown(repository, "open-ingress", found)


def test_a_component_renamed_with_an_alias_is_no_change(
    repository: Clone, prod: Path
) -> None:
    file = repository.root / "stacks" / "edge" / "__init__.py"
    replaced(file, '        "budget",\n', '        "spending",\n')
    lost = digest(repository)
    assert set(lost["counts"]) == {"create", "delete"}
    head, _, tail = file.read_text().partition('        "spending",\n')
    aliased = (
        "pulumi.ResourceOptions.merge(world.options('edge'), "
        "pulumi.ResourceOptions(aliases=[pulumi.Alias(name='budget')]))"
    )
    assert 'world.options("edge")' in tail
    tail = tail.replace('world.options("edge")', aliased, 1)
    file.write_text(f'{head}        "spending",\n{tail}')
    kept = digest(repository)
    assert kept["resources"] == 0, kept["changes"]
    is_shown(repository, "rename-with-alias", kept)


def test_a_deleted_region_is_deleted_and_nothing_else_lost(
    repository: Clone, prod: Path
) -> None:
    text = prod.read_text()
    prod.write_text(re.sub(r"^  me-west1:\n(    .*\n)+", "", text, count=1, flags=re.M))
    refused = repository.run("diff", "main", code=2)
    assert "traffic shares of 14 regions add up to 0.98" in refused.stderr
    replaced(prod, "  us-east1:\n", "  us-east1:\n    traffic_share: 0.04\n")
    found = digest(repository)
    assert found["worst"] == "data"
    gone = [c for c in found["changes"] if c["op"] == "delete"]
    assert {region for change in gone for region in change["regions"]} == {"me-west1"}
    assert "delete" in found["table"]["me-west1"]
    assert [n for n, row in found["table"].items() if "delete" in row] == ["me-west1"]
    is_shown(repository, "delete-a-region", found)


def test_equal_revisions_say_no_change(repository: Clone, prod: Path) -> None:
    output = repository.run("diff", "main", "HEAD").stdout
    assert "no change: main and HEAD declare the same" in output


def test_an_answer_that_is_none_is_bad_input(repository: Clone) -> None:
    file = repository.root / ".meridian" / "none.json"
    missing = repository.run("diff", "--from", str(file), code=2)
    assert "No such file" in missing.stderr
    file.write_text('{"version": 1}')
    assert "no digest" in repository.run("diff", "--from", str(file), code=2).stderr
    file.write_text("{")
    assert "no JSON" in repository.run("diff", "--from", str(file), code=2).stderr
    both = repository.run("diff", "main", "--from", str(file), code=2)
    assert "leave main out" in both.stderr
    assert "`meridian diff main HEAD`" in repository.run("diff", code=2).stderr


def test_a_revision_that_does_not_exist_is_bad_input(repository: Clone) -> None:
    done = repository.run("diff", "nowhere", code=2)
    assert "'nowhere' is no revision" in done.stderr
    assert "worktree" not in git(repository, "status", "--porcelain")
    assert len(git(repository, "worktree", "list").splitlines()) == 1
