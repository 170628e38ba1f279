"""What the rest of the service knows of scoring."""

from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import numpy
from numpy.typing import NDArray

Floats = NDArray[numpy.float32]
Slots = NDArray[numpy.int64]


class Matches(NamedTuple):
    """Pairs that reached their threshold, ordered by vector, then slot."""

    vectors: NDArray[numpy.int64]
    """Which of the given vectors, shape (m,)."""
    slots: Slots
    """Which row, shape (m,)."""
    scores: Floats
    """Inner products, shape (m,)."""


class Index(Protocol):
    """Rows scored by inner product; higher is nearer.

    Rows are float32 of shape (dimension,). Callers normalise for cosine. Adding
    and removing take effect at once. One thread changes an index; `search` may
    run in others while it stands inside `reading()`.
    """

    dimension: int

    def __len__(self) -> int:
        """Rows alive."""
        ...

    def add(self, row: Floats, threshold: float = numpy.inf) -> int:
        """Adds a row and returns its slot."""
        ...

    def remove(self, slot: int) -> None:
        """Removes a row; its slot is used again when nobody reads."""
        ...

    def reading(self) -> AbstractContextManager[None]:
        """While it is held no slot changes its row."""
        ...

    def search(self, query: Floats, k: int, minimum: float) -> tuple[Slots, Floats]:
        """Slots and scores of the k best rows at or above minimum, best first."""
        ...

    def match(self, vectors: Floats) -> Matches:
        """Every pair of a vector (n, dimension) and a row at its threshold.

        Exact: each pair is decided by its float32 inner product.
        """
        ...


class Kernel(Protocol):
    """A way of scoring."""

    name: str

    def index(self, dimension: int) -> Index:
        """An empty index."""
        ...


def unit(vector: Floats) -> Floats:
    """`vector` at length 1; a zero vector stays zero and scores 0 with all.

    Worked out in float64, where no float32 overflows or vanishes.
    """
    wide = vector.astype(numpy.float64)
    length = float(numpy.sqrt(wide @ wide))
    if length == 0.0:
        return vector
    return (wide / length).astype(numpy.float32)
