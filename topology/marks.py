"""How much a value is worth, and what a catalogue's comment says of it."""

from dataclasses import dataclass
from enum import StrEnum


class Mark(StrEnum):
    """How much a value is worth."""

    DERIVED = "derived"
    SOURCED = "sourced"
    MEASURED = "measured"
    ASSUMED = "assumed"


@dataclass(frozen=True, kw_only=True)
class Note:
    """What a catalogue's comment says of a key."""

    mark: Mark
    """How much the value is worth."""
    text: str
    """The comment."""
