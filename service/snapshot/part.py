"""Some rows of a collection as bytes.

    4 bytes   b"MDIX"
    4 bytes   length of the head, little-endian
    head      JSON: ids, at, origin (numbers into `origins`), metadata; deleted
    rest      the vectors of the ids one after another, as the collection keeps them

Checksum and format number stand in the manifest.
"""

import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

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
    vectors: bytes | memoryview = b""
    """Of all of them, one after another."""
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
        return b"".join((_START.pack(_MAGIC, len(head)), head, self.vectors))

    def _origins(self) -> list[str]:
        return sorted({origin for _, origin in self.versions})


async def parts_of(
    rows: AsyncIterator[Any], width: int, most_bytes: int
) -> AsyncIterator[Part]:
    """Rows of the table of items in pieces of about `most_bytes` of vectors.

    The last one may be empty. Vectors of another `width` than the collection's are left
    out, as they are everywhere.
    """
    most = max(1, most_bytes // width)
    part, vectors = Part(), list[bytes]()
    async for row in rows:
        version = (row["at"], row["origin"])
        if row["deleted"]:
            part.deleted.append((row["id"], version))
        elif len(row["vector"]) == width:
            part.ids.append(row["id"])
            part.versions.append(version)
            part.metadata.append(row["metadata"])
            vectors.append(row["vector"])
        if len(part.ids) + len(part.deleted) >= most:
            part.vectors = b"".join(vectors)
            yield part
            part, vectors = Part(), []
    part.vectors = b"".join(vectors)
    yield part


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
