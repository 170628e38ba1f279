"""Filters on metadata: their grammar, and what they say of one item.

    {"field": "lang", "eq": "de"}            {"field": "lang", "in": ["de", "fr"]}
    {"field": "price", "range": {"gte": 10, "lt": 20}}
    {"field": "author.name", "exists": true}
    {"and": [...]}   {"or": [...]}   {"not": {...}}

A dot leads into nested objects. `eq` and `in` compare texts, numbers, booleans and
null, each only with its own kind; `range` compares numbers. Lists and objects only
exist: no value equals them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.contract.errors import ServiceError

MOST_CONDITIONS = 64
MOST_DEPTH = 8
MOST_VALUES = 256
"""Values of one `in`."""
MISSING = object()
Scalar = str | int | float | bool | None
_BOUNDS: dict[str, Callable[[float, float], bool]] = {
    "gt": lambda v, b: v > b,
    "gte": lambda v, b: v >= b,
    "lt": lambda v, b: v < b,
    "lte": lambda v, b: v <= b,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on one field."""

    field: str
    kind: str
    """`in` (also for `eq`), `range` or `exists`."""
    value: Any
    """Normal values of an `in`, bounds of a `range`, a bool of `exists`."""

    def holds(self, metadata: dict[str, Any]) -> bool:
        """Whether it holds of an item."""
        found = reach(metadata, self.field)
        if self.kind == "exists":
            return (found is not MISSING) is self.value
        if found is MISSING:
            return False
        if self.kind == "in":
            return normal(found) in self.value
        if isinstance(found, bool) or not isinstance(found, int | float):
            return False
        return all(_BOUNDS[name](found, bound) for name, bound in self.value)


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions joined by `and`, `or`, or one under `not`."""

    kind: str
    parts: tuple["Filter", ...]

    def holds(self, metadata: dict[str, Any]) -> bool:
        """Whether it holds of an item."""
        if self.kind == "and":
            return all(p.holds(metadata) for p in self.parts)
        if self.kind == "or":
            return any(p.holds(metadata) for p in self.parts)
        return not self.parts[0].holds(metadata)


Filter = Condition | Group


def normal(value: Any) -> Any:
    """A value as equality sees it; lists and objects equal nothing."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, int | float):
        return ("number", value)
    if isinstance(value, str):
        return ("text", value)
    return ("null", None) if value is None else MISSING


def reach(metadata: dict[str, Any], field: str) -> Any:
    """The value at a dotted path, or `MISSING`."""
    if field in metadata:
        return metadata[field]
    found: Any = metadata
    for part in field.split("."):
        if not isinstance(found, dict) or part not in found:
            return MISSING
        found = found[part]
    return found


def parse_filter(given: Any, where: str = "filter") -> Filter:
    """`given` as a filter; raises ServiceError `bad_filter`."""
    left = [MOST_CONDITIONS]
    return _parse(given, where, MOST_DEPTH, left)


def plain(filter_: Filter) -> dict[str, Any]:
    """A filter as the JSON that makes it."""
    if isinstance(filter_, Group):
        if filter_.kind == "not":
            return {"not": plain(filter_.parts[0])}
        return {filter_.kind: [plain(part) for part in filter_.parts]}
    value: Any = filter_.value
    if filter_.kind == "in":
        value = [v for _, v in sorted(value, key=repr)]
    elif filter_.kind == "range":
        value = dict(value)
    return {"field": filter_.field, filter_.kind: value}


def conditions(filter_: Filter) -> list[Condition]:
    """All conditions of a filter, in their order."""
    if isinstance(filter_, Condition):
        return [filter_]
    return [c for part in filter_.parts for c in conditions(part)]


def _bad(where: str, wrong: str) -> ServiceError:
    return ServiceError(
        "bad_filter",
        f"{where}: {wrong}; allowed: {{field, eq}}, {{field, in}}, {{field, range}}, "
        "{field, exists}, {and: [...]}, {or: [...]}, {not: {...}}.",
    )


def _parse(given: Any, where: str, depth: int, left: list[int]) -> Filter:
    if not isinstance(given, dict):
        raise _bad(where, "it is no JSON object")
    if depth == 0:
        raise _bad(where, f"it is nested deeper than {MOST_DEPTH}")
    left[0] -= 1
    if left[0] < 0:
        raise _bad(where, f"it has more than {MOST_CONDITIONS} parts")
    keys = set(given)
    if keys == {"not"}:
        return Group("not", (_parse(given["not"], f"{where}.not", depth - 1, left),))
    for kind in ("and", "or"):
        if keys == {kind}:
            parts = given[kind]
            if not isinstance(parts, list) or not parts:
                raise _bad(f"{where}.{kind}", "it is no list of filters")
            return Group(
                kind,
                tuple(
                    _parse(p, f"{where}.{kind}[{n}]", depth - 1, left)
                    for n, p in enumerate(parts)
                ),
            )
    return _condition(given, keys, where)


def _condition(given: dict[str, Any], keys: set[str], where: str) -> Condition:
    field = given.get("field")
    if not isinstance(field, str) or not 0 < len(field) <= 256:
        raise _bad(where, "field is no name of 1 to 256 characters")
    if keys == {"field", "eq"}:
        return Condition(field, "in", frozenset({_scalar(given["eq"], f"{where}.eq")}))
    if keys == {"field", "in"}:
        values = given["in"]
        if not isinstance(values, list) or not 0 < len(values) <= MOST_VALUES:
            raise _bad(f"{where}.in", f"it is no list of 1 to {MOST_VALUES} values")
        return Condition(
            field, "in", frozenset(_scalar(v, f"{where}.in") for v in values)
        )
    if keys == {"field", "exists"}:
        if not isinstance(given["exists"], bool):
            raise _bad(f"{where}.exists", "it is neither true nor false")
        return Condition(field, "exists", given["exists"])
    if keys == {"field", "range"}:
        return Condition(field, "range", _bounds(given["range"], f"{where}.range"))
    raise _bad(where, "its keys are not understood")


def _scalar(value: Any, where: str) -> Any:
    found = normal(value)
    if found is MISSING:
        raise _bad(where, "it is no text, number, boolean or null")
    return found


def _bounds(given: Any, where: str) -> tuple[tuple[str, float], ...]:
    if not isinstance(given, dict) or not given or not given.keys() <= _BOUNDS.keys():
        raise _bad(where, "it has other bounds than gt, gte, lt, lte, or none")
    for bound in given.values():
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise _bad(where, "a bound is no number")
    return tuple(sorted(given.items()))
