"""`meridian drift`: what is otherwise than was applied, over all slices, typed.

Fields that have a declared owner at run time (`ignoreChanges`: the burst scaler's
minimum, an autoresized disk, Cloud Deploy's image) are excluded, and nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import topology
from ops import backend, fleet, inline, stack, world
from ops.diff.change import at, named, shown
from ops.engine import QUIET
from ops.errors import CommandError
from policy.record import plain

Json = dict[str, Any]
REFRESH = ("refresh", "--preview-only", "--json", "--show-sames")


def drift(environment: str, say: Callable[[str], None]) -> Json:
    """`{"environment", "slices", "resources", "drifted": [{"slice", "type", ...}]}`."""
    catalogue = topology.load(environment)
    if environment != "local":
        raise CommandError(
            f"drift of {environment} needs its state and Google's credentials, which "
            "this clone has not: run `pulumi refresh --preview-only` with a deployer"
        )
    if not world.alive():
        raise CommandError("the world does not run: `meridian up` starts it")
    targets = [t for t in fleet.targets(catalogue) if stack.resources(t)]
    for target in targets:
        backend.prepare(target)
    say(f"reading what is there, {len(targets)} stacks")
    extra = {**world.variables(), **QUIET}
    found: list[Json] = []
    seen = 0
    inline.warm()
    for result in inline.in_order(
        [t.piece for t in targets],
        lambda piece: (),
        lambda piece: inline.Task(
            target=stack.stack(environment, piece), command=REFRESH, extra=extra
        ),
        fleet.WORKERS,
    ):
        if result.error:
            raise CommandError(f"{result.target.piece.name}: {result.error}")
        steps = json.loads(result.output).get("steps", ())
        seen += len(steps)
        owned = {r["urn"]: _owned(r) for r in stack.resources(result.target)}
        found += [
            {"slice": result.target.piece.name, **drifted}
            for step in steps
            for drifted in _step(step, owned.get(step["urn"], []))
        ]
    return {
        "environment": environment,
        "slices": len(targets),
        "resources": seen,
        "drifted": sorted(found, key=lambda d: (d["slice"], d["name"])),
    }


def _owned(resource: Json) -> list[str]:
    return list(resource.get("ignoreChanges") or ())


def _step(step: Json, owned: list[str]) -> Iterator[Json]:
    """One drifted resource, or none."""
    chain, _, name = step["urn"].split("::", 2)[2].partition("::")
    kind = chain.rsplit("$", 1)[-1]
    if step["op"] == "delete":
        yield {"type": kind, "name": name, "what": "gone", "fields": []}
        return
    states = (step.get("oldState"), step.get("newState"))
    before, after = (plain((state or {}).get("inputs") or {}) for state in states)
    fields = [
        {
            "path": named(path, before),
            "applied": shown(path, at(before, path), before),
            "found": shown(path, at(after, path), after),
        }
        for path in _paths(before, after)
        if not any(_is_below(path, owner) for owner in owned)
    ]
    if fields and kind.startswith("gcp:"):
        yield {"type": kind, "name": name, "what": "changed", "fields": fields}


def _paths(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Paths of leaves that differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            where = f"{path}.{key}" if path else key
            yield from _paths(before.get(key), after.get(key), where)
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            yield path
            return
        for number, pair in enumerate(zip(before, after, strict=True)):
            yield from _paths(*pair, f"{path}[{number}]")
    elif before != after:
        yield path


def _is_below(path: str, owner: str) -> bool:
    """Whether a path is an owned one, or stands below it."""
    own = re.sub(r"\[\d+\]", "", path)
    return own == owner or own.startswith(f"{owner}.")


def lines(answer: Json) -> Iterator[str]:
    """What a person reads."""
    for drifted in answer["drifted"]:
        kind = drifted["type"].rsplit(":", 1)[-1]
        yield f"{drifted['slice']}: {kind} {drifted['name']} {drifted['what']}"
        for field in drifted["fields"]:
            pair = f"applied {field['applied']}, found {field['found']}"
            yield f"    {field['path']}: {pair}"
    count = len(answer["drifted"])
    yield (
        f"{count or 'nothing'} drifted of {answer['resources']} resources in "
        f"{answer['slices']} stacks"
    )
