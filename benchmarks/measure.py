"""What every benchmark shares: pairs, medians, the machine's noise, the report."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Json = dict[str, Any]
ARXIV = Path(__file__).resolve().parents[2] / "shared" / "vectors" / "arxiv"
"""Real embeddings, where they lie beside the checkout."""
SPINS = 12
"""Runs of a fixed loop: their spread is what the machine adds by itself."""


def noise() -> Json:
    """Load of the machine and the spread of a fixed loop (slowest over fastest)."""
    times = []
    for _ in range(SPINS):
        started = time.perf_counter()
        sum(range(500_000))
        times.append(time.perf_counter() - started)
    return {
        "cores": os.cpu_count(),
        "load": [round(value, 1) for value in os.getloadavg()],
        "fixed_loop_ms": round(min(times) * 1000, 2),
        "fixed_loop_spread": round(max(times) / min(times), 2),
    }


def summary(values: Sequence[float], digits: int = 2) -> Json:
    """Median, extremes, count and, where there are enough, the 99th percentile."""
    ordered = sorted(values)
    made: Json = {
        "median": round(statistics.median(ordered), digits),
        "min": round(ordered[0], digits),
        "max": round(ordered[-1], digits),
        "n": len(ordered),
    }
    if len(ordered) >= 100:
        made["p99"] = round(ordered[int(len(ordered) * 0.99)], digits)
    return made


def paired(
    first: Callable[[], float], second: Callable[[], float], pairs: int
) -> tuple[list[float], list[float]]:
    """Values of both, side by side in time; who begins alternates."""
    left: list[float] = []
    right: list[float] = []
    for number in range(pairs):
        steps = [(left, first), (right, second)]
        for values, work in steps if number % 2 == 0 else reversed(steps):
            values.append(work())
    return left, right


def ratio(left: Sequence[float], right: Sequence[float], digits: int = 2) -> Json:
    """Median of the ratios of pairs, and what they were made of."""
    ratios = [a / b for a, b in zip(left, right, strict=True)]
    return {
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(r, 3) for r in ratios],
        "ours": summary(left, digits),
        "base": summary(right, digits),
    }


def wall(
    command: Sequence[str], cwd: Path, env: Mapping[str, str], seconds: float = 300
) -> float:
    """Seconds that a command takes; raises with its output when it fails."""
    started = time.perf_counter()
    check(command, cwd, env, seconds)
    return time.perf_counter() - started


def check(
    command: Sequence[str], cwd: Path, env: Mapping[str, str], seconds: float = 300
) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if done.returncode:
        text = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{text}")
    return done.stdout


def child_cpu() -> float:
    """CPU seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def report(name: str, figures: Json, lines: Sequence[str], before: Json) -> None:
    """The JSON on standard output, then the lines that people read."""
    answer = {
        "benchmark": name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "noise": {"before": before, "after": noise()},
        **figures,
    }
    print(json.dumps(answer, indent=2))
    for line in lines:
        print(f"{name}: {line}")
    sys.stdout.flush()


def verdict(value: float, goal: float, unit: str = "") -> str:
    """`1.07 (goal <= 1.3, met)`."""
    word = "met" if value <= goal else "MISSED"
    return f"{value:g}{unit} (goal <= {goal:g}{unit}, {word})"
