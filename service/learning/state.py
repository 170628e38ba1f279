"""What a stream has learned: its first vector and the sums of its marks.

A bounded relevance-feedback update. The query moves towards the mean of what was
marked good and away from the mean of what was marked bad, both seen from the
centre of recent changes, so that it does not merely move to where most changes are.

How far it moves is what its marks can be trusted for: with g good marks a step has
g^2 / (g^2 + h^2) of its full length. One good mark says little and moves little;
without any the query stays, because knowing what is unwanted does not tell what is
wanted. Both halves and steps were chosen on some categories of papers and judged on
others; `python -m benchmarks.learning` prints the figures.
"""

import base64
import binascii
from dataclasses import dataclass, field, replace
from typing import Any

import numpy
from numpy.typing import NDArray

Floats = NDArray[numpy.float32]

MOST_DISTANCE = 0.5
"""Cosine distance from the first vector that learning never exceeds."""
_GOOD_STEP, _GOOD_HALF = 8.0, 7.0
_BAD_STEP, _BAD_HALF = 3.0, 10.0
_FORMAT = b"L1"


@dataclass(frozen=True, slots=True)
class State:
    """A first vector of shape (dimension,) and marks; `vector` is what it became."""

    first: Floats
    good: int = 0
    bad: int = 0
    good_sum: Floats = field(default_factory=lambda: numpy.zeros(0, numpy.float32))
    bad_sum: Floats = field(default_factory=lambda: numpy.zeros(0, numpy.float32))
    """Sums of unit vectors; empty while there is none."""

    @property
    def marks(self) -> int:
        """How many there are."""
        return self.good + self.bad

    def mark(self, vector: Floats, *, good: bool, count: int = 1) -> "State":
        """With a mark more; `count` -1 takes it back."""
        unit = count * _unit(vector)
        if good:
            return replace(
                self, good=self.good + count, good_sum=_sum(self.good_sum, unit)
            )
        return replace(self, bad=self.bad + count, bad_sum=_sum(self.bad_sum, unit))

    def vector(self, centre: Floats | None) -> Floats:
        """The learned query, as long as the first one.

        `centre` is the mean of unit vectors of recent changes; None: not known.
        """
        if not self.good or not self.first.any():
            return self.first
        start = _unit(self.first)
        middle = numpy.zeros_like(start) if centre is None else centre
        moved = start + _trust(_GOOD_STEP, _GOOD_HALF, self.good) * (
            self.good_sum / self.good - middle
        )
        if self.bad:
            moved = moved - _trust(_BAD_STEP, _BAD_HALF, self.good) * (
                self.bad_sum / self.bad - middle
            )
        length = float(numpy.linalg.norm(self.first))
        return (_bounded(start, _unit(moved)) * length).astype(numpy.float32)

    def distance(self, vector: Floats) -> float:
        """Cosine distance of a vector from the first one."""
        return max(0.0, 1.0 - float(_unit(self.first) @ _unit(vector)))

    def text(self) -> str:
        """The state as a text that `read` takes; a client keeps it for resuming."""
        counts = numpy.array([self.good, self.bad], "<i4").tobytes()
        sums = [s if len(s) else numpy.zeros_like(self.first) for s in self._sums()]
        parts = [self.first, *sums]
        body = b"".join(p.astype("<f4").tobytes() for p in parts)
        return base64.b64encode(_FORMAT + counts + body).decode()

    def _sums(self) -> tuple[Floats, Floats]:
        return self.good_sum, self.bad_sum

    @classmethod
    def read(cls, text: str, dimension: int) -> "State":
        """A state from its text; raises ValueError when it is none."""
        try:
            data = base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ValueError("it is no base64") from error
        if len(data) != 10 + 12 * dimension or data[:2] != _FORMAT:
            raise ValueError("its length or format does not fit")
        good, bad = numpy.frombuffer(data[2:10], "<i4").tolist()
        first, good_sum, bad_sum = numpy.frombuffer(data[10:], "<f4").reshape(3, -1)
        if min(good, bad) < 0 or not numpy.isfinite(data_sum(data[10:])):
            raise ValueError("its numbers are out of range")
        return cls(first, good, bad, good_sum, bad_sum)


def data_sum(data: bytes) -> float:
    """Sum of little-endian float32; not finite when one of them is not."""
    return float(numpy.frombuffer(data, "<f4").sum(dtype=numpy.float64))


def _trust(step: float, half: float, good: int) -> float:
    return step * good**2 / (good**2 + half**2)


def _sum(before: Floats, unit: Floats) -> Floats:
    return unit if not len(before) else before + unit


def _unit(vector: NDArray[Any]) -> Floats:
    wide = vector.astype(numpy.float64)
    length = float(numpy.sqrt(wide @ wide))
    if length == 0.0:
        return vector.astype(numpy.float32)
    return (wide / length).astype(numpy.float32)


def _bounded(start: Floats, moved: Floats) -> NDArray[Any]:
    """`moved`, or what lies on the way to it at the most distance (unit vectors)."""
    cosine = float(start @ moved)
    if cosine >= 1.0 - MOST_DISTANCE:
        return moved
    aside = moved - cosine * start
    length = float(numpy.linalg.norm(aside))
    if length < 1e-6:
        # Opposite: there is no way that is nearer than another.
        return start
    # A hair inside, so that rounding does not carry it over the bound.
    kept = 1.0 - MOST_DISTANCE + 1e-4
    return kept * start + float(numpy.sqrt(1.0 - kept * kept)) * (aside / length)
