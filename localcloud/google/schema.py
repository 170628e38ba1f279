"""A JSON body against a schema of a discovery document (pure).

It refuses what Google's own parser refuses: fields that do not exist, values of
another type, words that an enumeration has not. It is as lenient as that parser where
that one is: whole numbers may come as text, fields by their names in the protocol
buffers, enumerations by their number, null stands for nothing.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
SHOWN = 80
"""Longest value in a message, characters."""
LISTED = 12
"""Most allowed names in a message."""
BOUNDS = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
INTEGER = re.compile(r"-?[0-9]{1,40}")
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?|-?Infinity|NaN")
DURATION = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?s")
TIME = re.compile(
    r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\.[0-9]{1,9})?"
    r"(Z|[-+][0-2][0-9]:[0-5][0-9])"
)
DATE = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that Google would refuse in a body."""

    place: str
    """Path of the field: `template.containers[0].image`."""
    given: str
    """What stands there."""
    allowed: str
    """What may stand there."""
    remedy: str
    """What to do."""

    def __str__(self) -> str:
        return f"{self.place} is {self.given}; {self.allowed}: {self.remedy}"


class Opaque:
    """A value that is not known yet, or nobody's business: never judged or shown."""


OPAQUE = Opaque()


def problems(
    schemas: Mapping[str, Json],
    name: str,
    body: Any,
    *,
    besides: frozenset[str] = frozenset(),
) -> list[Problem]:
    """Everything in `body` that the schema `name` has no room for.

    `besides` are fields of the request that may stand beside those of the schema.
    """
    if besides and isinstance(body, dict):
        known = schemas[name].get("properties", {})
        body = {k: v for k, v in body.items() if k in known or k not in besides}
    return list(_judge(schemas, {"$ref": name}, body, ""))


def _judge(
    schemas: Mapping[str, Json], schema: Json, value: Any, place: str
) -> Iterator[Problem]:
    if value is None or isinstance(value, Opaque):
        return
    while "$ref" in schema:
        schema = schemas[schema["$ref"]]
    match schema.get("type"):
        case "object":
            yield from _object(schemas, schema, value, place)
        case "array":
            yield from _array(schemas, schema, value, place)
        case "string" | "integer" | "number" | "boolean":
            yield from _scalar(schema, value, place)


def _object(
    schemas: Mapping[str, Json], schema: Json, value: Any, place: str
) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield _mistyped(place, value, "a block")
        return
    fields = schema.get("properties")
    others = schema.get("additionalProperties")
    if fields is None and others is None:
        return  # google.protobuf.Struct and its like
    for key, inner in value.items():
        where = f"{place}.{key}" if place else key
        known = _field(fields or {}, key) or others
        if known is None:
            yield _unknown(where, key, fields or {})
        else:
            yield from _judge(schemas, known, inner, where)


def _field(fields: Mapping[str, Json], key: str) -> Json | None:
    """A field by its name in JSON or in the protocol buffer."""
    if key in fields or "_" not in key:
        return fields.get(key)
    return fields.get(re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), key))


def _array(
    schemas: Mapping[str, Json], schema: Json, value: Any, place: str
) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield _mistyped(place, value, "a list")
        return
    for number, inner in enumerate(value):
        yield from _judge(schemas, schema["items"], inner, f"{place}[{number}]")


def _scalar(schema: Json, value: Any, place: str) -> Iterator[Problem]:
    words = schema.get("enum")
    if words is not None and schema["type"] == "string":
        yield from _word(words, value, place)
        return
    form = str(schema.get("format", schema["type"]))
    fits, wanted = FORMS.get(form, FORMS[schema["type"]])
    if not fits(value):
        yield _mistyped(place, value, wanted)
    elif form in BOUNDS:
        low, high = BOUNDS[form]
        if not low <= int(value) <= high:
            yield _problem(
                place, value, f"{low} to {high} fit its field", "stay between"
            )
    elif "pattern" in schema and not re.fullmatch(schema["pattern"], value):
        yield _problem(
            place, value, f"it must match {schema['pattern']}", "write it so"
        )


def _word(words: list[str], value: Any, place: str) -> Iterator[Problem]:
    if isinstance(value, str) and (value in words or not value):
        return
    if type(value) is int and value >= 0:
        return  # its number, which the document does not tell
    allowed = [w for w in words if not w.endswith("_UNSPECIFIED")] or words
    if not isinstance(value, str):
        yield _mistyped(place, value, f"one of {_some(allowed, '')}")
        return
    yield _problem(
        place, value, f"allowed are {_some(allowed, value)}", _instead(value, allowed)
    )


def _is_integer(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    if isinstance(value, str):
        return INTEGER.fullmatch(value) is not None
    return type(value) is int


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return NUMBER.fullmatch(value) is not None
    return type(value) in (int, float)


def _is_base64(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    plain = value.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        return False
    return True


def _text(shape: re.Pattern[str]) -> Callable[[Any], bool]:
    """Whether a value is a text of a shape; an empty one is nothing."""

    def fits(value: Any) -> bool:
        return isinstance(value, str) and (
            not value or shape.fullmatch(value) is not None
        )

    return fits


FORMS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "string": (lambda value: isinstance(value, str), "a text"),
    "boolean": (lambda value: isinstance(value, bool), "true or false"),
    "integer": (_is_integer, "a whole number"),
    "number": (_is_number, "a number"),
    "int64": (_is_integer, "a whole number, as a text or as a number"),
    "uint64": (_is_integer, "a whole number, as a text or as a number"),
    "byte": (_is_base64, "bytes in base64"),
    "google-duration": (_text(DURATION), "a duration: digits and an s, such as 30s"),
    "google-datetime": (_text(TIME), "a time such as 2026-11-24T00:00:00Z"),
    "date-time": (_text(TIME), "a time such as 2026-11-24T00:00:00Z"),
    "date": (_text(DATE), "a date such as 2026-11-24"),
}
"""By format, else by type: (whether a value fits, what is wanted)."""


def _unknown(place: str, key: str, fields: Mapping[str, Json]) -> Problem:
    names = sorted(fields)
    return Problem(
        place=place,
        given="given",
        allowed=f"Google has no such field; there are {_some(names, key)}",
        remedy=_instead(key, names),
    )


def _mistyped(place: str, value: Any, wanted: str) -> Problem:
    return _problem(place, value, f"Google wants {wanted}", f"give {wanted}")


def _problem(place: str, value: Any, allowed: str, remedy: str) -> Problem:
    return Problem(place=place, given=shown(value), allowed=allowed, remedy=remedy)


def _some(names: list[str], near: str) -> str:
    """Names to choose from, the likely ones first where there are too many."""
    if len(names) <= LISTED:
        return ", ".join(names)
    first = difflib.get_close_matches(near, names, LISTED, 0.4)
    chosen = (first + [n for n in names if n not in first])[:LISTED]
    return f"{', '.join(chosen)} and {len(names) - len(chosen)} more"


def _instead(given: str, names: list[str]) -> str:
    near = difflib.get_close_matches(given, names, 1, 0.6)
    return f"write {near[0]}" if near else "choose one of them, or leave it out"


def shown(value: Any) -> str:
    """A value as a message carries it; of a block its fields' names alone."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"a block of {', '.join(map(str, value))}" if value else "an empty block"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = " ".join(str(value).split())
    return f'"{text[:SHOWN]}"' if isinstance(value, str) else text
