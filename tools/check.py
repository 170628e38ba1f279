"""The test suite in steps: each named, timed, and stopped at the first that fails."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PYTEST = [str(BIN / "pytest"), "-q", "--no-header", "-p", "no:cacheprovider"]

FAST = {
    "lint": [str(BIN / "ruff"), "check", "-q", "."],
    "format": [str(BIN / "ruff"), "format", "-q", "--check", "."],
    "types": [str(BIN / "mypy"), "--no-error-summary"],
    "arrows": [str(BIN / "lint-imports"), "--no-cache"],
    "model and components": [
        *PYTEST,
        *("-n", "2", "--dist", "loadfile"),
        "tests/topology",
        "tests/components",
        "tests/dashboards",
        "tests/policy",
        "tests/diff",
    ],
}
# Each in a process of its own: the browser's driver keeps an event loop of its own.
FULL = {
    **FAST,
    "set-up, documents, benchmarks": [
        *PYTEST,
        "tests/tools",
        "tests/docs",
        "tests/benchmarks",
    ],
    "local cloud": [*PYTEST, "tests/localcloud"],
    "page": [*PYTEST, "tests/page"],
    "service": [
        *PYTEST,
        *("-n", "2", "--dist", "loadfile"),
        "--durations=5",
        "tests/service",
    ],
    "policy pack": [*PYTEST, "tests/policy_engine"],
    # Two at a time: an `up` waits for a third of its time. In the order of
    # `tests/world/conftest.py`; without the option, files of many tests go first.
    "world": [
        *PYTEST,
        *("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"),
        "--durations=15",
        "tests/world",
    ],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="every test")
    everything = parser.parse_args().all
    env = {**os.environ, "PULUMI_ERROR_OUTPUT_STRING": "true"}
    began = time.monotonic()
    for name, command in (FULL if everything else FAST).items():
        started = time.monotonic()
        print(f"== {name}", flush=True)
        done = subprocess.run(command, cwd=ROOT, env=env, check=False)
        if done.returncode:
            print(f"== {name} failed", flush=True)
            return done.returncode
        print(f"== {name}: {time.monotonic() - started:.1f} s", flush=True)
    print(f"== all steps passed in {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
