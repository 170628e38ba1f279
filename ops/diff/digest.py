"""The digest of a change: verdict, what it costs and needs, changes by risk."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import topology
from ops import preview
from ops.diff.change import Change, changes, count
from ops.diff.fold import Fold, fold
from ops.diff.rehearsal import Rehearsal
from ops.errors import BAD_INPUT, CommandError
from policy.check import check
from policy.record import from_preview, from_state
from policy.rule import Level, Violation
from policy.rules import every
from topology import CatalogueError, Plan
from topology.findings import fold as fold_findings

Json = dict[str, Any]
VERSION = 1
"""Version of the JSON form; `schema.json` beside this file."""
QUANTITIES = ("instances_max", "vcpu_max", "memory_gib_max", "addresses_rollout")


def digest(environment: str, rehearsal: Rehearsal) -> Json:
    """All that a reviewer needs; no state, no secret and no path of this machine."""
    found = changes(rehearsal.plan, rehearsal.before)
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


def read(file: Path) -> Json:
    """An answer that was kept; refused when it is none of this version."""
    import jsonschema

    again = "make it by `meridian diff BASE HEAD --json`"
    try:
        answer: Json = json.loads(file.read_text())
    except OSError as error:
        text = f"--from {file}: {error.strerror}: {again}"
        raise CommandError(text, BAD_INPUT) from error
    except ValueError as error:
        text = f"--from {file}: no JSON ({error}): {again}"
        raise CommandError(text, BAD_INPUT) from error
    schema = json.loads(Path(__file__).with_name("schema.json").read_text())
    wrong = jsonschema.Draft202012Validator(schema).iter_errors(answer)
    first = next(wrong, None)
    if first is not None:
        place = first.json_path
        text = f"--from {file}: no digest: {place}: {first.message[:200]}: {again}"
        raise CommandError(text, BAD_INPUT)
    return answer


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
    """Findings that come and go; one whose figures changed does neither."""
    before, after = (
        {(f.code, f.level, f.place): f for f in plan.findings} if plan else {}
        for plan in plans
    )
    return {
        "new": fold_findings([f for key, f in after.items() if key not in before]),
        "gone": fold_findings([f for key, f in before.items() if key not in after]),
        "stands": fold_findings([f for key, f in after.items() if key in before]),
    }


def _policy(rehearsal: Rehearsal) -> Json:
    """Rules that are broken by the head and were not by the base, each once."""
    before = from_state({"deployment": {"resources": rehearsal.before}})
    old, found = (
        {(v.rule, v.message): v for v in check(records, every())}
        for records in (before, from_preview(rehearsal.plan))
    )
    new: dict[str, list[Violation]] = {}
    # In the order of names: the engine's own differs from run to run.
    for violation in sorted(
        (v for key, v in found.items() if key not in old), key=lambda v: v.urn
    ):
        new.setdefault(violation.rule, []).append(violation)
    return {
        "new": [
            {
                "rule": rule,
                "level": broken[0].level.value,
                "message": broken[0].message,
                "places": [v.urn.split("::", 2)[2] for v in broken],
            }
            for rule, broken in sorted(new.items())
        ],
        "gone": len(old.keys() - found.keys()),
        "stands": len(found),
        "refused": any(v.level is Level.MANDATORY for v in found.values()),
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
        "differs": [
            {
                "where": [change.region or change.name for change in group],
                "values": [_value(value) for value in group[0].values],
            }
            for group in each.exceptions
        ],
        "protected": first.protected,
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
