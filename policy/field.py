"""A value at its path in a resource's inputs.

Rules look at inputs through this alone. It never raises: what has another shape than
expected is absent, and what is not known yet is neither absent nor a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

SHOWN = 80
"""Longest value in a message, characters."""


class Opaque(Enum):
    """Values that a rule cannot read."""

    UNKNOWN = "not known yet"
    """Known only once another resource exists; it may turn out to be nothing."""
    SECRET = "a secret"
    """Given, and never looked at."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong with one resource."""

    place: str
    """Path of the property in the inputs."""
    value: str
    """What it is."""
    limit: str
    """What is allowed, or what it does."""
    remedy: str
    """What to write instead."""


@dataclass(frozen=True)
class Field:
    """A value, and the path that leads to it from the resource's inputs."""

    value: Any
    path: str = ""

    def at(self, path: str) -> Field:
        """The value below a dotted path. A list of one block counts as the block:
        the provider has both forms.
        """
        value = self.value
        for key in path.split("."):
            if isinstance(value, list | tuple) and len(value) == 1:
                value = value[0]
            if isinstance(value, Opaque):
                value = Opaque.UNKNOWN
                break
            value = value.get(key) if isinstance(value, dict) else None
        return Field(value, f"{self.path}.{path}" if self.path else path)

    def each(self, path: str) -> list[Field]:
        """Items of a list, or the one block where one is given; unknown items too."""
        found = self.at(path)
        value = found.value
        if isinstance(value, list | tuple):
            return [Field(v, f"{found.path}[{i}]") for i, v in enumerate(value)]
        return [] if value is None else [found]

    def entries(self, path: str) -> Iterator[tuple[str, Field]]:
        """Keys of a map with their values."""
        found = self.at(path)
        if isinstance(found.value, dict):
            for key, value in found.value.items():
                yield str(key), Field(value, f"{found.path}.{key}")

    def leaves(self) -> Iterator[tuple[str, Field]]:
        """Every value that is no map or list, with the key it stands under."""
        yield from _leaves(self, "")

    @property
    def unknown(self) -> bool:
        """Whether a rule must not judge it: not known yet, or a secret."""
        return isinstance(self.value, Opaque)

    @property
    def absent(self) -> bool:
        """Certainly not given; an empty text or list is given."""
        return self.value is None

    @property
    def given(self) -> bool:
        """Certainly given; a secret is."""
        return self.value is not None and self.value is not Opaque.UNKNOWN

    @property
    def empty(self) -> bool:
        """Absent, or a text, list or map of nothing."""
        return self.value is None or self.value in ("", [], (), {})

    @property
    def number(self) -> float | None:
        """As a number; texts of digits count, truth values do not."""
        value = self.value
        if isinstance(value, bool):
            return None
        if isinstance(value, int | float):
            try:
                made = float(value)
            except OverflowError:
                return None
            return made if made == made and abs(made) != float("inf") else None
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]+)?", value):
            return float(value)
        return None

    @property
    def text(self) -> str | None:
        return self.value if isinstance(self.value, str) else None

    @property
    def seconds(self) -> float | None:
        """A duration such as `3600s` or `0.5s`, in seconds."""
        found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]+)?)s", self.text or "")
        return float(found[1]) if found else None

    def is_(self, wanted: object) -> bool:
        """Whether it is certainly this value."""
        return type(self.value) is type(wanted) and self.value == wanted

    def is_not(self, *wanted: object) -> bool:
        """Whether it is certainly another value, or certainly absent."""
        return not self.unknown and not any(self.is_(value) for value in wanted)

    def outside(self, low: float, high: float) -> bool:
        """Whether it is a number beyond the bounds."""
        number = self.number
        return number is not None and not low <= number <= high

    def fault(self, limit: str, remedy: str, *, value: str | None = None) -> Fault:
        """What is wrong with it."""
        shown = self.shown() if value is None else value
        return Fault(self.path or "inputs", shown, limit, remedy)

    def shown(self) -> str:
        """The value as a message carries it."""
        if self.value is None:
            return "not set"
        if isinstance(self.value, Opaque):
            return self.value.value
        if isinstance(self.value, float) and self.value.is_integer():
            return str(int(self.value))
        if isinstance(self.value, bool):
            return str(self.value).lower()
        text = self.value if isinstance(self.value, str) else _compact(self.value)
        text = " ".join(text.split())
        return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _leaves(field: Field, key: str) -> Iterator[tuple[str, Field]]:
    value = field.value
    if isinstance(value, dict):
        for name, inner in value.items():
            path = f"{field.path}.{name}" if field.path else str(name)
            yield from _leaves(Field(inner, path), str(name))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _leaves(Field(inner, f"{field.path}[{index}]"), key)
    else:
        yield key, field


def _compact(value: Any) -> str:
    """A block without its values: they may be long, or nobody's business."""
    if isinstance(value, dict):
        return f"a block of {', '.join(map(str, value))}" if value else "empty"
    if isinstance(value, list | tuple):
        return f"{len(value)} entries"
    return str(value)
