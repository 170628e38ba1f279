"""The reference kernel: dense rows and matrix products in numpy."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy

from service.kernel.interface import Floats, Matches, Slots

_FIRST = 64


class Rows:
    """Rows in slots; a slot that somebody may be reading is never written."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.rows = numpy.zeros((_FIRST, dimension), numpy.float32)
        self.thresholds = numpy.full(_FIRST, numpy.inf, numpy.float32)
        self.alive = numpy.zeros(_FIRST, numpy.uint8)
        self.used = 0
        """Slots below it have been handed out."""
        self._free: list[int] = []
        self._retired: list[int] = []
        self._readers = 0

    def __len__(self) -> int:
        return self.used - len(self._free) - len(self._retired)

    def add(self, row: Floats, threshold: float = numpy.inf) -> int:
        """Adds a row and returns its slot."""
        if self._free:
            slot = self._free.pop()
        else:
            slot = self.used
            if slot == len(self.rows):
                self._grow(2 * slot)
            self.used += 1
        self._store(slot, row)
        self.thresholds[slot] = threshold
        self.alive[slot] = 1
        return slot

    def remove(self, slot: int) -> None:
        """Removes a row; its slot is used again when nobody reads."""
        self.alive[slot] = 0
        self.thresholds[slot] = numpy.inf
        (self._retired if self._readers else self._free).append(slot)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While it is held no slot changes its row."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers:
                self._free += self._retired
                self._retired.clear()

    def _store(self, slot: int, row: Floats) -> None:
        self.rows[slot] = row

    def _grow(self, capacity: int) -> None:
        # New arrays: a search in another thread keeps the ones it started with.
        self.rows = _grown(self.rows, capacity)
        self.thresholds = _grown(self.thresholds, capacity, numpy.inf)
        self.alive = _grown(self.alive, capacity)


def _grown(
    array: "numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.generic]]",
    capacity: int,
    fill: float = 0,
) -> "numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.generic]]":
    made = numpy.full((capacity, *array.shape[1:]), fill, array.dtype)
    made[: len(array)] = array
    return made


class ReferenceIndex(Rows):
    """Exact scoring by sgemm."""

    def search(self, query: Floats, k: int, minimum: float) -> tuple[Slots, Floats]:
        """Slots and scores of the k best rows at or above minimum, best first."""
        used = self.used
        scores = self.rows[:used] @ query
        found = numpy.flatnonzero((self.alive[:used] != 0) & (scores >= minimum))
        return best(found, scores[found], k)

    def match(self, vectors: Floats) -> Matches:
        """Every pair of a vector (n, dimension) and a row at its threshold."""
        scores = vectors @ self.rows[: self.used].T
        which, slots = numpy.nonzero(scores >= self.thresholds[: self.used])
        return Matches(which, slots, scores[which, slots])


def best(slots: Slots, scores: Floats, k: int) -> tuple[Slots, Floats]:
    """The k highest scores, ties by slot."""
    if len(slots) > k:
        kept = numpy.argpartition(-scores, k - 1)[:k]
        slots, scores = slots[kept], scores[kept]
    order = numpy.lexsort((slots, -scores))
    return slots[order], scores[order]


class Reference:
    """The numpy kernel."""

    name = "numpy"

    def index(self, dimension: int) -> ReferenceIndex:
        """An empty index."""
        return ReferenceIndex(dimension)
