"""What a snapshot of a collection is: its parts, and how far of the log is in them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from service.log.change import Key, Position, Positions
from service.log.definition import Definition

FORMAT = 1
"""Of manifest and parts. It stands in the name, so that revisions with different ones
keep apart: none reads or overwrites what the other wrote."""
ROOT = f"index/{FORMAT}/"
_MANIFEST = "manifest.json"


class Piece(NamedTuple):
    """A part as the manifest names it."""

    name: str
    """Of the object."""
    sha256: str
    """Of its bytes, hexadecimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A snapshot, complete."""

    tenant: str
    collection: str
    created: int
    """`Definition.at`: a collection made anew under the name is another one."""
    dimension: int
    element: str
    made: int
    """When the database was last seen to be as here, ms since 1970."""
    written: int
    """When the parts were written, ms since 1970."""
    positions: Positions
    """Changes up to here are in it, by origin, of the collection's lane."""
    repaired: int
    """Repairs by comparison with other hubs up to this number are in it."""
    rows: int
    """Items in all parts, tombstones not counted."""
    parts: tuple[Piece, ...]

    def fits(self, definition: Definition) -> bool:
        """Whether it is of this collection, and not of one before it."""
        mine = (self.tenant, self.collection), self.created
        shape = self.dimension, self.element
        return mine == (definition.key, definition.at) and shape == (
            definition.dimension,
            definition.element,
        )

    def text(self) -> bytes:
        """As it is stored."""
        named = {field: getattr(self, field) for field in self.__dataclass_fields__}
        named["positions"] = {origin: [*p] for origin, p in self.positions.items()}
        named["parts"] = [piece._asdict() for piece in self.parts]
        return orjson.dumps(named)

    @classmethod
    def of(cls, text: bytes) -> "Manifest":
        """Raises ValueError for what is none."""
        try:
            given = orjson.loads(text)
            known = {k: v for k, v in given.items() if k in cls.__dataclass_fields__}
            known["positions"] = _positions(given["positions"])
            known["parts"] = tuple(Piece(**piece) for piece in given["parts"])
            return cls(**known)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a manifest: {error!r}") from None


def folder(key: Key) -> str:
    """Start of the names of a collection's objects; its own name would be longer."""
    # A tenant's name holds no zero byte, so that no two keys give one text.
    text = f"{key[0]}\0{key[1]}".encode()
    return f"{ROOT}{hashlib.sha256(text).hexdigest()[:40]}/"


def manifest_name(key: Key) -> str:
    """Name of the object that is replaced by every new snapshot."""
    return folder(key) + _MANIFEST


def part_name(key: Key, written: int, number: int) -> str:
    """Name of a part; `written` as in the manifest, ms."""
    return f"{folder(key)}{written}-{number}.part"


def is_needed(name: str, known: Mapping[str, Manifest | None]) -> bool:
    """Whether an object may still be read, by the manifests of folders that are kept.

    Parts that are newer than the known manifest may be another worker's.
    """
    start, _, rest = name.rpartition("/")
    if f"{start}/" not in known:
        return False
    manifest = known[f"{start}/"]
    written, _, _ = rest.partition("-")
    if manifest is None or not written.isdecimal():
        return True
    return int(written) >= manifest.written


def _positions(given: Mapping[str, Any]) -> Positions:
    return {origin: Position(*pair) for origin, pair in given.items()}
