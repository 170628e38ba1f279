"""The kernel's scan against a graph beside it: from how many rows the graph is cheaper.

    python -m benchmarks.crossover [--rows 20000 50000 ...] [--rounds 7]

Data and queries of `benchmarks.nearest` (d 384, ten best). The graph proposes twice
as many as are wanted and the kernel scores them, as in the service. For each recall
the graph has the least expansion of a list that reaches it; the kernel is as it is by
default. Every round measures all sides one after another, CPU time, one thread; a
figure is the median, with the range; a ratio is the kernel's time over the graph's.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from benchmarks.match import cpu, head, kernels, one_thread, resident, spread
from benchmarks.nearest import BEST, QUERIES, data, recall
from service.kernel.graph import Graph

Array = Any
RECALLS = (0.95, 0.995, 0.998)
EXPANSIONS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
NONE = np.empty(0, np.int64)
STEP = 64


def built(rows: Array) -> Graph:
    """A graph of the rows, and what it cost, printed."""
    graph, before = Graph("cosine", rows[:4096]), resident()
    slots = np.arange(len(rows))

    def add() -> None:
        for at in range(0, len(rows), STEP):
            graph.add(slots[at : at + STEP], rows[at : at + STEP])

    took = cpu(add)
    grown = (resident() - before) / len(rows)
    print(
        f"  graph: {took / len(rows) * 1e6:.0f} us a row to add, {took:.0f} s in all; "
        f"{grown:.0f} bytes a row by growth, {graph.bytes / len(rows):.0f} by itself",
        flush=True,
    )
    return graph


def sides(index: Any, graph: Graph, queries: Array, truth: list[Array]) -> list[int]:
    """The least expansion for each recall, printed; 0 where none reaches it."""
    chosen, reached = [], {}
    for wanted in RECALLS:
        for expansion in EXPANSIONS:
            if expansion not in reached:
                found = [asked(index, graph, q, expansion) for q in queries]
                reached[expansion] = recall(found, truth)
            if reached[expansion] >= wanted:
                print(f"  {wanted}: expansion {expansion}, {reached[expansion]:.4f}")
                chosen.append(expansion)
                break
        else:
            print(f"  {wanted}: not reached, {max(reached.values()):.4f}")
            chosen.append(0)
    return chosen


def asked(index: Any, graph: Graph, query: Array, expansion: int) -> Array:
    """Slots of the ten best as the service finds them with a graph."""
    found = graph.search(index, query, BEST, -np.inf, 0.0, expansion, NONE)
    assert found is not None
    return found[0]


def measure(index: Any, graph: Graph, queries: Array, chosen: list[int], rounds: int):
    """Prints microseconds a search and ratios."""
    scan: list[float] = []
    walk: dict[float, list[float]] = {r: [] for r in RECALLS}
    for _ in range(rounds):
        took = cpu(lambda: [index.search(q, BEST, -np.inf) for q in queries])
        scan.append(took / QUERIES * 1e6)
        for wanted, e in zip(RECALLS, chosen, strict=True):
            if e:
                took = cpu(lambda e=e: [asked(index, graph, q, e) for q in queries])
                walk[wanted].append(took / QUERIES * 1e6)
    print(f"  kernel {spread(scan, ' us')}")
    for wanted, times in walk.items():
        if times:
            ratios = [a / b for a, b in zip(scan, times, strict=True)]
            print(f"  graph at {wanted}: {spread(times, ' us')}; ", end="")
            low, high = min(ratios), max(ratios)
            print(f"{np.median(ratios):.2f}x ({low:.2f}-{high:.2f})", flush=True)


def compare(count: int, rounds: int) -> None:
    """Prints both sides for one size."""
    rows, queries = data(count, 384)
    index = kernels()[0].index(384, "f16")
    index.add_many(rows)
    truth = [index.exact(q, BEST, -np.inf)[0] for q in queries]
    own = recall([index.search(q, BEST, -np.inf)[0] for q in queries], truth)
    print(f"{count:,} rows, kernel's recall {own:.4f}", flush=True)
    graph = built(rows)
    measure(index, graph, queries, sides(index, graph, queries, truth), rounds)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    sizes = [20_000, 50_000, 100_000, 200_000, 500_000]
    parser.add_argument("--rows", type=int, nargs="+", default=sizes)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    one_thread()
    head("benchmarks.crossover")
    for count in given.rows:
        compare(count, given.rounds)


if __name__ == "__main__":
    main()
