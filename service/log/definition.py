"""What a collection is; one place for the fields of its stored definition."""

from dataclasses import asdict, dataclass

import asyncpg
import numpy
import orjson
from numpy.typing import NDArray

from service.log.change import Key

Floats = NDArray[numpy.float32]
_TYPES = {"f32": "<f4", "f16": "<f2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """What the creator decided; it never changes."""

    dimension: int
    metric: str = "cosine"
    element_type: str = "f32"
    writes: str = "anywhere"
    home: str = ""
    """Hub that takes the writes where `writes` is `home`."""
    durability: str = "zone"
    retention_seconds: int = 0
    """Items older than it are gone; 0 keeps them."""
    public: bool = False
    """Whether anybody may read its items by their addresses."""

    def text(self) -> str:
        """As it is stored."""
        return orjson.dumps(asdict(self)).decode()


@dataclass(frozen=True, slots=True)
class Definition:
    """A collection as a region knows it."""

    tenant: str
    name: str
    lane: int
    at: int
    """Hybrid clock of its creation; what is older belongs to one before it."""
    fields: Fields

    @classmethod
    def of(cls, row: asyncpg.Record) -> "Definition":
        """From a row of the view `collection`; fields of later revisions are left."""
        given = orjson.loads(row["definition"])
        known = {k: v for k, v in given.items() if k in Fields.__dataclass_fields__}
        fields = Fields(**known)
        return cls(row["tenant"], row["name"], row["lane"], row["at"], fields)

    @property
    def key(self) -> Key:
        """Tenant and name."""
        return self.tenant, self.name

    @property
    def dimension(self) -> int:
        """Components of every vector."""
        return self.fields.dimension

    @property
    def metric(self) -> str:
        """How two vectors are scored."""
        return self.fields.metric

    @property
    def element(self) -> str:
        """`f32` or `f16`."""
        return self.fields.element_type

    def oldest(self, now: float) -> int:
        """Version below which an item is gone, at `now` seconds since 1970."""
        kept = self.fields.retention_seconds
        expired = int((now - kept) * 1000) * 1024 if kept else 0
        return max(self.at, expired)

    def stored(self, vector: Floats) -> bytes:
        """The one rounding of a vector: what is kept, copied and scored is this."""
        return vector.astype(_TYPES[self.element], copy=False).tobytes()

    @property
    def width(self) -> int:
        """Bytes of a stored vector."""
        return self.dimension * numpy.dtype(_TYPES[self.element]).itemsize

    def rows(self, stored: bytes | memoryview) -> Floats:
        """Stored vectors one after another as float32 of shape (n, dimension)."""
        flat = numpy.frombuffer(stored, _TYPES[self.element])
        return flat.reshape(-1, self.dimension).astype(numpy.float32, copy=False)

    def vector(self, stored: bytes) -> Floats | None:
        """Stored bytes as float32 of shape (dimension,); None of a wrong length."""
        kind = numpy.dtype(_TYPES[self.element])
        if len(stored) != self.dimension * kind.itemsize:
            return None
        return numpy.frombuffer(stored, kind).astype(numpy.float32, copy=False)
