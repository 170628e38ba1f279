"""The items of a collection in memory."""

from typing import Any, NamedTuple

import numpy
import orjson
from numpy.typing import NDArray

from service.kernel import Index
from service.kernel.interface import unit
from service.log.change import Change
from service.log.reader import Definition

Floats = NDArray[numpy.float32]


class Held(NamedTuple):
    """What is kept of one item beside its row."""

    id: str
    metadata: str
    version: tuple[int, str]
    """(at, origin): the higher one wins."""


class Items:
    """Rows by id; the last writer wins, whatever the order of arrival."""

    def __init__(self, definition: Definition, index: Index) -> None:
        self.definition = definition
        self.index = index
        self._slots: dict[str, int] = {}
        self._held: dict[int, Held] = {}
        self._deleted: dict[str, tuple[int, str]] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def row_of(self, vector: bytes) -> Floats | None:
        """The row that is scored, None when the length does not fit."""
        return scored(self.definition, vector)

    def apply(self, change: Change) -> None:
        """Takes an upsert or delete, unless a later writer was here."""
        version = (change.at, change.origin)
        if change.op == "upsert" and change.vector is not None:
            self.put(change.item_id, change.vector, change.metadata, version)
        elif change.op == "delete":
            self.delete(change.item_id, version)

    def put(
        self, item: str, vector: bytes, metadata: str, version: tuple[int, str]
    ) -> None:
        """Puts an item unless what is known of it is newer."""
        row = self.row_of(vector)
        if row is None or not self._supersedes(item, version):
            return
        self._forget(item)
        slot = self.index.add(row)
        self._slots[item] = slot
        self._held[slot] = Held(item, metadata, version)

    def delete(self, item: str, version: tuple[int, str]) -> None:
        """Keeps a tombstone, so that an older upsert does not resurrect."""
        if self._supersedes(item, version):
            self._forget(item)
            self._deleted[item] = version

    def _supersedes(self, item: str, version: tuple[int, str]) -> bool:
        slot = self._slots.get(item)
        known = self._deleted.get(item) if slot is None else self._held[slot].version
        return known is None or version > known

    def _forget(self, item: str) -> None:
        self._deleted.pop(item, None)
        slot = self._slots.pop(item, None)
        if slot is not None:
            self.index.remove(slot)

    def hits(self, slots: Any, scores: Any) -> list[dict[str, Any]]:
        """Found slots as the contract shows them."""
        return [
            {
                "id": held.id,
                "score": score,
                "version": held.version[0],
                "metadata": orjson.Fragment(held.metadata),
            }
            for held, score in zip(
                (self._held[slot] for slot in slots.tolist()),
                scores.tolist(),
                strict=True,
            )
        ]


def scored(definition: Definition, vector: bytes) -> Floats | None:
    """A stored vector as its metric scores it; None when its length is wrong."""
    row = numpy.frombuffer(vector, "<f4")
    if len(row) != definition.dimension:
        return None
    return unit(row) if definition.metric == "cosine" else row
