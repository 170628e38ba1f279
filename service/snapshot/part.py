"""Some rows of a collection as bytes.

    4 bytes   b"MDIX"
    4 bytes   length of the head, little-endian
    head      JSON: ids, at, origin (numbers into `origins`), metadata; deleted
    rest      the vectors of the ids one after another, as the collection keeps them

Checksum and format number stand in the manifest.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

Version = tuple[int, str]
_MAGIC = b"MDIX"
_START = struct.Struct("<4sI")


@dataclass(slots=True)
class Part:
    """Rows of one collection; lists of one length, and tombstones."""

    ids: list[str] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)
    """(at, origin) of each."""
    metadata: list[str] = field(default_factory=list)
    """JSON text of each."""
    vectors: Sequence[bytes] | memoryview = field(default_factory=list)
    """Of each, or all of them in one piece."""
    deleted: list[tuple[str, Version]] = field(default_factory=list)

    def encoded(self) -> bytes:
        """The part as bytes."""
        origins = {origin: n for n, origin in enumerate(self._origins())}
        head = orjson.dumps(
            {
                "ids": self.ids,
                "at": [at for at, _ in self.versions],
                "origin": [origins[origin] for _, origin in self.versions],
                "origins": list(origins),
                "metadata": self.metadata,
                "deleted": [(item, *version) for item, version in self.deleted],
            }
        )
        start = _START.pack(_MAGIC, len(head))
        if isinstance(self.vectors, memoryview):
            return b"".join((start, head, self.vectors))
        return b"".join((start, head, *self.vectors))

    def _origins(self) -> list[str]:
        return sorted({origin for _, origin in self.versions})


def decoded(data: bytes, width: int) -> Part:
    """A part whose vectors have `width` bytes each; raises ValueError for none."""
    try:
        magic, length = _START.unpack_from(data)
        head = orjson.loads(memoryview(data)[_START.size : _START.size + length])
        origins = head["origins"]
        versions = [
            (at, origins[n]) for at, n in zip(head["at"], head["origin"], strict=True)
        ]
        deleted = [(item, (at, origin)) for item, at, origin in head["deleted"]]
        vectors = memoryview(data)[_START.size + length :]
        part = Part(head["ids"], versions, head["metadata"], vectors, deleted)
    except (struct.error, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"not a part: {error!r}") from None
    count = len(part.ids)
    lengths = {count, len(versions), len(part.metadata)}
    if magic != _MAGIC or lengths != {count} or len(vectors) != count * width:
        raise ValueError(
            f"not a part: {count} ids, {len(versions)} versions, {len(part.metadata)} "
            f"metadata, {len(vectors)} bytes of vectors of {width} bytes each"
        )
    return part
