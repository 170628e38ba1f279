"""The gate between two waves: regions just applied must stay sound for a while."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from ops import world
from ops.errors import CommandError

Json = dict[str, Any]
LOOK_SECONDS = 0.5
SETTLE_SECONDS = 20.0
"""How long a region may take to be ready after its `up`: a new revision starts."""
BAD_LOOKS = 3
"""Looks in a row at which a region is not sound before the gate closes."""


LOOKED_SECONDS = 2
"""Between two looks of this machine's Prometheus at a process."""
LOOKS = 3
"""Of them a judgement of errors needs."""
FEW = 5
"""Failed requests of a region that are no trend: a share of little traffic is noise."""


class GateError(CommandError):
    """A region of the wave is not sound."""


def judged_after(push_seconds: int | None) -> int:
    """Shortest bake time, in seconds, whose errors are judged; `push_seconds`: between
    two sendings of a service that sends its metrics itself."""
    return LOOKS * (push_seconds or LOOKED_SECONDS)


def watch(
    regions: Sequence[str], seconds: float, error_ratio: float, judged: int
) -> str:
    """Look at the regions until they were sound for `seconds`; raises `GateError`.

    Sound: ready through its own front door, nothing degraded, and no larger share of
    requests than `error_ratio` ended in a server error. A cell born today has no front
    door before the edge knows it; its instances must be ready. Errors are judged from
    `judged` seconds on (`judged_after`). Returns what was judged.
    """
    bad: dict[str, int] = dict.fromkeys(regions, 0)
    began = time.monotonic()
    sound_since: float | None = None
    while sound_since is None or time.monotonic() - sound_since < seconds:
        trouble = _trouble(regions)
        for name in regions:
            bad[name] = bad[name] + 1 if name in trouble else 0
        if not trouble and sound_since is None:
            sound_since = time.monotonic()
        late = sound_since is None and time.monotonic() - began > SETTLE_SECONDS
        failing = sound_since is not None and max(bad.values()) >= BAD_LOOKS
        if late or failing:
            since = max(judged, time.monotonic() - began)
            raise GateError(_text(_with_errors(trouble, since, error_ratio)))
        time.sleep(min(LOOK_SECONDS, max(0.05, seconds)))
    if seconds < judged:
        return f"sound for {seconds:g} s; errors need {judged} s to be judged"
    trouble = _failing(regions, seconds, error_ratio)
    if trouble:
        raise GateError(_text(trouble))
    return f"sound for {seconds:g} s, at most {error_ratio:.2%} of requests failed"


def _with_errors(trouble: Json, seconds: float, goal: float) -> Json:
    """The same, and of a region that failed requests how many: it may be why."""
    errors = _failing(list(trouble), seconds, goal)
    return {
        name: f"{what}; {errors[name]}" if name in errors else what
        for name, what in trouble.items()
    }


def _failing(regions: Sequence[str], seconds: float, goal: float) -> dict[str, str]:
    """Regions that answered more requests with a server error than they may."""
    metric = "meridian_answers_total"
    failed = _increase(f'{metric}{{outcome="failed"}}', seconds)
    total = _increase(metric, seconds)
    return {
        name: f"answered {failed[name]:.0f} of {total[name]:.0f} requests with a "
        f"server error, {goal:.2%} are allowed (objectives.error_ratio)"
        for name in regions
        if failed.get(name, 0.0) >= FEW and failed[name] > goal * total[name]
    }


def _increase(series: str, seconds: float) -> Mapping[str, float]:
    """By how much a counter grew, by region, until now."""
    query = f"sum by (region) (increase({series}[{seconds:.0f}s]))"
    now = time.time()
    words = {"query": query, "start": now, "end": now, "step": 1}
    answer = world.call(f"/console/query?{urllib.parse.urlencode(words)}")
    return {
        row["metric"].get("region", ""): float(row["values"][-1][1])
        for row in answer["data"]["result"]
    }


def _trouble(regions: Sequence[str]) -> dict[str, str]:
    """What is wrong with each region that is not sound."""
    seen = {r["name"]: r for r in world.call("/console/world")["regions"]}
    found: dict[str, str] = {}
    for name in regions:
        region = seen.get(name)
        if region is None:
            found[name] = "is not there"
        elif region["serving"] and not region["ready"]:
            unanswered = _unanswered(name, region["served_by"])
            found[name] = "; ".join([unanswered, *map(str, region["degraded"])])
        elif not region["instances"]:
            found[name] = "has no instance that is ready"
        elif region["degraded"]:
            found[name] = "; ".join(map(str, region["degraded"]))
    return found


def _unanswered(name: str, other: str | None) -> str:
    if other and other != name:
        return f"is left out by its front door: {other} answers in its place"
    return "does not answer through its front door"


def _text(trouble: Json) -> str:
    return "; ".join(f"{name} {what}" for name, what in trouble.items())
