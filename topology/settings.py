"""Annotations of catalogue keys: what a value may be, and in which unit."""

from dataclasses import MISSING, field
from typing import Any


def setting(
    *,
    default: Any = MISSING,
    minimum: float | None = None,
    maximum: float | None = None,
    pattern: str | None = None,
    hint: str | None = None,
    unit: str | None = None,
    source: str | None = None,
) -> Any:
    """Declare a catalogue key with its range.

    `minimum` and `maximum` are inclusive, `pattern` must match the whole text,
    `hint` says in words what the pattern allows, and `source` names where the limit
    comes from.
    """
    metadata = {
        "minimum": minimum,
        "maximum": maximum,
        "pattern": pattern,
        "hint": hint,
        "unit": unit,
        "source": source,
    }
    kept = {key: value for key, value in metadata.items() if value is not None}
    if default is MISSING:
        return field(metadata=kept)
    return field(default=default, metadata=kept)
