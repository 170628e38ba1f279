"""The items of a collection in memory."""

import time
from typing import Any, NamedTuple

import numpy
import orjson
from numpy.typing import NDArray

from service.contract import Filter
from service.contract.filters import conditions
from service.kernel import Index, metric
from service.log.change import Change
from service.log.definition import Definition
from service.snapshot.part import Part
from service.stream.columns import Columns
from service.stream.guide import Guide

Floats = NDArray[numpy.float32]


class Held(NamedTuple):
    """What is kept of one item beside its row."""

    id: str
    metadata: str
    version: tuple[int, str]
    """(at, origin): the higher one wins."""


class Items:
    """Rows by id; the last writer wins, whatever the order of arrival."""

    def __init__(
        self, definition: Definition, index: Index, guide: Guide | None = None
    ) -> None:
        self.definition = definition
        self.index = index
        self.guide = guide
        self._slots: dict[str, int] = {}
        self._held: dict[int, Held] = {}
        self._deleted: dict[str, tuple[int, str]] = {}
        self._columns = Columns()

    def __len__(self) -> int:
        return len(self._slots)

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
        row = self.definition.vector(vector)
        if row is None or not self._supersedes(item, version):
            return
        self._forget(item)
        factor, bias = metric.stored(self.definition.metric, row)
        slot = self.index.add(row, factor=factor, bias=bias)
        if self.guide is not None:
            self.guide.added(slot)
        self._slots[item] = slot
        self._held[slot] = Held(item, metadata, version)
        self._columns.put(slot, metadata)

    def fill(self, part: Part) -> None:
        """Puts rows of a snapshot, none of which is known, into items nobody uses yet.

        It may run in a thread. Raises ValueError for vectors of another length.
        """
        rows = self.definition.rows(part.vectors)
        factors, biases = metric.stored_many(self.definition.metric, rows)
        slots = self.index.add_many(rows, factors=factors, biases=biases).tolist()
        self._slots.update(zip(part.ids, slots, strict=True))
        held = map(Held, part.ids, part.metadata, part.versions)
        self._held.update(zip(slots, held, strict=True))
        self._deleted.update(part.deleted)

    def take(self, row: Any) -> None:
        """Applies a row of the table of items."""
        version = (row["at"], row["origin"])
        if row["deleted"]:
            self.delete(row["id"], version)
        else:
            self.put(row["id"], row["vector"], row["metadata"], version)

    def delete(self, item: str, version: tuple[int, str]) -> None:
        """Keeps a tombstone, so that an older upsert does not resurrect."""
        if self._supersedes(item, version):
            self._forget(item)
            self._deleted[item] = version

    def expire(self) -> int:
        """Forgets what is older than the collection keeps; returns how many."""
        if self.guide is not None:
            self.guide.heed()
        oldest = self.definition.oldest(time.time())
        if oldest == self.definition.at:
            return 0
        held = self._held
        old = [i for i, slot in self._slots.items() if held[slot].version[0] <= oldest]
        for item in old:
            self._forget(item)
        return len(old)

    def _supersedes(self, item: str, version: tuple[int, str]) -> bool:
        if version[0] <= self.definition.at:
            return False
        slot = self._slots.get(item)
        known = self._deleted.get(item) if slot is None else self._held[slot].version
        return known is None or version > known

    def _forget(self, item: str) -> None:
        self._deleted.pop(item, None)
        slot = self._slots.pop(item, None)
        if slot is not None:
            self.index.remove(slot)
            if self.guide is not None:
                self.guide.removed(slot)

    def close(self) -> None:
        """The collection is gone: so is what stands beside its index."""
        if self.guide is not None:
            self.guide.close()

    def slot(self, item: str) -> int | None:
        """Where an item is, None when it is not there."""
        return self._slots.get(item)

    def held(self, slot: int) -> Held:
        """What is kept of the item in a slot."""
        return self._held[slot]

    def mask(self, filter_: Filter | None) -> "NDArray[numpy.uint8] | None":
        """Slots that pass a filter, 1 each; None where there is none."""
        if filter_ is None:
            return None
        used = self.index.used
        missing = self._columns.missing({c.field for c in conditions(filter_)})
        if missing:
            here = {slot: self._held[slot].metadata for slot in self._slots.values()}
            self._columns.make(missing, here, max(used, 64))
        return self._columns.mask(filter_, used).astype(numpy.uint8)

    def passing(self, filter_: Filter | None) -> list[str]:
        """Ids of the items that pass, in the order of ids."""
        mask = self.mask(filter_)
        if mask is None:
            return sorted(self._slots)
        return sorted(i for i, slot in self._slots.items() if mask[slot])

    def version(self, item: str) -> int:
        """Version of an item that is held."""
        return self._held[self._slots[item]].version[0]

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
