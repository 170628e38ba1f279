"""The gate between two waves: regions just applied must stay sound for a while."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ops import world
from ops.errors import CommandError

Json = dict[str, Any]
LOOK_SECONDS = 0.5
SETTLE_SECONDS = 20.0
"""How long a region may take to be ready after its `up`: a new revision starts."""
BAD_LOOKS = 3
"""Looks in a row at which a region is not sound before the gate closes."""


class GateError(CommandError):
    """A region of the wave is not sound."""


def watch(regions: Sequence[str], seconds: float) -> None:
    """Look at the regions until they were sound for `seconds`; raises `GateError`.

    Sound: ready through its own front door, and nothing degraded. A cell born today
    has no front door before the edge knows it; its instances must be ready.
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
            raise GateError(_text(trouble))
        time.sleep(min(LOOK_SECONDS, max(0.05, seconds)))


def _trouble(regions: Sequence[str]) -> dict[str, str]:
    """What is wrong with each region that is not sound."""
    seen = {r["name"]: r for r in world.call("/console/world")["regions"]}
    found: dict[str, str] = {}
    for name in regions:
        region = seen.get(name)
        if region is None:
            found[name] = "is not there"
        elif region["serving"] and not region["ready"]:
            found[name] = "does not answer through its front door"
        elif not region["instances"]:
            found[name] = "has no instance that is ready"
        elif region["degraded"]:
            found[name] = "; ".join(map(str, region["degraded"]))
    return found


def _text(trouble: Json) -> str:
    return "; ".join(f"{name} {what}" for name, what in trouble.items())
