"""What more regions cost: production with 15, 30 and 60 of them, nothing applied.

    python -m benchmarks.growth [--runs 3]           the model and the preview
    python -m benchmarks.growth --up [--runs 2]      `up` in one stack and in slices

The catalogue of production is grown in temporary clones: every region once, twice and
four times, the further ones under made-up names with the facts of the one that they
copy, each with its own hub, addresses and share. Previews are `meridian preview` of the
whole; memory is the largest sum of proportional set sizes of the command's processes,
looked at every 50 ms. Sizes alternate, so that the machine's swings meet all of them.

`--up` applies the same program to a provider that keeps nothing, with the engine's
checkpoints on (as for a real cloud): one stack against a stack a slice, at 15 and 60.

Measured 2026-11-24 on 2 cores, 3 runs, load 0.3 to 4.8, at 15, 30 and 60 regions: plan
0.42, 0.42, 0.54 s and 27, 28, 30 MiB; preview 12.1, 20.0, 34.1 s and 436, 489, 600 MiB.
`--up --runs 1`, load 2 to 8, at 15 and 60 regions: one stack 34.6 and 394 s, a stack a
slice 22.9 and 79.6 s.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.clone import Clone, Json, copy_tree
from benchmarks.grown import REGIONS, grow
from benchmarks.measure import noise, report, verdict, wall
from benchmarks.memory import children, proportional

GOAL = 1.5
SIZES = (1, 2, 4)
UP_SIZES = (1, 4)
LOOK_SECONDS = 0.05
PLAN_CODE = 3
"""Production has findings of level error."""
APPLY = (
    "import topology; from ops import fleet; c = topology.load('prod'); "
    "t = fleet.targets(c); list(fleet.prepare(t)); "
    "fleet.up(c, t, {'MERIDIAN_SCRATCH': '1', 'MERIDIAN_QUIET_PROVIDER': '1'}, "
    "lambda target, event: None)"
)


@contextlib.contextmanager
def clones(sizes: tuple[int, ...], layout: str) -> Iterator[dict[int, Clone]]:
    """A clone for each size; nothing runs in them afterwards."""
    with tempfile.TemporaryDirectory(prefix="meridian-growth-") as folder:
        found = {size: Clone(Path(folder) / str(size)) for size in sizes}
        for size, clone in found.items():
            copy_tree(clone.root)
            grow(clone.root, size, layout)
        yield found


def watched(clone: Clone, *words: str) -> tuple[float, float]:
    """Seconds of a command, and MiB of it and its descendants at their most."""
    started, most = time.perf_counter(), 0
    process = subprocess.Popen(
        clone.command(*words),
        cwd=clone.root,
        env=clone.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None:
        most = max(most, sum(map(proportional, family(process.pid))))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_SECONDS)
    took = time.perf_counter() - started
    if process.returncode not in (0, PLAN_CODE):
        raise RuntimeError(f"{words}: {process.stderr and process.stderr.read()}")
    return took, most / 2**20


def family(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    below, open_ends = children(), [pid]
    while open_ends:
        one = open_ends.pop()
        yield one
        open_ends += below.get(one, [])


def planned(runs: int) -> Json:
    """Seconds and memory of plan and preview by size."""
    found: Json = {}
    with clones(SIZES, "whole") as made:
        for _ in range(runs):
            for size, clone in made.items():
                row = found.setdefault(str(size * REGIONS), {})
                for name, words in (
                    ("plan", ("plan",)),
                    ("preview", ("preview", "--env", "prod", "--json")),
                ):
                    took, most = watched(clone, *words)
                    row.setdefault(f"{name}_s", []).append(round(took, 2))
                    row.setdefault(f"{name}_mib", []).append(round(most))
    return found


def applied(runs: int) -> Json:
    """Seconds of an `up` from nothing by layout and size."""
    found: Json = {}
    for layout in ("whole", "sliced"):
        for _ in range(runs):
            with clones(UP_SIZES, layout) as made:
                for size, clone in made.items():
                    command = [sys.executable, "-c", APPLY]
                    took = wall(command, clone.root, clone.environment, 1800)
                    row = found.setdefault(f"{layout}_s", {})
                    row.setdefault(str(size * REGIONS), []).append(round(took, 1))
    return found


def per_region(row: Json, key: str, count: str) -> float:
    """Median of a figure, by region."""
    return statistics.median(row[key]) / int(count)


def growth_lines(found: Json) -> Iterator[str]:
    """What a region costs in the larger worlds over what it costs in the smallest."""
    counts = list(found)
    for key in ("plan_s", "plan_mib", "preview_s", "preview_mib"):
        costs = {c: per_region(found[c], key, c) for c in counts}
        worst = max(costs[c] / costs[counts[0]] for c in counts[1:])
        raw = ", ".join(f"{statistics.median(found[c][key]):g}" for c in counts)
        yield f"{key} at {', '.join(counts)}: {raw}; a region {verdict(worst, GOAL)}"


def up_lines(found: Json) -> Iterator[str]:
    for key, row in found.items():
        small, large = (statistics.median(times) for times in row.values())
        yield (
            f"up {key}: {small:g} at {min(row, key=int)} regions, {large:g} at "
            f"{max(row, key=int)}: {large / small:.2f} times for four times as many"
        )


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--up", action="store_true", help="The `up`s instead.")
    given = parser.parse_args()
    os.environ.pop("MERIDIAN_CATALOGUES", None)
    before = noise()
    found = applied(given.runs) if given.up else planned(given.runs)
    shown = list((up_lines if given.up else growth_lines)(found))
    report("growth", found, shown, before)


if __name__ == "__main__":
    main()
