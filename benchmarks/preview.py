"""Preview of the 15-region production program over a bare program.

    python -m benchmarks.preview [--pairs 5] [--cpu-pairs 5]

The bare program is generated from a recording of the real one: the same types, names,
parents and inputs, as plain `ComponentResource`s and `pulumi_gcp` classes with literal
inputs, one statement each. That both register the same is asserted first. Then, side
by side: `pulumi preview` of both (real command, local provider as echo, empty state),
and the CPU of both under mocks. The empty second preview after an `up` is asserted by
`tests/world`, for the real world.

Measured 2026-11-24 on 2 cores shared with other worlds and builds (load 5
to 11): preview 1.14x (10.2 over 7.4 s; pairs 0.78 to 1.52), CPU of the preview 1.13x
(9.0 over 8.0 s), CPU under mocks 1.16x (2.93 over 2.61 s); 386 resources.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks.clone import Clone, Json, temporary_clone
from benchmarks.measure import check, child_cpu, noise, paired, ratio, report, verdict

GOAL = 1.3
PREVIEW = ["pulumi", "preview", "-s", "prod", "--non-interactive", "--json"]


def recorded(clone: Clone, program: Path, *more: str) -> Json:
    """Run a program under mocks in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.recorded", "--program", str(program)]
    output = check([*command, *more], clone.root, clone.environment)
    found: Json = json.loads(output.strip().splitlines()[-1])
    return found


def make_bare(clone: Clone, real: Path, folder: Path) -> int:
    """Write the bare program; raises unless it registers what the real one does."""
    folder.mkdir()
    main = folder / "__main__.py"
    recorded(clone, real, "--bare", str(main))
    found = recorded(clone, real, "--same-as", str(folder))
    if found["differing"]:
        raise RuntimeError(f"the bare program differs: {found['differing'][:5]}")
    project = {"name": "meridian", "runtime": "python", "main": "."}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    return int(found["registrations"])


class Sides:
    """Both programs, and what is read of one run besides its seconds."""

    def __init__(self, clone: Clone, real: Path, bare: Path) -> None:
        self.clone, self.real, self.bare = clone, real, bare
        quiet = {"MERIDIAN_QUIET_PROVIDER": "1"}
        self.environment = {**clone.engine_environment("prod"), **quiet}
        self.creates: dict[str, int] = {}
        self.cpu: dict[str, list[float]] = {"real": [], "bare": []}
        self.declaring: dict[str, list[float]] = {"real": [], "bare": []}

    def preview(self, name: str, folder: Path) -> float:
        """Seconds of `pulumi preview`; its children's CPU is kept beside."""
        cpu, started = child_cpu(), time.perf_counter()
        output = check(PREVIEW, folder, self.environment)
        took = time.perf_counter() - started
        self.cpu[name].append(child_cpu() - cpu)
        summary = json.loads(output)["changeSummary"]
        self.creates[name] = summary["create"]
        return took

    def mocks(self, name: str, folder: Path) -> float:
        """CPU seconds of the whole process under mocks, imports included."""
        found = recorded(self.clone, folder)
        self.declaring[name].append(found["program_cpu_s"])
        return float(found["cpu_s"])


def measured(sides: Sides, pairs: int, cpu_pairs: int) -> Json:
    """Both figures; one unmeasured preview of each warms the caches."""
    for name, folder in (("real", sides.clone.root), ("bare", sides.bare)):
        sides.preview(name, folder)
    sides.cpu = {"real": [], "bare": []}
    wall = paired(
        lambda: sides.preview("real", sides.clone.root),
        lambda: sides.preview("bare", sides.bare),
        pairs,
    )
    cpu = paired(
        lambda: sides.mocks("real", sides.real),
        lambda: sides.mocks("bare", sides.bare),
        cpu_pairs,
    )
    if sides.creates["real"] != sides.creates["bare"]:
        raise RuntimeError(f"the previews differ: {sides.creates}")
    return {
        "preview_s": ratio(*wall),
        "preview_cpu_s": ratio(sides.cpu["real"], sides.cpu["bare"]),
        "mocks_cpu_s": ratio(*cpu),
        "mocks_program_cpu_s": ratio(sides.declaring["real"], sides.declaring["bare"]),
        "creates": sides.creates["real"],
    }


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--cpu-pairs", type=int, default=5)
    given = parser.parse_args()
    before = noise()
    with temporary_clone() as clone, tempfile.TemporaryDirectory() as other:
        real, bare = clone.root / "stacks" / "world", Path(other) / "bare"
        count = make_bare(clone, real, bare)
        found = measured(Sides(clone, real, bare), given.pairs, given.cpu_pairs)
    lines = []
    for key, words in (
        ("preview_s", "preview, real over bare"),
        ("mocks_cpu_s", "CPU of the process under mocks, real over bare"),
    ):
        ours, base = found[key]["ours"]["median"], found[key]["base"]["median"]
        result = verdict(found[key]["ratio"], GOAL, "x")
        lines.append(f"{words}: {result}; raw {ours} and {base} s")
    inner = found["mocks_program_cpu_s"]["ratio"]
    lines.append(f"program alone under mocks, without starting Python: {inner}x")
    report("preview", {**found, "registrations": count}, lines, before)


if __name__ == "__main__":
    main()
