"""Memory of a standing query in an instance, without its connection.

    python -m benchmarks.streams [--streams 65536] [--dimension 384]

In this process alone: queries from JSON numbers to live streams of one collection, as
`service.stream` makes them, for both element types. Growth of the resident set over
their number; the kernel's arrays are full at a power of two, and emptier in between.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import noise, report
from service.contract import parse_vector
from service.kernel import load
from service.kernel.interface import ELEMENTS
from service.log.change import Position
from service.log.definition import Definition, Fields
from service.stream.standing import Standing, Stream

GOAL = 1.0
"""KiB a stream."""
HUBS = ("a", "b", "c", "d", "e")
KEY = ("default", "streams")
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def kib_a_stream(element: str, count: int, dimension: int) -> float:
    """KiB by which the process grows for each live stream."""
    rng = np.random.default_rng(3)
    fields = Fields(dimension=dimension, element_type=element)  # type: ignore[arg-type]
    definition = Definition(*KEY, 3, 0, fields)
    standing = Standing(definition, load().index(dimension, element))
    nobody: Any = object()
    streams: dict[str, Stream] = {}
    before = resident()
    for number in range(count):
        numbers = rng.standard_normal(dimension).tolist()
        vector = parse_vector(numbers, dimension, "vector", element)
        stream = Stream(f"s{number}", KEY, 3, vector, 0.9, 1, nobody)
        stream.positions = {hub: Position(1, number) for hub in HUBS}
        streams[stream.id] = stream
        standing.add(stream)
    return (resident() - before) / count / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=65_536)
    parser.add_argument("--dimension", type=int, default=384)
    given = parser.parse_args()
    before = noise()
    found = {
        element: round(kib_a_stream(element, given.streams, given.dimension), 2)
        for element in ELEMENTS
    }
    lines = [
        f"{element}: {kib} KiB a stream ({'met' if kib <= GOAL else 'missed'}, goal "
        f"{GOAL})"
        for element, kib in found.items()
    ]
    report("streams", found, lines, before)


if __name__ == "__main__":
    main()
