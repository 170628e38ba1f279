"""What changes between two sets of inputs, and whether it replaces (pure)."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from localcloud.types.base import Json, ResourceType, short_hash

DEFAULTS = "__defaults"
"""Inputs that the provider chose itself, as Google's own provider records them."""


class Kind(StrEnum):
    ADD = "add"
    DELETE = "delete"
    UPDATE = "update"


@dataclass(frozen=True)
class Change:
    """One property that differs."""

    path: str
    """As the engine writes it: `template.containers[0].image`."""
    kind: Kind
    replaces: bool


def changes(kind: ResourceType, old: Json, new: Json) -> list[Change]:
    """Every difference, deepest path first named, sorted by path."""
    found = []
    for path, how in _walk(_public(old), _public(new), ""):
        plain = re.sub(r"\[[^\]]*\]", "[]", path)
        before, after = old.get(plain), new.get(plain)
        if plain in kind.ignore_removed and _only_less(before, after):
            continue
        grown = plain in kind.widens and _contains(after, before)
        released = plain in kind.releases and not after
        replaces = _under(plain, kind.replace) and not grown and not released
        found.append(Change(path, how, replaces))
    return sorted(found, key=lambda change: change.path)


def named(kind: ResourceType, urn: str, old: Json | None, new: Json) -> Json:
    """The inputs with a name, for types whose name the provider draws.

    The name is a function of URN and inputs, so that an interrupted `up` finds what it
    made when it runs again.
    """
    if not kind.autoname or kind.id_input in new:
        return new
    key = kind.id_input
    if old and key in old.get(DEFAULTS, ()):
        name = old[key]
    else:
        logical = urn.rsplit("::", 1)[-1].lower()
        name = f"{logical[:50]}-{short_hash(urn, sorted(map(str, new.items())))}"
    return {**new, key: name, DEFAULTS: [key]}


def delete_before_replace(kind: ResourceType, new: Json) -> bool:
    """Two resources of one fixed name cannot stand side by side."""
    chosen = kind.id_input in new.get(DEFAULTS, ())
    return not chosen and kind.auto_id is None and kind.id_input in new


def _contains(wide: Any, narrow: Any) -> bool:
    """Whether one address range holds another; unknown ones do not."""
    try:
        return ipaddress.IPv4Network(narrow).subnet_of(ipaddress.IPv4Network(wide))
    except ValueError:
        return False


def _only_less(old: Any, new: Any) -> bool:
    """Whether one JSON text is the other without some keys."""
    try:
        return _covers(json.loads(old), json.loads(new))
    except (TypeError, ValueError):
        return False


def _covers(old: Any, new: Any) -> bool:
    if isinstance(old, dict) and isinstance(new, dict):
        return all(k in old and _covers(old[k], v) for k, v in new.items())
    if isinstance(old, list) and isinstance(new, list):
        same = len(old) == len(new)
        return same and all(map(_covers, old, new))
    return bool(old == new)


def _public(inputs: Json) -> Json:
    return {k: v for k, v in inputs.items() if k != DEFAULTS}


def _under(path: str, roots: Iterable[str]) -> bool:
    return any(path == r or path.startswith((f"{r}.", f"{r}[")) for r in roots)


def _walk(old: Any, new: Any, path: str) -> Iterator[tuple[str, Kind]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            where = f"{path}.{key}" if path else key
            yield from _member(old, new, key, where)
    elif isinstance(old, list) and isinstance(new, list):
        left, right = dict(enumerate(old)), dict(enumerate(new))
        for index in range(max(len(old), len(new))):
            yield from _member(left, right, index, f"{path}[{index}]")
    elif old != new:
        yield path, Kind.UPDATE


def _member(old: Any, new: Any, key: Any, where: str) -> Iterator[tuple[str, Kind]]:
    if key not in old:
        yield where, Kind.ADD
    elif key not in new:
        yield where, Kind.DELETE
    else:
        yield from _walk(old[key], new[key], where)
