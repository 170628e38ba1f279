"""A new graph against the scan, with searches that were asked before."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy

from service.kernel import Index
from service.kernel.graph import Graph
from service.stream.choice import EXPANSIONS, RECALL
from service.stream.recall import agreeing


class Asked(NamedTuple):
    """A search that was answered."""

    query: Any
    """Shape (dimension,)."""
    offset: float
    k: int


class Outcome(NamedTuple):
    """What a trial found."""

    scan: float
    """CPU seconds of a search by the kernel."""
    walk: float
    """By the graph, at the expansion."""
    recall: float
    """Share of what the kernel finds that the graph finds."""
    expansion: int
    """The least that reaches `RECALL`, the largest where none does."""


def tried(index: Index, graph: Graph, asked: list[Asked], tail: Any) -> Outcome:
    """Asks both the same; runs inside `reading()`, in any thread."""
    everything = -numpy.inf

    def scan() -> list[Any]:
        return [index.search(q, k, everything, o)[1] for q, o, k in asked]

    def walk(expansion: int) -> list[Any]:
        return [
            graph.search(index, q, k, everything, o, expansion, tail)
            for q, o, k in asked
        ]

    seconds, truth = _timed(scan, len(asked))
    for expansion in EXPANSIONS:
        took, found = _timed(partial(walk, expansion), len(asked))
        reached = _recall(found, truth)
        if reached >= RECALL:
            break
    return Outcome(seconds, took, reached, expansion)


def _timed(work: Callable[[], list[Any]], times: int) -> tuple[float, list[Any]]:
    began = time.thread_time()
    found = work()
    return (time.thread_time() - began) / max(1, times), found


def _recall(found: list[Any], truth: list[Any]) -> float:
    """1 where nothing was to be found."""
    pairs = [
        agreeing(answer[1], scores)
        for answer, scores in zip(found, truth, strict=True)
        if answer is not None
    ]
    wanted = sum(of for _, of in pairs)
    return sum(hits for hits, _ in pairs) / wanted if wanted else 1.0
