"""The C kernel: codes beside the rows, called without the GIL."""

import ctypes
import os
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from service.kernel.interface import (
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
from service.kernel.library import Table, opened, runnable
from service.kernel.place import default_folder
from service.kernel.reference import FIRST, Rows, grown

MATCH_WIDTH = 5.0
"""Deviations of the bound for standing queries: one miss in 3.5 million pairs that
lie exactly at their threshold; what lies above it is safer still."""
SEARCH_WIDTH = 2.5
"""For search: recall 1.0000 of 200 queries at d 384 (benchmarks/README.md)."""
NARROW = 128
"""Dimensions below which codes tell too little and every row is scored."""
_ROUNDS = 4


class Codes(NamedTuple):
    """What stands beside the rows; see table.h."""

    signs: NDArray[numpy.uint8]
    fine: NDArray[numpy.uint8]
    inverse: Floats
    rest: Floats
    scale: Floats
    spread: Floats


class NativeIndex(Rows):
    """Rows with two codes, scored in C."""

    def __init__(self, dimension: int, element: str, library: ctypes.CDLL) -> None:
        super().__init__(dimension, element)
        self._library = library
        self._coded = dimension >= NARROW
        self._growing = threading.Lock()
        self._width = (dimension + 63) // 64 * 64
        # Fixed: what a rotation decides must be the same in every process.
        random = numpy.random.default_rng(20240521)
        signs = random.choice([-1.0, 1.0], _ROUNDS * self._width)
        self._rotation = signs.astype(numpy.float32)
        self._scratch = numpy.zeros(self._width, numpy.float32)
        capacity = FIRST if self._coded else 0
        code = library.meridian_code_bytes(self._width) * FIRST
        self._codes = Codes(
            numpy.zeros((capacity // FIRST, code), numpy.uint8),
            numpy.zeros((capacity, self._width // 4), numpy.uint8),
            *(numpy.zeros(capacity, numpy.float32) for _ in range(4)),
        )
        self._kept = self._made_table()

    def _made_table(self) -> tuple[Table, tuple[Any, ...]]:
        """A table, and the arrays that it points into, which must outlive it."""
        arrays = (self._rotation, self.held.rows, *self._codes, *self.held[1:])
        table = Table(
            self.dimension,
            self._width,
            int(self.element == "f16"),
            int(self._coded),
            *(array.ctypes.data for array in arrays),
            self.used,
        )
        return table, arrays

    def _table(self) -> tuple[Table, tuple[Any, ...]]:
        """The table of now for one call: rows that come later are not in it."""
        with self._growing:
            kept, arrays = self._kept
            table = Table.from_buffer_copy(kept)
            table.used = self.used
        return table, arrays

    def _take(self, n: int) -> Slots:
        # A search in another thread must not see new slots in old arrays.
        with self._growing:
            return super()._take(n)

    def _store(self, slots: Slots, rows: Floats) -> None:
        self._library.meridian_put(
            ctypes.byref(self._kept[0]),
            slots.ctypes.data,
            rows.ctypes.data,
            len(rows),
            self._scratch.ctypes.data,
        )

    def _grow(self, capacity: int) -> None:
        super()._grow(capacity)
        if self._coded:
            codes: Any = self._codes
            signs, *others = codes
            self._codes = Codes(
                grown(signs, capacity // FIRST),
                *(grown(other, capacity) for other in others),
            )
        self._kept = self._made_table()

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
        queries, offsets = self._one(query, offset)
        width = SEARCH_WIDTH if width is None else width
        return self._search(queries, k, minimum, offsets, mask, width)[0]

    def search_many(
        self,
        queries: Floats,
        k: int,
        minimum: float,
        offsets: Floats | None = None,
        mask: Mask | None = None,
        width: float | None = None,
    ) -> list[Found]:
        """`search` for each of n queries in one pass over the rows."""
        queries = checked(queries, self.dimension, "queries")
        width = SEARCH_WIDTH if width is None else width
        return self._search(queries, k, minimum, offsets, mask, width)

    def exact(
        self,
        query: Floats,
        k: int,
        minimum: float,
        offset: float = 0.0,
        mask: Mask | None = None,
    ) -> Found:
        """`search` with every row scored."""
        queries, offsets = self._one(query, offset)
        return self._search(queries, k, minimum, offsets, mask, None)[0]

    def score(self, query: Floats, slots: Slots, offset: float = 0.0) -> Floats:
        """Scores (n,) of the rows in slots (n,); NaN for a slot without a row."""
        queries = checked(numpy.asarray(query)[None], self.dimension, "query")
        slots = checked_slots(slots)
        table, _arrays = self._table()
        scores = numpy.empty(len(slots), numpy.float32)
        self._library.meridian_score(
            ctypes.byref(table),
            queries.ctypes.data,
            offset,
            slots.ctypes.data,
            len(slots),
            scores.ctypes.data,
        )
        return scores

    def _one(self, query: Floats, offset: float) -> tuple[Floats, Floats]:
        queries = checked(numpy.asarray(query)[None], self.dimension, "query")
        return queries, numpy.array([offset], numpy.float32)

    def _search(
        self,
        queries: Floats,
        k: int,
        minimum: float,
        offsets: Floats | None,
        mask: Mask | None,
        width: float | None,
    ) -> list[Found]:
        n = len(queries)
        offsets = per_row(offsets, n, 0.0, "offsets")
        table, _arrays = self._table()
        mask = checked_mask(mask, table.used)
        k = max(0, min(k, table.used))
        counts = numpy.empty(n, numpy.int64)
        slots = numpy.empty((n, k), numpy.int64)
        scores = numpy.empty((n, k), numpy.float32)
        failed = self._library.meridian_search(
            ctypes.byref(table),
            _place(queries),
            _place(offsets),
            None if mask is None else _place(mask),
            n,
            k,
            minimum,
            0.0 if width is None else width,
            width is None,
            _place(counts),
            _place(slots),
            _place(scores),
        )
        if failed:
            raise MemoryError(f"no memory to search {n} queries, {k} best of each")
        return [(slots[i, :c], scores[i, :c]) for i, c in enumerate(counts.tolist())]

    def match(self, vectors: Floats, offsets: Floats | None = None) -> Matches:
        """Every pair of a vector (n, dimension) and a row at its threshold."""
        vectors = checked(vectors, self.dimension, "vectors")
        offsets = per_row(offsets, len(vectors), 0.0, "offsets")
        table, _arrays = self._table()
        room = 1024 + len(vectors) * table.used // 1000
        while True:
            which, slots = numpy.empty((2, room), numpy.int64)
            scores = numpy.empty(room, numpy.float32)
            found = self._library.meridian_match(
                ctypes.byref(table),
                vectors.ctypes.data,
                offsets.ctypes.data,
                len(vectors),
                MATCH_WIDTH,
                room,
                which.ctypes.data,
                slots.ctypes.data,
                scores.ctypes.data,
            )
            if found < 0:
                raise MemoryError(f"no memory to match {len(vectors)} vectors")
            if found <= room:
                break
            room = found
        order = numpy.lexsort((slots[:found], which[:found]))
        return Matches(which[order], slots[order], scores[order])


def _place(array: Any) -> Any:
    """Where a contiguous array begins, as a call takes it. `ctypes.data`, which serves
    all, takes five times as long, and a search of a few rows feels it."""
    if not array.size or not array.flags.writeable:
        return array.ctypes.data
    return ctypes.byref(ctypes.c_char.from_buffer(array))


class Native:
    """The C kernel of one set of instructions."""

    def __init__(self, variant: str, path: Path) -> None:
        self.name = variant
        self._library = opened(path)

    def index(self, dimension: int, element: str = "f32") -> NativeIndex:
        """An empty index."""
        return NativeIndex(dimension, element, self._library)


def load(folder: Path | None = None) -> Native | None:
    """The best variant that was built and that this processor runs, or None."""
    if folder is None:
        named = os.environ.get("MERIDIAN_KERNEL_DIR")
        folder = Path(named) if named else default_folder()
    for name, path in runnable(folder):
        try:
            return Native(name, path)
        except OSError:
            continue
    return None
