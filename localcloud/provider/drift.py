"""What a resource is now against what was declared: its inputs as Google has them.

Only what was declared is looked at: a field that the server fills in by itself is no
drift. A declared value whose place in Google's body is not plain is left as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from localcloud.types.base import Json, ResourceType, google_body

Path = tuple[str | int, ...]
ABSENT = object()


def as_found(kind: ResourceType, inputs: Json, body: Json) -> Json:
    """The inputs, with the values that Google's body has now where they differ."""
    found = copy.deepcopy(inputs)
    expected = google_body(kind, inputs)
    if kind.defaults:
        kind.defaults(expected)
    for path in _leaves(inputs):
        place = _place(kind, inputs, path)
        wanted, there = _at(expected, place), _at(body, place)
        if wanted is ABSENT or _same(wanted, there):
            continue
        _put(found, path, None if there is ABSENT else there)
    return found


def _leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if not str(key).startswith("__"):
                yield from _leaves(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _leaves(inner, (*path, number))
    elif value is not None:
        yield path


def _place(kind: ResourceType, inputs: Json, path: Path) -> Path:
    """Where a leaf of the inputs stands in Google's body."""
    place: list[str | int] = []
    pattern, value = "", inputs
    for key in path:
        value = value[key]  # type: ignore[index]
        if isinstance(key, int):
            pattern += "[]"
            place.append(key)
            continue
        pattern = f"{pattern}.{key}" if pattern else key
        place += _renamed(kind, pattern, key)
        if pattern in kind.wrap and not isinstance(value, list):
            place.append(0)
    return tuple(place)


def _renamed(kind: ResourceType, pattern: str, key: str) -> list[str]:
    return kind.rename.get(pattern, kind.rename.get(f"**.{key}", key)).split(".")


def _at(value: Any, path: Path) -> Any:
    for key in path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return ABSENT
    return value


def _put(value: Any, path: Path, leaf: Any) -> None:
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = leaf


def _same(wanted: Any, there: Any) -> bool:
    """Equal, or a reference written shorter or longer: both end alike."""
    if wanted == there or str(wanted) == str(there):
        return True
    both = isinstance(wanted, str) and isinstance(there, str) and "/" in wanted + there
    return both and (there.endswith(wanted) or wanted.endswith(there))
