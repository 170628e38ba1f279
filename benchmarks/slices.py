"""Seventeen slices over the whole, a cell alone, and a digest: previews of production.

    python -m benchmarks.slices [--pairs 3]

All sides are `meridian` commands in a temporary clone, offline, nothing applied, side
by side in one run: `preview --sliced` over `preview` (the sum of what the slices create
is held against the whole's); `diff main` of a change that touches all fifteen regions
over `preview` of the whole; and, raw, the commands that involve no engine. The time of
one cell holds the preview of the foundation, which was never applied either.

Measured 2026-11-24 on 2 cores (load 1.5 at the start), 3 pairs: seventeen slices 1.13x
(10.2 over 9.0 s; pairs 1.07 to 1.17); digest 1.34x (11.6 over 8.7 s); one cell 3.4 s;
plan 0.33 s, cost 0.35 s, policy --corpus 0.34 s. Before the warmed process was frozen
for its forks: 1.56x and 1.81x; before the discovery documents: 1.31x and 1.82x.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time

from benchmarks.clone import Clone, Json, temporary_clone
from benchmarks.measure import noise, paired, ratio, report, summary, verdict, wall

GOAL_SLICES, GOAL_DIFF, GOAL_MODEL_SECONDS = 1.5, 2.5, 1.0
QUICK = (("plan",), ("cost",), ("policy", "--corpus"))


def seconds(clone: Clone, *words: str, codes: tuple[int, ...] = (0,)) -> float:
    """Seconds of a `meridian` command that ends with one of these codes."""
    started = time.perf_counter()
    done = subprocess.run(
        clone.command(*words),
        cwd=clone.root,
        env=clone.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    took = time.perf_counter() - started
    if done.returncode not in codes:
        raise RuntimeError(f"{words}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return took


def same_resources(clone: Clone) -> Json:
    """What both forms would create; raises unless they are the same resources."""
    whole = json.loads(clone.meridian("preview", "--env", "prod", "--json"))
    parts = json.loads(clone.meridian("preview", "--env", "prod", "--sliced", "--json"))
    stacks = len(parts["slices"])
    declared = [
        sorted(
            s["urn"].split("::", 2)[2]
            for s in answer["steps"]
            if not s["type"].startswith("pulumi:")
        )
        for answer in (whole, parts)
    ]
    if declared[0] != declared[1]:
        raise RuntimeError("the slices do not declare what the whole does")
    return {"slices": stacks, "resources": len(declared[0])}


def commit_and_change(clone: Clone) -> None:
    """A repository whose working tree changes all regions alike."""
    who = ["-c", "user.name=b", "-c", "user.email=b@example.com"]
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-qm", "b")):
        subprocess.run(["git", *who, *words], cwd=clone.root, check=True)
    file = clone.root / "stacks" / "catalogue" / "prod.yaml"
    text = file.read_text()
    changed = text.replace("ack_deadline_seconds: 30", "ack_deadline_seconds: 31")
    if changed == text:
        raise RuntimeError("the catalogue has no such line any more")
    file.write_text(changed)


def measured(clone: Clone, pairs: int) -> Json:
    """All ratios; one unmeasured run of each side warms the caches."""

    def preview(*more: str) -> float:
        command = clone.command("preview", "--env", "prod", "--json", *more)
        return wall(command, clone.root, clone.environment)

    def digest() -> float:
        command = clone.command("diff", "main", "--markdown")
        return wall(command, clone.root, clone.environment)

    found = same_resources(clone)
    slices = paired(lambda: preview("--sliced"), preview, pairs)
    cells = [preview("--region", "us-central1") for _ in range(pairs)]
    commit_and_change(clone)
    digest()
    differences = paired(digest, preview, pairs)
    models = {
        " ".join(words): summary(
            [seconds(clone, *words, codes=(0, 3)) for _ in range(pairs)]
        )
        for words in QUICK
    }
    return {
        **found,
        "slices": ratio(*slices),
        "one_cell_s": summary(cells),
        "diff": ratio(*differences),
        "models_s": models,
    }


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--pairs", type=int, default=3)
    given = parser.parse_args()
    before = noise()
    with temporary_clone() as clone:
        found = measured(clone, given.pairs)
    lines = []
    for key, words, goal in (
        ("slices", "previews of 17 slices over the whole", GOAL_SLICES),
        ("diff", "digest of a change in 15 regions over the whole", GOAL_DIFF),
    ):
        ours, base = found[key]["ours"]["median"], found[key]["base"]["median"]
        result = verdict(found[key]["ratio"], goal, "x")
        lines.append(f"{words}: {result}; raw {ours} and {base} s")
    lines.append(f"one cell and the foundation it reads: {found['one_cell_s']} s")
    for words, took in found["models_s"].items():
        result = verdict(took["median"], GOAL_MODEL_SECONDS, " s")
        lines.append(f"meridian {words}: {result}")
    report("slices", found, lines, before)


if __name__ == "__main__":
    main()
