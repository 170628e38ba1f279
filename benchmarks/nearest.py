"""Nearest-neighbour search against hnswlib: recall, latency, adding, deleting.

    python -m benchmarks.nearest --hnswlib VENV [--rows 100000] [--rounds 7]

arXiv embeddings (d 384) with noise of a fifth of their length, to the count asked
for; d 768 is two of them side by side, the second from another paper. 200 queries are
other papers with the same noise; the truth is `Index.exact`. Every round measures
both sides one after another, CPU time, one thread each; a figure is the median of
the rounds' ratios, and their range; adding is the median of three times. hnswlib
(M 16) runs with the least ef of a list at which it finds .995 of the ten best, in a
virtual environment of its own.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.match import (
    Hnsw,
    added,
    cpu,
    head,
    kernels,
    noisy,
    one_thread,
    papers,
    spread,
)

Array = Any
QUERIES, BEST, RECALL = 200, 10, 0.995
EFS = (16, 24, 32, 48, 64, 96, 128, 192, 256)


def data(count: int, dimension: int) -> tuple[Array, Array]:
    """Rows and queries of a dimension that 384 divides."""
    rng = np.random.default_rng(3)
    known = papers()[rng.permutation(40_000)]
    parts, asked = [], []
    for _ in range(dimension // known.shape[1]):
        parts.append(noisy(known[rng.permutation(count) % 30_000], rng))
        asked.append(noisy(known[30_000 + rng.integers(0, 10_000, QUERIES)], rng))
    size = np.float32(len(parts)) ** np.float32(-0.5)
    rows, queries = np.hstack(parts) * size, np.hstack(asked) * size
    return rows.astype(np.float16).astype(np.float32), queries


def recall(found: list[Array], truth: list[Array]) -> float:
    """The share of the truth that was found."""
    hits = sum(len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=True))
    return hits / (BEST * len(truth))


def tuned(other: Hnsw, truth: list[Array]) -> tuple[int, float]:
    """The least ef that reaches the recall, set, and its recall."""
    for ef in EFS:
        other.ask(f"ef {ef}")
        reached = recall(list(other.labels()), truth)
        if reached >= RECALL:
            break
    return ef, reached


def compare(count: int, dimension: int, rounds: int, venv: Path | None) -> None:
    """Prints every kernel against hnswlib for one dimension."""
    rows, queries = data(count, dimension)
    print(f"{count:,} rows, d {dimension}, {BEST} best")
    other, truth = None, []
    for kernel in kernels():
        index, seconds = added(kernel, rows)
        took = seconds / count
        if not truth:
            truth = [index.exact(q, BEST, -np.inf)[0] for q in queries]
        if venv and other is None:
            other = Hnsw(venv, rows, queries, BEST, 64)
            ef, reached = tuned(other, truth)
            print(f"hnswlib: ef {ef}, recall {reached:.4f}")
        found = [index.search(q, BEST, -np.inf)[0] for q in queries]
        print(f"  {kernel.name}: recall {recall(found, truth):.4f}", end="")
        print(f", adds {1 / took:,.0f}/s", end="")
        print(f", {other.built_seconds / count / took:.0f}x hnswlib" if other else "")
        gone = gone_at_once(index, queries, found)
        print(f"  deleted rows found again: {gone} of {QUERIES}")
        measure(index, queries, other, rounds)
    if other:
        other.close()
    else:
        print("hnswlib: not there (--hnswlib VENV)")


def gone_at_once(index: Any, queries: Array, found: list[Array]) -> int:
    """Removes each query's best row and counts those that are found still."""
    still, removed = 0, set()
    for query, slots in zip(queries, found, strict=True):
        best = int(slots[0])
        if best not in removed:
            index.remove(best)
            removed.add(best)
        still += best in index.search(query, BEST, -np.inf)[0]
    return still


def measure(index: Any, queries: Array, other: Hnsw | None, rounds: int) -> None:
    """Prints microseconds a query, alone and 100 at once, and ratios."""
    alone, many, near = [], [], []
    for _ in range(rounds):
        took = cpu(lambda: [index.search(q, BEST, -np.inf) for q in queries])
        alone.append(took / QUERIES * 1e6)
        took = cpu(lambda: index.search_many(queries[:100], BEST, -np.inf))
        many.append(took / 100 * 1e6)
        if other:
            near.append(other.ask(f"0 {QUERIES}") / QUERIES * 1e6)
    print(f"  alone {spread(alone, ' us')}, 100 at once {spread(many, ' us')}")
    if near:
        ratios = [a / b for a, b in zip(near, alone, strict=True)]
        together = [a / b for a, b in zip(near, many, strict=True)]
        print(f"  hnswlib {spread(near, ' us')}: {spread(ratios, 'x')} ours alone, ")
        print(f"  {spread(together, 'x')} ours at once", flush=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--hnswlib", type=Path, metavar="VENV")
    given = parser.parse_args()
    one_thread()
    head("benchmarks.nearest")
    for dimension in (384, 768):
        compare(given.rows, dimension, given.rounds, given.hnswlib)


if __name__ == "__main__":
    main()
