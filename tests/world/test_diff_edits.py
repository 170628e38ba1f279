"""A hundred generated edits: the digest's changes are the engine's own, always."""

from __future__ import annotations

import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings

import topology
from ops import inline
from ops.diff import rehearsal
from ops.diff.change import changes, count
from ops.diff.fold import fold
from ops.engine import PREVIEW
from ops.fleet import UP
from ops.paths import ROOT

EDITS = 100
KEPT = ("us-central1", "us-east1")
VALUES: dict[tuple[str, ...], st.SearchStrategy[Any]] = {
    ("cache", "transit_encryption"): st.booleans(),
    ("cache", "eviction"): st.sampled_from(["noeviction", "allkeys-lru"]),
    ("cache", "version"): st.sampled_from(["REDIS_7_0", "REDIS_7_2"]),
    ("database", "backups_kept"): st.integers(1, 30),
    ("database", "generation"): st.integers(1, 3),
    ("database", "log_days"): st.integers(1, 7),
    ("database", "max_connections"): st.integers(300, 500),
    ("domain",): st.sampled_from(["a.example.com", "b.example.com"]),
    ("durability",): st.sampled_from(["ephemeral", "guarded", "sealed"]),
    ("edge", "log_sample"): st.sampled_from([0.0, 0.01, 0.1]),
    ("edge", "requests_per_minute"): st.integers(1000, 9000),
    ("limits", "max_batch_items"): st.integers(1, 2000),
    ("messaging", "ack_deadline_seconds"): st.integers(10, 600),
    ("messaging", "delivery_attempts"): st.integers(5, 100),
    ("messaging", "retention_seconds"): st.integers(600, 90_000),
    ("prefix",): st.sampled_from(["meridian", "other"]),
    ("regions", "us-central1", "min_instances"): st.integers(1, 3),
    ("regions", "us-east1", "cache_gib"): st.integers(1, 5),
    ("regions", "us-east1", "cidr"): st.sampled_from(
        ["100.64.40.0/24", "100.64.41.0/24"]
    ),
    ("regions", "us-east1", "serving"): st.booleans(),
    ("scaling_owner",): st.sampled_from(["pulumi", "burst"]),
    ("service", "concurrency"): st.integers(50, 200),
    ("storage", "keep_days"): st.integers(1, 90),
    ("storage", "soft_delete_days"): st.integers(7, 90),
}
"""Keys of the catalogue, and what they are changed to."""
GONE = "gone"


def small() -> dict[str, Any]:
    text = (ROOT / "stacks" / "catalogue" / "local.yaml").read_text()
    body: dict[str, Any] = yaml.safe_load(text)
    body["regions"] = {name: body["regions"][name] for name in KEPT}
    return body


@st.composite
def edited(draw: st.DrawFn) -> dict[str, Any]:
    """The small world with one to three keys changed, or a region taken out."""
    body = copy.deepcopy(small())
    for key in draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3)):
        block = body
        for name in key[:-1]:
            block = block[name]
        block[key[-1]] = draw(VALUES[key])
    if draw(st.integers(0, 9)) == 0:
        del body["regions"]["us-east1"]
    return body


class Stage:
    """A scratch state of the small world, previewed on again and again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.target = rehearsal.Scratch("local", home=home)
        inline.warm()
        self.write(small())
        self.run(UP)
        self.before = rehearsal.unprotected(self.target)

    def write(self, body: dict[str, Any]) -> None:
        (self.home / "catalogue").mkdir(exist_ok=True)
        text = yaml.safe_dump(body, sort_keys=False)
        (self.home / "catalogue" / "local.yaml").write_text(text)

    def run(self, command: tuple[str, ...]) -> str:
        more = {"MERIDIAN_CATALOGUES": str(self.home / "catalogue")}
        return rehearsal.run(self.target, command, more)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("stage"))


@pytest.mark.timeout(1800)
@settings(
    max_examples=EDITS,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(body=edited())
def test_the_digest_lists_what_the_engine_would_do(
    stage: Stage, body: dict[str, Any]
) -> None:
    try:
        topology.read(yaml.safe_dump(body), "local.yaml", "local")
    except topology.CatalogueError:
        assume(False)
    stage.write(body)
    plan = json.loads(stage.run(PREVIEW))
    found = changes(plan)
    engine = Counter(plan["changeSummary"])
    ours = Counter(count(found))
    for op in ("create", "update", "delete", "replace"):
        assert ours[op] == engine[op], (op, plan["changeSummary"])
    folded = [c.path for each in fold(found) for c in each.changes]
    assert sorted(folded) == sorted(c.path for c in found)
    assert len(set(folded)) == len(folded)
    if body == small():
        assert found == []
