"""The digest of a change: verdict, what it costs and needs, changes by risk."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import topology
from ops import preview
from ops.diff.change import Change, changes, count
from ops.diff.fold import Fold, fold
from ops.diff.rehearsal import Rehearsal
from policy.check import check
from policy.record import from_preview, from_state
from policy.rules import every
from topology import CatalogueError, Plan

Json = dict[str, Any]
VERSION = 1
"""Version of the JSON form; `schema.json` beside this file."""
QUANTITIES = ("instances_max", "vcpu_max", "memory_gib_max", "addresses_rollout")


def digest(environment: str, rehearsal: Rehearsal) -> Json:
    """All that a reviewer needs; no state, no secret and no path of this machine."""
    found = changes(rehearsal.plan)
    plans = [_plan(environment, tree) for tree in rehearsal.trees]
    folds = fold(found)
    steps = preview.steps(rehearsal.plan)
    return {
        "version": VERSION,
        "environment": environment,
        "base": rehearsal.base,
        "head": rehearsal.head,
        "hash": preview.plan_hash(steps, rehearsal.trees[1]),
        "resources": len(found),
        "counts": count(found),
        "regions": sorted({c.region for c in found if c.region}),
        "worst": folds[0].risk.name.lower() if folds else None,
        "quota": {name: _before_after(plans, name) for name in QUANTITIES},
        "cost": _cost(plans),
        "findings": _findings(plans),
        "policy": _policy(rehearsal),
        "changes": [_fold(each) for each in folds],
        "table": _table(found),
    }


def _plan(environment: str, tree: Path) -> Plan | None:
    """The plan of a revision; None where its catalogue is of another form."""
    folder = tree / "stacks" / "catalogue"
    try:
        return topology.make_plan(topology.load(environment, folder))
    except CatalogueError:
        return None


def _before_after(plans: list[Plan | None], name: str) -> Json:
    before, after = (plan.totals[name] if plan else None for plan in plans)
    return {"before": before, "after": after}


def _cost(plans: list[Plan | None]) -> Json:
    """Price of a month before and after."""
    from ops.diff.cost import month

    before, after = (month(plan) if plan else None for plan in plans)
    return {"before": before, "after": after}


def _findings(plans: list[Plan | None]) -> Json:
    """Findings that come and go, by their text."""
    before, after = (
        {str(finding) for finding in plan.findings} if plan else set() for plan in plans
    )
    return {"new": sorted(after - before), "gone": sorted(before - after)}


def _policy(rehearsal: Rehearsal) -> Json:
    """Violations that come and go."""
    before = from_state({"deployment": {"resources": rehearsal.before}})
    texts = [
        {(v.rule, v.level.value, v.message) for v in check(records, every())}
        for records in (before, from_preview(rehearsal.plan))
    ]
    new = sorted(texts[1] - texts[0])
    return {
        "new": [{"rule": r, "level": level, "message": m} for r, level, m in new],
        "gone": len(texts[0] - texts[1]),
        "stands": len(texts[1]),
        "refused": any(level == "mandatory" for _, level, _ in texts[1]),
    }


def _fold(each: Fold) -> Json:
    first = each.first
    return {
        "risk": each.risk.name.lower(),
        "op": first.op,
        "type": first.token,
        "name": each.name,
        "regions": list(each.regions),
        "resources": [change.path for change in each.changes],
        "because": list(first.because),
        "values": [_value(value) for value in each.values],
        "differs": {
            change.region or change.name: [_value(value) for value in change.values]
            for change in each.exceptions
        },
        "undo": first.undo,
    }


def _value(value: Any) -> Json:
    return {"path": value.path, "before": value.before, "after": value.after}


def _table(found: list[Change]) -> Json:
    """Changes by region and operation: where the change is."""
    rows: dict[str, Counter[str]] = {}
    for change in found:
        rows.setdefault(change.region or "world", Counter())[change.op] += 1
    return {name: dict(sorted(row.items())) for name, row in sorted(rows.items())}
