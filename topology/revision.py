"""Revisions: which state of the catalogue a cell was applied from."""

import dataclasses
import hashlib
import json

from topology.plan import Plan

BLOCKS = (
    "environment",
    "project",
    "projects",
    "prefix",
    "durability",
    "scaling_owner",
    "image",
    "service",
    "limits",
    "database",
    "cache",
    "messaging",
    "storage",
    "telemetry",
)
"""Blocks of the catalogue that a cell is made from, besides its own region plan."""

APART = (
    "share",
    "streams",
    "city",
    "latitude",
    "longitude",
    "serving",
    "failover",
    "failover_ms",
    "failover_measured",
    "binding",
    "seconds_to_ceiling",
    "internet_gib",
    "price",
)
"""What a region plan says besides the cell: a new neighbour does not make it stale.
Counts of connections are left out for the same reason."""

MODEL_ONLY = ("bytes_per_stream", "runtime_mib", "queries_per_instance", "snapshot_gib")
"""Keys of those blocks that a cell is sized and priced by, and that are not in it."""

LENGTH = 12
"""Hexadecimal digits: 48 bits tell a catalogue's few revisions apart."""


def revision(plan: Plan, region: str) -> str:
    """Hash of all that the catalogue says of one cell.

    A cell exports it; the edge works it out again and knows a stale cell by it.
    """
    content = {name: _block(getattr(plan.catalogue, name)) for name in BLOCKS}
    content["traffic"] = plan.catalogue.traffic.streams_per_connection
    content["hubs"] = plan.origins
    own = dataclasses.asdict(plan.regions[region])
    own["database"] = {
        k: v for k, v in own["database"].items() if "connections" not in k
    }
    content["region"] = {k: v for k, v in own.items() if k not in APART}
    text = json.dumps(content, default=_plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def _block(value: object) -> object:
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    kept = dataclasses.asdict(value)
    return {key: inner for key, inner in kept.items() if key not in MODEL_ONLY}


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{value!r} has no place in a revision")
