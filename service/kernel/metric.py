"""How each metric becomes factor * <row, query> + bias + offset.

Items are stored and asked; standing queries stand and are met by what is written.
Under every metric higher is nearer: `l2` is the negative squared Euclidean distance.
Norms are worked out in float64. Vectors are not changed where they are kept, so that
an index of rounded rows holds exactly what was written.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy

from service.kernel.interface import Floats, unit

METRICS = ("cosine", "dot", "l2")


class Kept(NamedTuple):
    """What an index keeps beside a row."""

    factor: float
    bias: float


class Asked(NamedTuple):
    """What a query is scored with."""

    query: Floats
    offset: float


def stored(metric: str, vector: Floats) -> Kept:
    """Factor and bias of a row; raises ValueError for an unknown metric."""
    return _KEPT[known(metric)](vector)


def stored_many(metric: str, rows: Floats) -> tuple[Floats, Floats]:
    """Factors and biases (n,) of rows (n, dimension), each as `stored` gives it."""
    known(metric)
    zeros = numpy.zeros(len(rows), numpy.float32)
    if metric == "dot":
        return zeros + 1, zeros
    squares = numpy.einsum("ij,ij->i", rows, rows, dtype=numpy.float64)
    if metric == "l2":
        return zeros + 2, -squares.astype(numpy.float32)
    lengths = numpy.sqrt(squares)
    factors = numpy.divide(1.0, lengths, numpy.zeros_like(lengths), where=lengths > 0)
    return factors.astype(numpy.float32), zeros


def asked(metric: str, vector: Floats) -> Asked:
    """Query and offset of a vector; raises ValueError for an unknown metric."""
    return _ASKED[known(metric)](vector)


def standing(metric: str, vector: Floats) -> Kept:
    """Factor and bias of a standing query: every metric here is symmetric."""
    return stored(metric, vector)


def written(metric: str, vector: Floats) -> Asked:
    """Query and offset of a vector that is written, for standing queries."""
    return asked(metric, vector)


def known(metric: str) -> str:
    """The metric; raises ValueError with the ones that there are."""
    if metric not in METRICS:
        raise ValueError(f"metric: {metric!r} given, one of {', '.join(METRICS)}")
    return metric


def square(vector: Floats) -> float:
    """The squared length."""
    wide = numpy.asarray(vector, numpy.float64)
    return float(wide @ wide)


def _inverse(vector: Floats) -> Kept:
    length = math.sqrt(square(vector))
    return Kept(1.0 / length if length > 0 else 0.0, 0.0)


_KEPT: dict[str, Callable[[Floats], Kept]] = {
    "cosine": _inverse,
    "dot": lambda vector: Kept(1.0, 0.0),
    "l2": lambda vector: Kept(2.0, -square(vector)),
}
_ASKED: dict[str, Callable[[Floats], Asked]] = {
    "cosine": lambda vector: Asked(unit(vector), 0.0),
    "dot": lambda vector: Asked(vector, 0.0),
    "l2": lambda vector: Asked(vector, -square(vector)),
}
