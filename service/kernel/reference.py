"""The reference kernel: dense rows and matrix products in numpy."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from service.kernel.interface import (
    ELEMENTS,
    Floats,
    Found,
    Mask,
    Matches,
    Slots,
    checked,
    checked_mask,
    checked_slots,
    per_row,
)

FIRST = 256
"""Slots of an empty index; capacities are multiples of it, as it is of
`TILE` in table.h."""
_DOUBLED = 1 << 16
"""Capacity up to which an index doubles; from there on it grows by a quarter."""


class Held(NamedTuple):
    """The arrays of an index, replaced together when it grows."""

    rows: NDArray[Any]
    thresholds: Floats
    factors: Floats
    biases: Floats
    alive: Mask


class Rows:
    """Rows in slots; a slot that somebody may be reading is never written."""

    def __init__(self, dimension: int, element: str = "f32") -> None:
        if element not in ELEMENTS:
            raise ValueError(f"element: {element!r} given, one of {ELEMENTS}")
        if dimension < 1:
            raise ValueError(f"dimension: {dimension} given, at least 1 is needed")
        self.dimension = dimension
        self.element = element
        self.used = 0
        """Slots below it have been handed out."""
        self._free: list[int] = []
        self._retired: list[int] = []
        self._readers = 0
        self._counting = threading.Lock()
        kind = numpy.float16 if element == "f16" else numpy.float32
        self.held = Held(
            numpy.zeros((FIRST, dimension), kind),
            numpy.full(FIRST, numpy.inf, numpy.float32),
            numpy.ones(FIRST, numpy.float32),
            numpy.zeros(FIRST, numpy.float32),
            numpy.zeros(FIRST, numpy.uint8),
        )

    def __len__(self) -> int:
        return self.used - len(self._free) - len(self._retired)

    def add(
        self,
        row: Floats,
        threshold: float = numpy.inf,
        factor: float = 1.0,
        bias: float = 0.0,
    ) -> int:
        """Adds a row and returns its slot."""
        slots = self._put(
            checked(numpy.asarray(row)[None], self.dimension, "row"),
            numpy.array([threshold], numpy.float32),
            numpy.array([factor], numpy.float32),
            numpy.array([bias], numpy.float32),
        )
        return int(slots[0])

    def add_many(
        self,
        rows: Floats,
        thresholds: Floats | None = None,
        factors: Floats | None = None,
        biases: Floats | None = None,
    ) -> Slots:
        """Adds rows (n, dimension) and returns their slots (n,)."""
        rows = checked(rows, self.dimension, "rows")
        n = len(rows)
        return self._put(
            rows,
            per_row(thresholds, n, numpy.inf, "thresholds"),
            per_row(factors, n, 1.0, "factors"),
            per_row(biases, n, 0.0, "biases"),
        )

    def _put(
        self, rows: Floats, thresholds: Floats, factors: Floats, biases: Floats
    ) -> Slots:
        slots = self._take(len(rows))
        held = self.held
        held.factors[slots] = factors
        held.biases[slots] = biases
        self._store(slots, rows)
        # Last: from here on a search in another thread may find the rows.
        held.thresholds[slots] = thresholds
        held.alive[slots] = 1
        return slots

    def _take(self, n: int) -> Slots:
        """Slots for n rows: free ones first, then new ones."""
        with self._counting:
            cut = max(len(self._free) - n, 0)
            again, self._free = self._free[cut:][::-1], self._free[:cut]
        fresh = n - len(again)
        if self.used + fresh > len(self.held.alive):
            self._grow(_capacity(len(self.held.alive), self.used + fresh))
        made = numpy.empty(n, numpy.int64)
        made[: len(again)] = again
        made[len(again) :] = numpy.arange(self.used, self.used + fresh)
        self.used += fresh
        return made

    def remove(self, slot: int) -> None:
        """Removes a row; its slot is used again when nobody reads."""
        self._alive(slot)
        self.held.alive[slot] = 0
        self.held.thresholds[slot] = numpy.inf
        with self._counting:
            (self._retired if self._readers else self._free).append(slot)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While it is held no slot changes its row."""
        with self._counting:
            self._readers += 1
        try:
            yield
        finally:
            with self._counting:
                self._readers -= 1
                if not self._readers:
                    self._free += self._retired
                    self._retired.clear()

    def row(self, slot: int) -> Floats:
        """A copy of the row in a slot."""
        self._alive(slot)
        row: Floats = self.held.rows[slot].astype(numpy.float32)
        return row

    def alive(self) -> Slots:
        """The slots that hold a row, ascending."""
        return numpy.flatnonzero(self.held.alive[: self.used])

    def rows(self, slots: Slots) -> Floats:
        """Copies of the rows in slots (n,), whoever lives there."""
        return self.held.rows[slots].astype(numpy.float32)

    def _alive(self, slot: int) -> None:
        if not 0 <= slot < self.used or not self.held.alive[slot]:
            raise KeyError(f"slot {slot} holds no row; slots are below {self.used}")

    def _store(self, slots: Slots, rows: Floats) -> None:
        self.held.rows[slots] = rows

    def _grow(self, capacity: int) -> None:
        # New arrays: a search in another thread keeps the ones it started with.
        held = self.held
        self.held = Held(
            grown(held.rows, capacity),
            grown(held.thresholds, capacity, numpy.inf),
            grown(held.factors, capacity, 1),
            grown(held.biases, capacity),
            grown(held.alive, capacity),
        )


def _capacity(now: int, needed: int) -> int:
    while now < needed:
        now += now if now < _DOUBLED else now // 4 // FIRST * FIRST
    return now


def grown(array: NDArray[Any], capacity: int, fill: float = 0) -> NDArray[Any]:
    """A copy of an array with more room; what is not written takes no memory."""
    made = numpy.zeros((capacity, *array.shape[1:]), array.dtype)
    made[: len(array)] = array
    if fill:
        made[len(array) :] = fill
    return made


class ReferenceIndex(Rows):
    """Exact scoring by sgemm."""

    def search(
        self,
        query: Floats,
        k: int,
        minimum: float,
        offset: float = 0.0,
        mask: Mask | None = None,
        width: float | None = None,
    ) -> Found:
        """Slots and scores of the k best rows at or above minimum, best first."""
        queries = numpy.asarray(query)[None]
        offsets = numpy.array([offset], numpy.float32)
        return self.search_many(queries, k, minimum, offsets, mask, width)[0]

    def search_many(
        self,
        queries: Floats,
        k: int,
        minimum: float,
        offsets: Floats | None = None,
        mask: Mask | None = None,
        width: float | None = None,
    ) -> list[Found]:
        """`search` for each of n queries."""
        used, held = self.used, self.held
        mask = checked_mask(mask, used)
        allowed = held.alive[:used] != 0
        if mask is not None:
            allowed &= mask[:used] != 0
        answers = []
        for scores in self._scores(queries, offsets, used, held):
            found = numpy.flatnonzero(allowed & (scores >= minimum))
            answers.append(best(found, scores[found], k))
        return answers

    def exact(
        self,
        query: Floats,
        k: int,
        minimum: float,
        offset: float = 0.0,
        mask: Mask | None = None,
    ) -> Found:
        """`search` with every row scored, as it always does here."""
        return self.search(query, k, minimum, offset, mask)

    def score(self, query: Floats, slots: Slots, offset: float = 0.0) -> Floats:
        """Scores (n,) of the rows in slots (n,); NaN for a slot without a row."""
        slots, used, held = checked_slots(slots), self.used, self.held
        scores = numpy.full(len(slots), numpy.nan, numpy.float32)
        here = slots < used
        here[here] = held.alive[slots[here]] != 0
        query = checked(numpy.asarray(query)[None], self.dimension, "query")[0]
        rows = held.rows[slots[here]].astype(numpy.float32, copy=False)
        with numpy.errstate(all="ignore"):
            found = rows @ query * held.factors[slots[here]]
            scores[here] = found + held.biases[slots[here]] + numpy.float32(offset)
        return scores

    def match(self, vectors: Floats, offsets: Floats | None = None) -> Matches:
        """Every pair of a vector (n, dimension) and a row at its threshold."""
        used, held = self.used, self.held
        scores = self._scores(vectors, offsets, used, held)
        wanted = held.thresholds[:used]
        which, slots = numpy.nonzero((scores >= wanted) & (wanted < numpy.inf))
        return Matches(which, slots, scores[which, slots])

    def _scores(
        self, queries: Floats, offsets: Floats | None, used: int, held: Held
    ) -> Floats:
        queries = checked(queries, self.dimension, "queries")
        offsets = per_row(offsets, len(queries), 0.0, "offsets")
        rows = held.rows[:used].astype(numpy.float32, copy=False)
        # What is not finite is allowed and comes out as NaN or infinity.
        with numpy.errstate(all="ignore"):
            scores: Floats = queries @ rows.T
            scores *= held.factors[:used]
            scores += held.biases[:used]
            scores += offsets[:, None]
        return scores


def best(slots: Slots, scores: Floats, k: int) -> Found:
    """The k highest scores, ties by slot."""
    if k <= 0:
        return slots[:0], scores[:0]
    if len(slots) > k:
        kept = numpy.argpartition(-scores, k - 1)[:k]
        slots, scores = slots[kept], scores[kept]
    order = numpy.lexsort((slots, -scores))
    return slots[order], scores[order]


class Reference:
    """The numpy kernel."""

    name = "numpy"

    def index(self, dimension: int, element: str = "f32") -> ReferenceIndex:
        """An empty index."""
        return ReferenceIndex(dimension, element)
