"""The C kernel: codes beside the rows, called without the GIL."""

import ctypes
import os
import platform
import threading
from pathlib import Path
from typing import Any

import numpy

from service.kernel.interface import Floats, Matches, Slots
from service.kernel.place import default_folder, variants
from service.kernel.reference import ReferenceIndex, _grown, best

_MATCH_Z = 6.0
"""Width of the bound for standing queries: one miss in 1e9 pairs that lie exactly
at their threshold; what lies above it is safer still."""
_SEARCH_Z = 2.5
"""For search: recall .9999 at d 384 (reference/serving.md)."""
_SMALL = 512
"""Rows below which a matrix product is as fast."""
_NARROW = 128
"""Dimensions below which codes tell too little."""
_FLAGS = {
    "avx512": {"avx512f", "avx512bw", "avx512vl", "avx512_vpopcntdq", "avx512_vbmi2"},
    "avx2": {"avx2", "fma", "bmi2"},
}


class _Table(ctypes.Structure):
    _fields_ = (
        ("dimension", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("signs", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
        ("codes", ctypes.c_void_p),
        ("scale", ctypes.c_void_p),
        ("spread", ctypes.c_void_p),
        ("ones", ctypes.c_void_p),
        ("thresholds", ctypes.c_void_p),
        ("alive", ctypes.c_void_p),
        ("used", ctypes.c_int64),
    )


class NativeIndex(ReferenceIndex):
    """Rows with codes; few or narrow ones are scored by numpy all the same."""

    def __init__(self, dimension: int, library: ctypes.CDLL) -> None:
        super().__init__(dimension)
        self._library = library
        self._coded = dimension >= _NARROW
        self._growing = threading.Lock()
        self._kept: tuple[_Table, list[Any]] | None = None
        self._width = max(64, 1 << (dimension - 1).bit_length())
        if self._coded:
            capacity = len(self.rows)
            self._codes = numpy.zeros(capacity * self._width // 64, numpy.uint64)
            self._factors = numpy.zeros((3, capacity), numpy.float32)
            # Fixed: what a rotation decides must be the same in every process.
            random = numpy.random.default_rng(20240521)
            signs = random.choice([-1.0, 1.0], 2 * self._width)
            self._signs = signs.astype(numpy.float32)
            self._scratch = numpy.zeros(self._width, numpy.float32)

    def _table(self) -> tuple[_Table, list[Any]]:
        """The table of now, and the arrays that it points into."""
        with self._growing:
            return self._made_table()

    def _made_table(self) -> tuple[_Table, list[Any]]:
        arrays = [self._signs, self.rows, self._codes, self._factors]
        arrays += [self.thresholds, self.alive]
        scale, spread, ones = (row.ctypes.data for row in self._factors)
        table = _Table(
            self.dimension,
            self._width,
            self._signs.ctypes.data,
            self.rows.ctypes.data,
            self._codes.ctypes.data,
            scale,
            spread,
            ones,
            self.thresholds.ctypes.data,
            self.alive.ctypes.data,
            self.used,
        )
        return table, arrays

    def _store(self, slot: int, row: Floats) -> None:
        if not self._coded:
            super()._store(slot, row)
            return
        row = numpy.ascontiguousarray(row, numpy.float32)
        # Making the table costs more than storing a row: it is kept until growth.
        if self._kept is None:
            self._kept = self._table()
        self._library.meridian_put(
            ctypes.byref(self._kept[0]),
            slot,
            row.ctypes.data,
            self._scratch.ctypes.data,
        )

    def _grow(self, capacity: int) -> None:
        # A search in another thread must not see some arrays old and some new.
        with self._growing:
            super()._grow(capacity)
            self._kept = None
            if not self._coded:
                return
            self._codes = _grown(self._codes, capacity * self._width // 64)
            factors = numpy.zeros((3, capacity), numpy.float32)
            factors[:, : self._factors.shape[1]] = self._factors
            self._factors = factors

    def _by_codes(self) -> bool:
        return self._coded and self.used >= _SMALL

    def search(self, query: Floats, k: int, minimum: float) -> tuple[Slots, Floats]:
        """Slots and scores of the k best rows at or above minimum, best first."""
        if not self._by_codes():
            return super().search(query, k, minimum)
        query = numpy.ascontiguousarray(query, numpy.float32)
        slots = numpy.empty(k, numpy.int64)
        scores = numpy.empty(k, numpy.float32)
        table, _arrays = self._table()
        found = self._library.meridian_search(
            ctypes.byref(table),
            query.ctypes.data,
            k,
            minimum,
            _SEARCH_Z,
            slots.ctypes.data,
            scores.ctypes.data,
        )
        if found < 0:
            raise MemoryError("no memory for the search")
        return best(slots[:found], scores[:found], k)

    def match(self, vectors: Floats) -> Matches:
        """Every pair of a vector (n, dimension) and a row at its threshold."""
        if not self._by_codes():
            return super().match(vectors)
        vectors = numpy.ascontiguousarray(vectors, numpy.float32)
        room = 1024
        while True:
            which = numpy.empty(room, numpy.int64)
            slots = numpy.empty(room, numpy.int64)
            scores = numpy.empty(room, numpy.float32)
            table, _arrays = self._table()
            found = self._library.meridian_match(
                ctypes.byref(table),
                vectors.ctypes.data,
                len(vectors),
                _MATCH_Z,
                room,
                which.ctypes.data,
                slots.ctypes.data,
                scores.ctypes.data,
            )
            if found < 0:
                raise MemoryError("no memory for the match")
            if found <= room:
                break
            room = found
        order = numpy.lexsort((slots[:found], which[:found]))
        return Matches(which[order], slots[order], scores[order])


class Native:
    """The C kernel of one set of instructions."""

    def __init__(self, variant: str, path: Path) -> None:
        self.name = variant
        library = ctypes.CDLL(str(path))
        pointer, whole, real = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
        library.meridian_put.argtypes = [pointer, whole, pointer, pointer]
        library.meridian_put.restype = None
        library.meridian_match.argtypes = [pointer, pointer, whole, real, whole]
        library.meridian_match.argtypes += [pointer, pointer, pointer]
        library.meridian_match.restype = whole
        library.meridian_search.argtypes = [pointer, pointer, whole, real, real]
        library.meridian_search.argtypes += [pointer, pointer]
        library.meridian_search.restype = whole
        self._library = library

    def index(self, dimension: int) -> NativeIndex:
        """An empty index."""
        return NativeIndex(dimension, self._library)


def _processor() -> set[str]:
    """The processor's flags, where the system tells them."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    lines = (line for line in text.splitlines() if line.startswith("flags"))
    return set(next(lines, "").split())


def load(folder: Path | None = None) -> Native | None:
    """The best variant that was built and that this processor runs, or None."""
    if folder is None:
        named = os.environ.get("MERIDIAN_KERNEL_DIR")
        folder = Path(named) if named else default_folder()
    flags = _processor() if platform.system() == "Linux" else set()
    for name in variants():
        path = folder / f"{name}.so"
        if path.exists() and _FLAGS.get(name, set()) <= flags:
            try:
                return Native(name, path)
            except OSError:
                continue
    return None
