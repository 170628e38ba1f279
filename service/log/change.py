"""A change, its position, and the bytes it travels as.

A frame carries consecutive changes between regions and through Redis:
4 bytes length of the head, the head as JSON, then the vectors one after another.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

Key = tuple[str, str]
"""Tenant and name of a collection."""
LANES = 16
"""Lanes of an origin: a hot collection holds up one lane, not a hub."""
TENANT = "default"
"""Whose everything is where nobody has to say who he is."""
FIELDS = 15
"""Fields of a change in a frame; a later revision may append more."""
_HEAD = struct.Struct("<I")


class Position(NamedTuple):
    """Place in the log of one origin's lane; compared as a pair."""

    epoch: int
    seq: int


Positions = dict[str, Position]
"""One of each origin, of one lane."""
START = Position(1, 0)
"""Before the first change of any lane."""


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the log."""

    origin: str
    """Hub that committed it."""
    lane: int
    epoch: int
    seq: int
    event_id: str
    """Idempotency key: a retry carries the same."""
    tenant: str
    collection: str
    item_id: str
    op: str
    """`upsert`, `delete`, `collection` or `drop`."""
    vector: bytes | None
    """Little-endian, in the collection's element type; None unless an upsert."""
    metadata: str
    """JSON text; of a `collection` its definition."""
    at: int
    """Hybrid logical clock, ms * 1024 + counter; it is the item's version."""
    region: str
    """Region that took the write."""
    written: int
    """ms, when the service received it."""
    committed: int
    """ms, when the hub committed it."""

    @property
    def position(self) -> Position:
        """Its place in the log of its origin and lane."""
        return Position(self.epoch, self.seq)

    @property
    def key(self) -> Key:
        """The collection it belongs to."""
        return self.tenant, self.collection


@lru_cache(maxsize=4096)
def lane_of(tenant: str, collection: str) -> int:
    """Lane of a collection; the same in every process and version."""
    name = f"{tenant}/{collection}".encode()
    return hashlib.blake2b(name, digest_size=2).digest()[0] % LANES


def encode(changes: Sequence[Change]) -> bytes:
    """Changes as one frame."""
    rows: list[tuple[Any, ...]] = []
    vectors = []
    for c in changes:
        size = None if c.vector is None else len(c.vector)
        if c.vector is not None:
            vectors.append(c.vector)
        rows.append(
            (c.origin, c.lane, c.epoch, c.seq, c.event_id, c.tenant, c.collection)
            + (c.item_id, c.op, size, c.metadata, c.at, c.region, c.written)
            + (c.committed,)
        )
    head = orjson.dumps(rows)
    return b"".join((_HEAD.pack(len(head)), head, *vectors))


def decode(frame: bytes) -> list[Change]:
    """The changes of a frame."""
    (size,) = _HEAD.unpack_from(frame)
    offset = _HEAD.size + size
    changes = []
    for row in orjson.loads(frame[_HEAD.size : offset]):
        if row[9] is not None:
            end = offset + row[9]
            row[9] = frame[offset:end]
            offset = end
        changes.append(Change(*row[:FIELDS]))
    return changes
