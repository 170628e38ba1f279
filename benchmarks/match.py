"""Standing queries against numpy and hnswlib, CPU time, and a count of misses.

    python -m benchmarks.match [--streams 100000] [--rounds 7] [--hnswlib VENV]
        [--against FOLDER]
    python -m benchmarks.match --misses
    python -m benchmarks.match --at-threshold

arXiv embeddings (d 384) as IEEE half. 10,000 papers and copies of them with noise of a
fifth of their length are the streams; the vectors are other papers with the same
noise. A stream's threshold is what one in 10,000 noisy papers reaches for its
original. Every round measures all sides one after another, one thread each; a figure
is the median of the rounds' ratios, and their range. `--hnswlib` names a virtual
environment that has hnswlib: there an index over the streams, with the threshold in a
further dimension, answers each vector with its 50 best (M 16, ef 64).

`--misses` counts pairs of 100,000 streams and 10,000 vectors that the kernel decides
otherwise than float32 products; pairs nearer to the threshold than 2e-4 (f16) or 1e-5
(f32) are left out and counted. `--at-threshold` makes pairs that lie exactly at their
threshold, at cosines of .02 to .99, and counts what is missed with the deviations that
the kernel allows for, and with fewer. `--against` names a folder of libraries of
another build, which takes turns.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import ARXIV, noise
from service.kernel import native
from service.kernel.build import build
from service.kernel.library import runnable
from service.kernel.native import Native
from service.kernel.place import default_folder
from tests.service.kernel_build import at_cosines, missed_at_threshold

DATA = ARXIV / "embeddings_f16.npy"
BASE, SHARE, NOISE = 10_000, 1e-4, 0.2
MARGINS = {"f16": 2e-4, "f32": 1e-5}
DIMENSIONS = (128, 200, 384, 1024)
FEWER = {2.0: (128, 384), 3.0: (128, 384), 4.0: (128, 384)}
"""Deviations, and the dimensions that they are tried with."""
AT_ROWS, AT_ROUNDS = 20_000, 8
Array = Any
WORKER = """
import sys, time
import hnswlib, numpy as np
rows, queries = np.load(sys.argv[1]), np.load(sys.argv[2])
k, ef = int(sys.argv[3]), int(sys.argv[4])
index = hnswlib.Index("ip", rows.shape[1])
index.init_index(len(rows), M=16, ef_construction=100, random_seed=1)
started = time.process_time()
index.add_items(rows, num_threads=1)
print(time.process_time() - started, flush=True)
index.set_ef(ef)
for line in sys.stdin:
    if line.startswith("labels"):
        np.save(line.split()[1], index.knn_query(queries, k, num_threads=1)[0])
        print(0, flush=True)
        continue
    if line.startswith("ef"):
        index.set_ef(int(line.split()[1]))
        print(0, flush=True)
        continue
    first, count = map(int, line.split())
    started = time.process_time()
    for query in queries[first : first + count]:
        index.knn_query(query, k, num_threads=1)
    print(time.process_time() - started, flush=True)
"""


class Hnsw:
    """hnswlib in an environment of its own, asked over a pipe."""

    def __init__(self, venv: Path, rows: Array, queries: Array, k: int, ef: int):
        self._folder = tempfile.TemporaryDirectory(prefix="meridian-hnsw-")
        self._at = Path(self._folder.name)
        np.save(self._at / "rows.npy", rows)
        np.save(self._at / "queries.npy", queries)
        words = [str(venv / "bin" / "python"), "-c", WORKER]
        words += [str(self._at / "rows.npy"), str(self._at / "queries.npy")]
        words += [str(k), str(ef)]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.built_seconds = self._answer()

    def _answer(self) -> float:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"hnswlib's process ended with {self._process.wait()}")
        return float(line)

    def ask(self, line: str) -> float:
        """CPU seconds of what the line asks for."""
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._answer()

    def labels(self) -> Array:
        """What it finds for all queries."""
        self.ask(f"labels {self._at / 'labels.npy'}")
        return np.load(self._at / "labels.npy")

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)
        self._folder.cleanup()


def one_thread() -> None:
    """Starts this command again with one BLAS thread, unless it has one."""
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        os.execv(sys.executable, [sys.executable, "-m", *_command()])


def _command() -> list[str]:
    spec = sys.modules["__main__"].__spec__
    return [spec.name if spec else "benchmarks.match", *sys.argv[1:]]


def noisy(rows: Array, rng: np.random.Generator) -> Array:
    """Rows with noise, at length 1, rounded to half."""
    made = np.empty(rows.shape, np.float32)
    for start in range(0, len(rows), 50_000):
        part = rows[start : start + 50_000].astype(np.float32)
        scale = np.float32(NOISE / np.sqrt(rows.shape[1]))
        part += rng.standard_normal(part.shape, np.float32) * scale
        part /= np.linalg.norm(part, axis=1, keepdims=True)
        made[start : start + 50_000] = part.astype(np.float16)
    return made


def papers() -> Array:
    """The embeddings; ends with a message where they are not."""
    if not DATA.exists():
        raise SystemExit(f"{DATA} is not here: nothing was measured.")
    return np.load(DATA)


def streams(count: int, vectors: int) -> tuple[Array, Array, Array]:
    """Rows, their thresholds, and vectors to match."""
    rng = np.random.default_rng(1)
    known = papers()[rng.permutation(40_000)]
    base, others = known[:BASE], known[BASE:]
    sample = noisy(others[:10_000], rng)
    at = [
        np.quantile(sample @ base[i : i + 500].astype(np.float32).T, 1 - SHARE, axis=0)
        for i in range(0, BASE, 500)
    ]
    chosen = rng.permutation(count) % BASE
    new = noisy(others[10_000 + rng.integers(0, 20_000, vectors)], rng)
    thresholds = np.concatenate(at)[chosen].astype(np.float32)
    return noisy(base[chosen], rng), thresholds, new


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def spread(values: Sequence[float], unit: str = "") -> str:
    """Median and range."""
    return (
        f"{statistics.median(values):.1f}{unit} ({min(values):.1f}-{max(values):.1f})"
    )


def kernels(folder: Path | None = None) -> list[Native]:
    """The variants that run here, best first; the portable one is left out."""
    if folder is None:
        folder = default_folder()
        build(folder)
    found = runnable(folder)
    return [Native(name, path) for name, path in found if name != "portable"]


def head(module: str) -> None:
    """The command, the machine and its noise."""
    model = Path("/proc/cpuinfo").read_text().split("model name\t: ")[-1].split("\n")[0]
    print(f"python -m {module} {' '.join(sys.argv[1:])}")
    print(f"{platform.machine()}, {model}, numpy {np.__version__}, {noise()}")


def lifted(rows: Array, thresholds: Array) -> Array:
    """Rows with what is taken off their score as a further component."""
    return np.hstack([rows, -thresholds[:, None]])


def compare(count: int, rounds: int, venv: Path | None, against: Path | None) -> None:
    """Prints every kernel against numpy, hnswlib and another build."""
    rows, thresholds, new = streams(count, 100)
    sides = []
    others = kernels(against) if against else []
    for kernel in others:
        kernel.name += " of the other build"
    for kernel in (*kernels(), *others):
        before = resident()
        index, took = added(kernel, rows, thresholds)
        each = (resident() - before) / count
        print(f"{kernel.name}: adds {count / took:,.0f}/s, {each:,.0f} bytes a stream")
        sides.append((kernel.name, index))
    other = None
    if venv:
        ones = np.ones((len(new), 1), np.float32)
        other = Hnsw(
            venv, lifted(rows, thresholds), np.hstack([new, ones]), k=50, ef=64
        )
        print(f"hnswlib: adds {count / other.built_seconds:,.0f}/s")
    else:
        print("hnswlib: not there (--hnswlib VENV)")
    for batch in (1, 10, 100):
        measure(sides, other, rows, thresholds, new[:batch], rounds)
    if other:
        other.close()


def added(
    kernel: Native, rows: Array, thresholds: Array | None = None
) -> tuple[Any, float]:
    """An index of the rows, and the CPU seconds of adding: the median of three."""
    took = []
    for _ in range(3):
        index = kernel.index(rows.shape[1], "f16")
        took.append(cpu(lambda i=index: i.add_many(rows, thresholds)))
    return index, statistics.median(took)


def measure(
    sides: list[tuple[str, Any]],
    other: Hnsw | None,
    rows: Array,
    thresholds: Array,
    new: Array,
    rounds: int,
) -> None:
    """Prints microseconds a vector and ratios for one batch size."""
    n, repeat = len(new), max(1, 20 // len(new))
    dense: list[float] = []
    near: list[float] = []
    own: dict[str, list[float]] = {name: [] for name, _ in sides}
    for _ in range(rounds):
        dense.append(cpu(lambda: np.nonzero(new @ rows.T >= thresholds)) / n * 1e6)
        if other:
            near.append(other.ask("0 100") / 100 * 1e6)
        for name, index in sides:
            took = cpu(lambda i=index: [i.match(new) for _ in range(repeat)])
            own[name].append(took / repeat / n * 1e6)
    print(f"batch {n}: numpy {spread(dense, ' us')}", end="")
    print(f", hnswlib {spread(near, ' us')}" if near else "")
    for name, values in own.items():
        line = f"  {name}: {spread(values, ' us')} a vector, "
        line += f"{1e6 / statistics.median(values):,.0f}/s; numpy over it "
        line += spread([a / b for a, b in zip(dense, values, strict=True)], "x")
        if near:
            ratios = [a / b for a, b in zip(near, values, strict=True)]
            line += f", hnswlib over it {spread(ratios, 'x')}"
        print(line, flush=True)


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def misses(element: str, pairs: int) -> None:
    """Prints how often the best kernel and float32 products disagree."""
    rows, thresholds, new = streams(100_000, pairs // 100_000)
    if element == "f32":
        rng = np.random.default_rng(2)
        rows += rng.standard_normal(rows.shape, np.float32) * np.float32(1e-4)
    for kernel in kernels():
        index = kernel.index(rows.shape[1], element)
        index.add_many(rows, thresholds)
        missed = false = near = matched = 0
        for start in range(0, len(new), 100):
            scores = new[start : start + 100] @ rows.T - thresholds
            unsure = np.abs(scores) <= MARGINS[element]
            found = index.match(new[start : start + 100])
            got = np.zeros(scores.shape, bool)
            got[found.vectors, found.slots] = True
            missed += int(np.count_nonzero((scores > 0) & ~got & ~unsure))
            false += int(np.count_nonzero((scores <= 0) & got & ~unsure))
            near += int(np.count_nonzero(unsure))
            matched += len(found.slots)
        print(
            f"{kernel.name}, {element}: {pairs:,} pairs, {matched:,} matched, "
            f"{missed} missed, {false} invented, {near:,} left out (nearer than "
            f"{MARGINS[element]:g})",
            flush=True,
        )


def at_threshold() -> None:
    """Prints what is missed of pairs that only deviations keep."""
    for kernel, element in itertools.product(kernels(), MARGINS):
        for width, dimensions in ((native.MATCH_WIDTH, DIMENSIONS), *FEWER.items()):
            missed = 0
            for dimension, seed in itertools.product(dimensions, range(AT_ROUNDS)):
                given = at_cosines(seed, AT_ROWS, dimension)
                with narrowed(width):
                    missed += missed_at_threshold(kernel, *given, element)
            pairs = len(dimensions) * AT_ROUNDS * AT_ROWS
            normal = math.erfc(width / math.sqrt(2)) / 2
            print(
                f"{kernel.name}, {element}, {width} deviations: {pairs:,} pairs at "
                f"their threshold, {missed:,} missed ({missed / pairs:.1e}; the normal "
                f"law has {normal:.1e})",
                flush=True,
            )


@contextlib.contextmanager
def narrowed(width: float) -> Iterator[None]:
    """Lets `match` allow for so many deviations."""
    kept, native.MATCH_WIDTH = native.MATCH_WIDTH, width
    try:
        yield
    finally:
        native.MATCH_WIDTH = kept


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--hnswlib", type=Path, metavar="VENV")
    parser.add_argument("--misses", action="store_true")
    parser.add_argument("--pairs", type=int, default=10**9)
    parser.add_argument("--at-threshold", action="store_true")
    parser.add_argument("--against", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    one_thread()
    head("benchmarks.match")
    if given.misses:
        for element in MARGINS:
            misses(element, given.pairs)
    elif given.at_threshold:
        at_threshold()
    else:
        compare(given.streams, given.rounds, given.hnswlib, given.against)


if __name__ == "__main__":
    main()
