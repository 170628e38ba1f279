"""A graph over rows (HNSW, by usearch), beside the index that scores them.

It only proposes slots: they are scored by the index, so its rounding costs recall at
most, never a score. Rows are kept as int8, one scale for all: half the memory of
halves, and adding and asking took about half the time (docs/adr/0018).
"""

import math
import threading
from typing import Any

import numpy
from numpy.typing import NDArray

from service.kernel.interface import Floats, Found, Index, Slots
from service.kernel.reference import best

Bytes = NDArray[numpy.int8]
METRICS = ("cosine", "l2")
"""Those with a graph. `dot` is missing: where lengths differ, the rows that score
highest are no neighbours of each other, and a walk does not find them."""
CONNECTIONS = 16
ADDING = 128
"""Rows that are looked at for the neighbours of a new one."""
OVER = 2
"""Proposals for each row that is wanted: what int8 ranks wrongly is put right."""
_MOST = 127
_CLIPPED = 1.5
"""Steps are so much finer than the largest component needs, which is cut off."""


class Graph:
    """Slots by neighbourhood. Calls exclude each other: usearch holds a lock."""

    def __init__(self, metric: str, sample: Floats) -> None:
        """`sample`, (n, dimension): some rows, of which the scale is made.

        Raises ValueError for a metric without a graph.
        """
        if metric not in METRICS:
            raise ValueError(f"metric: {metric!r} given, one of {METRICS}")
        # Imported here: 14 MiB that an instance without a large collection spares.
        from usearch.index import Index

        self._unit = metric == "cosine"
        known = self._turned(sample)
        # Distances do not mind, and what all rows share would waste int8's steps.
        self._centre = known.mean(0)
        largest = float(numpy.abs(known - self._centre).max(initial=0.0))
        self._scale = numpy.float32(_CLIPPED * _MOST / largest if largest > 0 else 1.0)
        self._index = Index(
            ndim=sample.shape[1],
            metric="l2sq",  # of unit rows it orders as the cosine does
            dtype="i8",
            connectivity=CONNECTIONS,
            expansion_add=ADDING,
            # A slot that was used again is there twice; the index knows who lives.
            enable_key_lookups=False,
        )
        self._asking = threading.Lock()

    def __len__(self) -> int:
        """Nodes, those of removed rows among them."""
        return len(self._index)

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return int(self._index.memory_usage)

    def add(self, slots: Slots, rows: Floats) -> None:
        """Adds rows (n, dimension) by slot; another thread may run meanwhile."""
        self._index.add(slots.astype(numpy.uint64), self._rounded(rows), threads=1)

    def search(
        self,
        index: Index,
        query: Floats,
        k: int,
        minimum: float,
        offset: float,
        expansion: int,
        tail: Slots,
    ) -> Found | None:
        """`Index.search` of what the graph proposes, and of all slots of `tail`.

        None where the query is not finite, or too many of its proposals are gone to be
        sure of the k best. The caller stands inside `index.reading()`.
        """
        if not math.isfinite(float(query @ query)):
            return None
        count = OVER * k
        near = self.near(query, count, expansion)
        scores = index.score(query, near, offset)
        here = ~numpy.isnan(scores)
        if int(here.sum()) < min((k + count) // 2, len(index)):
            return None
        near, scores = near[here], scores[here]
        if len(tail):
            new = numpy.setdiff1d(tail, near, assume_unique=True)
            near = numpy.concatenate([near, new])
            scores = numpy.concatenate([scores, index.score(query, new, offset)])
        # NaN is not at or above anything.
        found = scores >= minimum
        return best(near[found], scores[found], k)

    def near(self, query: Floats, count: int, expansion: int) -> Slots:
        """About the `count` nearest slots of a query (dimension,), each once.

        The query is finite, as `metric.asked` gives it.
        expansion: candidates kept on the way; more find more.
        """
        rounded = self._cut(query - self._centre)
        # The width belongs to the graph, not to the call.
        with self._asking:
            self._index.expansion_search = max(expansion, count)  # type: ignore[misc]
            found: Any = self._index.search(rounded, count, threads=1)
        return numpy.unique(found.keys.astype(numpy.int64))

    def _turned(self, rows: Floats) -> Floats:
        wide = numpy.nan_to_num(rows.astype(numpy.float32), posinf=0, neginf=0)
        if self._unit:
            lengths = numpy.sqrt(numpy.square(wide, dtype=numpy.float64).sum(1))
            wide /= numpy.where(lengths > 0, lengths, 1)[:, None].astype(numpy.float32)
        return wide

    def _rounded(self, rows: Floats) -> Bytes:
        return self._cut(self._turned(rows) - self._centre)

    def _cut(self, centred: Floats) -> Bytes:
        scaled = centred * self._scale
        numpy.rint(scaled, out=scaled)
        numpy.minimum(scaled, _MOST, out=scaled)
        numpy.maximum(scaled, -_MOST, out=scaled)
        return scaled.astype(numpy.int8)
