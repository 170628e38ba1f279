"""Coverage-guided inputs for every pure reader, by atheris (libFuzzer).

    python -m tests.service.fuzz_guided --runs 100000 --seed 7

Each target runs in a process of its own, which libFuzzer ends. Where there is no wheel
of atheris (`requirements`: Linux on x86-64) the command says so and ends with 0.
"""

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.service.servers import ROOT

if TYPE_CHECKING:
    from tests.service.fuzz_targets import Target

MOST_BYTES = 1024
"""Longest input."""
EVERY = 250
"""Inputs after which a target says how many it took."""
READERS = (
    "service.contract",
    "service.log.change",
    "service.log.patch",
    "service.stream.token",
    "service.transport.push",
    "service.transport.routes",
)
"""Modules whose branches guide."""
_DONE = re.compile(r"^#(\d+)\s+DONE\s+cov: (\d+)", re.M)
_TAKEN = re.compile(r"^taken (\d+)$", re.M)


@dataclass(frozen=True)
class Run:
    """What became of a target."""

    target: str
    runs: int
    covered: int
    """Edges of the service's code that were reached."""
    taken: int
    """Inputs that were not refused."""
    wrong: str
    """What was raised, and the input; empty of a target that held."""


def missing() -> str:
    """Why there is no such fuzzing here; empty where there is."""
    if importlib.util.find_spec("atheris") is None:
        return "atheris is not installed: it has wheels for Linux on x86-64 only"
    return ""


def targets() -> list[str]:
    """Names of all targets."""
    from tests.service.fuzz_targets import TARGETS

    return list(TARGETS)


def fuzz(names: list[str], runs: int, seed: int) -> list[Run]:
    """Gives each target so many inputs; the same seed begins alike."""
    with tempfile.TemporaryDirectory(prefix="meridian-corpus-") as folder:
        command = [sys.executable, "-m", "tests.service.fuzz_guided"]
        command += ["--child", folder, "--runs", str(runs), "--seed", str(seed)]
        for name in names:
            command += ["--target", name]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False
        )
        return [_read(Path(folder) / name, done.stderr) for name in names]


def _read(folder: Path, otherwise: str) -> Run:
    said = folder / "said"
    text = said.read_text(errors="replace") if said.exists() else otherwise
    ended, taken = _DONE.search(text), _TAKEN.findall(text)
    if ended is None:
        return Run(folder.name, 0, 0, 0, text[-3000:])
    return Run(folder.name, int(ended[1]), int(ended[2]), int(taken[-1]), "")


def _child(names: list[str], folder: Path, runs: int, seed: int) -> None:
    """Imports once; each target ends a process, as libFuzzer does."""
    import atheris

    with atheris.instrument_imports(include=list(READERS)):
        from tests.service import fuzz_targets

    for name in names:
        own = folder / name
        (own / "corpus").mkdir(parents=True)
        for number, data in enumerate(fuzz_targets.seeds(name)):
            (own / "corpus" / str(number)).write_bytes(data)
        pid = os.fork()
        if not pid:
            _guide(fuzz_targets.TARGETS[name], own, runs, seed)
        os.waitpid(pid, 0)


def _guide(target: "Target", own: Path, runs: int, seed: int) -> None:
    """Never returns."""
    import atheris

    from tests.service.fuzz_targets import drive

    with (own / "said").open("wb") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    count = taken = 0

    def one(data: bytes) -> None:
        nonlocal count, taken
        count += 1
        try:
            taken += drive(target, data)
        except BaseException:
            print("input", data, flush=True)
            raise
        if count % EVERY == 0:
            print("taken", taken, flush=True)

    options = [f"-runs={runs}", f"-seed={seed}", f"-max_len={MOST_BYTES}"]
    options += [f"-artifact_prefix={own}/", str(own / "corpus")]
    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=100_000, help="of each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", action="append", help="all when absent")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if why := missing():
        print(f"skipped: {why}")
        return
    names = options.target or targets()
    if options.child:
        _child(names, options.child, options.runs, options.seed)
        return
    sys.exit(run_all(names, options.runs, options.seed))


def run_all(names: list[str], runs: int, seed: int) -> int:
    """Prints what became of each target; 1 where one did not hold."""
    found = fuzz(names, runs, seed)
    for one in found:
        print(f"{one.target}: {one.runs} runs, {one.covered} edges, {one.taken} taken")
        if one.wrong:
            print("WRONG", one.wrong)
    return int(any(one.wrong for one in found))


if __name__ == "__main__":
    main()
