"""What the rest of the service knows of scoring."""

import math
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import numpy
from numpy.typing import NDArray

Floats = NDArray[numpy.float32]
Slots = NDArray[numpy.int64]
Mask = NDArray[numpy.uint8]
Found = tuple[Slots, Floats]
ELEMENTS = ("f32", "f16")


class Matches(NamedTuple):
    """Pairs that reached their threshold, ordered by vector, then slot."""

    vectors: NDArray[numpy.int64]
    """Which of the given vectors, shape (m,)."""
    slots: Slots
    """Which row, shape (m,)."""
    scores: Floats
    """Shape (m,)."""


class Index(Protocol):
    """Rows in slots. A score is factor * <row, query> + bias + offset.

    Higher is nearer; `metric` maps the metrics to this form. Rows and queries are
    float32 of shape (dimension,), several of shape (n, dimension). Adding and removing
    take effect at once. One thread changes an index; `search`, `search_many` and
    `exact` may run in others while they stand inside `reading()`. What is NaN or
    infinite never crashes; a score that is NaN is left out.
    """

    dimension: int
    element: str
    """How rows are kept: "f32" or "f16"."""
    used: int
    """Slots that ever held a row: all are below it."""

    def __len__(self) -> int:
        """Rows alive."""
        ...

    def add(
        self,
        row: Floats,
        threshold: float = numpy.inf,
        factor: float = 1.0,
        bias: float = 0.0,
    ) -> int:
        """Adds a row and returns its slot; a threshold of inf is never reached."""
        ...

    def add_many(
        self,
        rows: Floats,
        thresholds: Floats | None = None,
        factors: Floats | None = None,
        biases: Floats | None = None,
    ) -> Slots:
        """Adds rows (n, dimension) and returns their slots (n,); defaults as `add`."""
        ...

    def remove(self, slot: int) -> None:
        """Removes a row; its slot is used again when nobody reads.

        Raises KeyError for a slot that holds no row.
        """
        ...

    def reading(self) -> AbstractContextManager[None]:
        """While it is held no slot changes its row."""
        ...

    def row(self, slot: int) -> Floats:
        """A copy of the row in a slot. Raises KeyError for a slot without one."""
        ...

    def alive(self) -> Slots:
        """The slots that hold a row, ascending."""
        ...

    def rows(self, slots: Slots) -> Floats:
        """Copies of the rows in slots (n,), shape (n, dimension), whoever lives there.

        Only in the thread that changes the index.
        """
        ...

    def score(self, query: Floats, slots: Slots, offset: float = 0.0) -> Floats:
        """Scores (n,) of the rows in slots (n,), as `search` gives them.

        NaN for a slot without a row. Raises ValueError for a slot below 0.
        """
        ...

    def search(
        self,
        query: Floats,
        k: int,
        minimum: float,
        offset: float = 0.0,
        mask: Mask | None = None,
        width: float | None = None,
    ) -> Found:
        """Slots and scores of the k best rows at or above minimum, best first.

        mask: by slot, 0 leaves a row out. width: deviations of the bound below which
        a row is not scored; a wider one finds more (default 2.5).
        """
        ...

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
        ...

    def exact(
        self,
        query: Floats,
        k: int,
        minimum: float,
        offset: float = 0.0,
        mask: Mask | None = None,
    ) -> Found:
        """`search` with every row scored: what the recall is measured against."""
        ...

    def match(self, vectors: Floats, offsets: Floats | None = None) -> Matches:
        """Every pair of a vector (n, dimension) and a row at its threshold.

        Each pair that is found was decided by its float32 score.
        """
        ...


class Kernel(Protocol):
    """A way of scoring."""

    name: str

    def index(self, dimension: int, element: str = "f32") -> Index:
        """An empty index; rows of element "f16" were rounded to it by the caller."""
        ...


def unit(vector: Floats) -> Floats:
    """`vector` at length 1; a zero vector stays zero and scores 0 with all.

    Worked out in float64, where no float32 overflows or vanishes.
    """
    wide = vector.astype(numpy.float64)
    length = math.sqrt(wide.dot(wide))
    if length == 0.0:
        return vector
    wide /= length
    return wide.astype(numpy.float32)


def checked(rows: Floats, dimension: int, what: str) -> Floats:
    """Rows as contiguous float32 (n, dimension); raises ValueError for other shapes."""
    made = numpy.ascontiguousarray(rows, numpy.float32)
    if made.ndim != 2 or made.shape[1] != dimension:
        raise ValueError(
            f"{what}: shape {made.shape} given, (n, {dimension}) is needed: the index "
            f"has dimension {dimension}"
        )
    return made


def checked_slots(slots: Slots) -> Slots:
    """Slots as contiguous int64 (n,); raises ValueError for one below 0."""
    made = numpy.ascontiguousarray(slots, numpy.int64)
    if made.ndim != 1 or (len(made) and int(made.min()) < 0):
        raise ValueError(
            f"slots: shape {made.shape} given, least "
            f"{made.min() if made.size else 'none'}; (n,) and 0 or more are needed"
        )
    return made


def per_row(values: Floats | None, n: int, default: float, what: str) -> Floats:
    """One float for each of n rows; raises ValueError for another length."""
    if values is None:
        return numpy.full(n, default, numpy.float32)
    made = numpy.ascontiguousarray(values, numpy.float32)
    if made.shape != (n,):
        raise ValueError(f"{what}: shape {made.shape} given, ({n},) is needed")
    return made


def checked_mask(mask: Mask | None, used: int) -> Mask | None:
    """A mask that covers all slots, contiguous; raises ValueError for a shorter one."""
    if mask is None:
        return None
    if mask.dtype != numpy.uint8 or mask.ndim != 1 or len(mask) < used:
        raise ValueError(
            f"mask: {mask.dtype} of shape {mask.shape} given, uint8 of at least "
            f"{used} slots is needed"
        )
    return numpy.ascontiguousarray(mask)
