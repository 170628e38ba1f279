"""Standing queries of one collection and who is told of their matches."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy
from numpy.typing import NDArray

from service.kernel import Index
from service.log.change import Change, Position

Floats = NDArray[numpy.float32]
Positions = dict[str, Position]


class Listener(Protocol):
    """The connection of a stream."""

    def deliver(
        self, stream: "Stream", change: Change, score: float, positions: Positions
    ) -> None:
        """Queues a match."""
        ...

    @property
    def has_credit(self) -> bool:
        """Whether more may be queued."""
        ...


@dataclass(slots=True, eq=False)
class Stream:
    """One standing query."""

    id: str
    collection: str
    lane: int
    vector: Floats
    """As its metric scores it."""
    threshold: float
    definition_version: int
    listener: Listener
    positions: Positions = field(default_factory=dict)
    """Delivered up to here, while it is not live."""
    slot: int | None = None
    """Its row while it is live."""


class Standing:
    """The live streams of a collection."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self._streams: dict[int, Stream] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, stream: Stream) -> None:
        """From here on the stream hears every change."""
        stream.slot = self.index.add(stream.vector, stream.threshold)
        self._streams[stream.slot] = stream

    def remove(self, stream: Stream) -> None:
        """The stream hears nothing more from here."""
        if stream.slot is not None:
            self.index.remove(stream.slot)
            del self._streams[stream.slot]
            stream.slot = None

    def of(self, listener: Listener) -> list[Stream]:
        """The live streams of a connection."""
        return [s for s in self._streams.values() if s.listener is listener]

    def match(self, rows: Floats) -> list[list[tuple[Stream, float]]]:
        """Per row the live streams it reaches and its scores."""
        found: list[list[tuple[Stream, float]]] = [[] for _ in range(len(rows))]
        matches = self.index.match(rows)
        for n, slot, score in zip(
            matches.vectors.tolist(),
            matches.slots.tolist(),
            matches.scores.tolist(),
            strict=True,
        ):
            found[n].append((self._streams[slot], score))
        return found


def rows_of(
    changes: list[Change], scored: Callable[[bytes], Floats | None]
) -> tuple[list[Change], Any]:
    """The upserts among changes and their rows, shape (n, dimension)."""
    upserts, rows = [], []
    for change in changes:
        if change.op == "upsert" and change.vector is not None:
            row = scored(change.vector)
            if row is not None:
                upserts.append(change)
                rows.append(row)
    return upserts, numpy.stack(rows) if rows else None
