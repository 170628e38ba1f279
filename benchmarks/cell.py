"""Preview of one cell over an empty program with the same imports.

    python -m benchmarks.cell [--pairs 5]

Both sides are plain `pulumi preview` with the local provider in a temporary clone whose
production is sliced: the cell of one region, on a foundation that was applied to a
provider that keeps nothing; and a program that imports what the cell's imports, touches
the provider's classes of its resources, and registers nothing.

Measured 2026-11-24 on 2 cores, load 3.5 at the start, 5 pairs: 3.53 over 2.88 s, 1.23x
(pairs 1.18 to 1.32).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import yaml

from benchmarks.clone import Clone, Json, temporary_clone
from benchmarks.measure import check, noise, paired, ratio, report, verdict, wall

GOAL = 1.3
REGION = "us-central1"
PREVIEW = ["pulumi", "preview", "--non-interactive", "--json", "--show-sames"]
SCRATCH = {"MERIDIAN_SCRATCH": "1", "MERIDIAN_QUIET_PROVIDER": "1"}
FOUNDATION = (
    "import topology; from ops import fleet; c = topology.load('prod'); "
    "t = fleet.targets(c)[:1]; list(fleet.prepare(t)); "
    f"fleet.up(c, t, {SCRATCH!r}, lambda target, event: None)"
)


def prepared(clone: Clone) -> dict[str, str]:
    """A sliced production whose foundation stands; the variables of its cell."""
    file = clone.root / "stacks" / "catalogue" / "prod.yaml"
    text = file.read_text()
    file.write_text(text.replace("layout: whole", "layout: sliced"))
    check([sys.executable, "-c", FOUNDATION], clone.root, clone.environment)
    words = f"env --env prod --region {REGION} --offline"
    script = f'eval "$({sys.executable} -m ops {words})"; env -0'
    shell = check(["bash", "-c", script], clone.root, clone.environment)
    pairs = (line.split("=", 1) for line in shell.split("\0") if "=" in line)
    return {key: value for key, value in pairs if key != "_"} | SCRATCH


def empty_project(folder: Path, types: set[str]) -> None:
    """A program with the imports of a cell's and nothing else."""
    touched = []
    for token in sorted(types):
        package, module, name = token.split(":")
        touched.append(
            f"from pulumi_{package}.{module.split('/')[0].lower()} import {name}"
        )
    text = "\n".join(["from stacks import program  # noqa", *touched, ""])
    folder.mkdir()
    (folder / "__main__.py").write_text(text)
    settings = {"name": "empty", "runtime": {"name": "python"}}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(settings))


def measured(clone: Clone, pairs: int) -> Json:
    """Pairs of both previews, after one of each that warms the caches."""
    env = prepared(clone)
    cell = clone.root / "stacks" / "cell"
    ours = [*PREVIEW, "-s", f"prod.{REGION}", "--cwd", str(cell)]
    plan = json.loads(check(ours, clone.root, env))
    types = {step["urn"].split("::")[2].rsplit("$", 1)[-1] for step in plan["steps"]}
    empty = clone.root / "empty"
    empty_project(empty, {t for t in types if t.startswith("gcp:")})
    bare = {k: v for k, v in env.items() if k != "PULUMI_OPTION_CONFIG_FILE"}
    bare["PYTHONPATH"] = os.pathsep.join([str(clone.root), env.get("PYTHONPATH", "")])
    init = [
        "pulumi",
        "stack",
        "init",
        "empty",
        "--non-interactive",
        "--cwd",
        str(empty),
    ]
    check(init, clone.root, bare)
    base = [*PREVIEW, "-s", "empty", "--cwd", str(empty)]
    check(base, clone.root, bare)
    found = paired(
        lambda: wall(ours, clone.root, env), lambda: wall(base, clone.root, bare), pairs
    )
    return {"resources": len(plan["steps"]), "cell": ratio(*found)}


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--pairs", type=int, default=5)
    given = parser.parse_args()
    before = noise()
    with temporary_clone() as clone:
        found = measured(clone, given.pairs)
    ours, base = (found["cell"][side]["median"] for side in ("ours", "base"))
    line = (
        f"one cell over an empty program: {verdict(found['cell']['ratio'], GOAL, 'x')}"
    )
    report("cell", found, [f"{line}; raw {ours} and {base} s"], before)


if __name__ == "__main__":
    main()
