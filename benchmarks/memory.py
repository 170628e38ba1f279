"""Memory of a whole world: proportional set size of all its processes, by kind.

    python -m benchmarks.memory [--world FOLDER] [--instances 300] [--fresh]

Reads `smaps_rollup` of every process of the world, first with one instance in each
region, then after the platform's own REST was asked for more. The count is put back
and checked. Uses this clone's world when it answers, else a temporary one.

Measured 2026-11-24 on 2 cores shared with other worlds and tests: a fresh world
1.11 GiB, with 300 instances 5.94 GiB, 1.18 GiB when they were put back. Older code, a
used world whose template was gone: 1.39 and 6.52 GiB.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmarks.clone import (
    Clone,
    Json,
    arguments,
    running_world,
    scale,
    services,
    wait_for_instances,
)
from benchmarks.measure import noise, report, verdict

GOAL_GIB, GOAL_MANY_GIB = 1.2, 6.0
MIB, GIB = 2**20, 2**30
SETTLE_SECONDS = 5.0
SCALE_SECONDS = 240.0


def children() -> dict[int, list[int]]:
    """Parent -> children, of every process."""
    found: dict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "stat").read_text()
        except OSError:
            continue
        found[int(text.rsplit(")", 1)[1].split()[1])].append(int(folder.name))
    return found


def kind_of(part: str) -> str:
    """`run/asia-east1/meridian-stream/1` -> `service instances`."""
    head = part.split("/", 1)[0]
    if head == "run":
        return "workers" if "worker" in part else "service instances"
    return {"sql": "postgres", "template": "template"}.get(head, head)


def processes(clone: Clone) -> dict[int, str]:
    """Pid -> kind, of all processes of a world."""
    found = {part["pid"]: kind_of(part["name"]) for part in clone.world()["parts"]}
    keeper = int((clone.root / ".meridian/world/keeper.lock").read_text())
    found[keeper] = "keeper"
    below = children()
    for pid in below[keeper]:
        found.setdefault(pid, "control plane")
    for root, kind in list(found.items()):
        if kind != "keeper":
            for pid in _descendants(root, below):
                found.setdefault(pid, _kind_of_child(pid, kind))
    return found


def _kind_of_child(pid: int, parent: str) -> str:
    """A service's template is a child of the control plane; the rest as the parent."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return parent
    return "template" if b"service.template" in line else parent


def _descendants(pid: int, below: dict[int, list[int]]) -> Iterator[int]:
    for child in below.get(pid, ()):
        yield child
        yield from _descendants(child, below)


def proportional(pid: int) -> int:
    """Bytes of a process, pages that several hold divided among them."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.M)
    return int(found[1]) * 1024 if found else 0


def measured(clone: Clone) -> Json:
    """Sum and parts, MiB, with the number of processes of each kind."""
    size: dict[str, int] = defaultdict(int)
    count: dict[str, int] = defaultdict(int)
    for pid, kind in processes(clone).items():
        size[kind] += proportional(pid)
        count[kind] += 1
    total = sum(size.values())
    ordered = sorted(size, key=lambda kind: -size[kind])
    kinds = {
        k: {"mib": round(size[k] / MIB, 1), "processes": count[k]} for k in ordered
    }
    live = sum(r["instances"] for r in clone.world()["regions"])
    return {"gib": round(total / GIB, 3), "instances": live, "kinds": kinds}


def with_many(clone: Clone, each: int) -> Json:
    """Raise every region to `each` instances, measure, put the count back."""
    paths = services(clone).values()
    started = time.monotonic()
    try:
        for path in paths:
            scale(clone, path, each)
        if not wait_for_instances(clone, each, SCALE_SECONDS):
            raise RuntimeError("the instances are not all ready in time")
        took = time.monotonic() - started
        time.sleep(SETTLE_SECONDS)
        found = measured(clone)
    finally:
        for path in paths:
            scale(clone, path, 1)
        back = wait_for_instances(clone, 1, SCALE_SECONDS)
    if not back:
        raise RuntimeError("the instances did not go back to one in each region")
    return {**found, "raised_in_s": round(took, 1), "count_put_back": back}


def line(label: str, found: Json, goal: float) -> str:
    kinds = ", ".join(f"{k} {v['mib']:.0f}" for k, v in found["kinds"].items())
    return f"{label}: {verdict(found['gib'], goal, ' GiB')}; MiB: {kinds}"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--instances", type=int, default=300, help="Wanted in all.")
    parser.add_argument(
        "--fresh", action="store_true", help="In a temporary world, just started."
    )
    given = parser.parse_args()
    before = noise()
    with running_world(given.world, live=not given.fresh) as clone:
        few = measured(clone)
        each = given.instances // len(clone.world()["regions"])
        many = with_many(clone, each)
        after = measured(clone)
    lines = [
        line(f"{few['instances']} instances", few, GOAL_GIB),
        line(f"{many['instances']} instances", many, GOAL_MANY_GIB),
        f"put back to {after['instances']} instances: {after['gib']} GiB",
    ]
    figures = {"few": few, "many": many, "put_back": after}
    report("memory", figures, lines, before)


if __name__ == "__main__":
    main()
