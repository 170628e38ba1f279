"""JSON schema (2020-12) of every request, answer and message, made from the shapes."""

import types
import typing
from dataclasses import MISSING, fields
from functools import cache
from typing import Any

from service.contract.errors import STATUS
from service.contract.events import EVENTS
from service.contract.messages import MESSAGES
from service.contract.operations import OPERATIONS

_KEYWORDS = ("minimum", "maximum", "pattern", "minLength", "maxLength")
_NUMBERS = {"type": "array", "items": {"type": "number"}}
_VECTOR = {"oneOf": [_NUMBERS, {"type": "string"}]}
_MAP = {"type": "object", "additionalProperties": {"type": "string"}}
_ORIGIN: dict[str, Any] = {
    "oneOf": [
        {"const": "now"},
        {
            "type": "object",
            "properties": {"token": {"type": "string"}},
            "required": ["token"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"seconds": {"type": "number", "minimum": 0}},
            "required": ["seconds"],
            "additionalProperties": False,
        },
    ]
}
_SCALARS = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    dict: "object",
}


def _shapes() -> list[type[Any]]:
    """Every shape once, parts included."""
    found: dict[type[Any], None] = {}

    def visit(shape: type[Any]) -> None:
        found[shape] = None
        for field in fields(shape):
            part = field.metadata.get("shape") or field.metadata.get("of")
            if part is not None and hasattr(part, "__dataclass_fields__"):
                visit(part)

    for operation in OPERATIONS.values():
        visit(operation.request)
        visit(operation.answer)
    for shape in (*MESSAGES, *EVENTS):
        visit(shape)
    return list(found)


@cache
def json_schema() -> dict[str, Any]:
    """The contract as one schema with a `$defs` entry for each shape."""
    definitions = {shape.__name__: _object(shape) for shape in _shapes()}
    definitions["Filter"] = _filter()
    definitions["Error"] = _error()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Meridian streaming service",
        "$defs": definitions,
    }


def reference(shape: type[Any]) -> str:
    """Where a shape's definition is."""
    return f"#/$defs/{shape.__name__}"


def _object(shape: type[Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(shape)
    properties = {}
    required = []
    for field in fields(shape):
        name = field.name.rstrip("_")
        entry = _value(hints[field.name], field.metadata)
        if field.default is MISSING:
            required.append(name)
        else:
            entry = _or_null(entry)
        properties[name] = {"description": field.metadata["doc"], **entry}
    made: dict[str, Any] = {
        "type": "object",
        "description": (shape.__doc__ or "").split("\n")[0],
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    choices = [
        {"oneOf": [_given(name) for name in names]}
        for names in getattr(shape, "CHOICES", ())
    ]
    if choices:
        made["allOf"] = choices
    return made


def _given(name: str) -> dict[str, Any]:
    known = {name: {"not": {"type": "null"}}}
    return {"required": [name], "properties": known}


def _or_null(entry: dict[str, Any]) -> dict[str, Any]:
    """An optional value: null says the same as leaving it out."""
    if "type" not in entry:
        return {"anyOf": [entry, {"type": "null"}]}
    made = {**entry, "type": [entry["type"], "null"]}
    if "enum" in entry:
        made["enum"] = [*entry["enum"], None]
    return made


def _value(hint: Any, rules: Any) -> dict[str, Any]:
    if rules.get("vector"):
        return dict(_VECTOR)
    if rules.get("origin"):
        return dict(_ORIGIN)
    if rules.get("filter"):
        return {"$ref": "#/$defs/Filter"}
    if rules.get("map"):
        return dict(_MAP)
    if "shape" in rules:
        return {"$ref": reference(rules["shape"])}
    if "of" in rules:
        return {"type": "array", "items": _part(rules["of"])}
    entry: dict[str, Any] = {"type": _json_type(hint)}
    entry |= {key: rules[key] for key in _KEYWORDS if key in rules}
    if "enum" in rules:
        entry["enum"] = list(rules["enum"])
    return entry


def _part(of: Any) -> dict[str, Any]:
    if of == "vector":
        return dict(_VECTOR)
    if of == "numbers":
        return dict(_NUMBERS)
    if of in _SCALARS:
        return {"type": _SCALARS[of]}
    return {"$ref": reference(of)}


def _json_type(hint: Any) -> str:
    if isinstance(hint, types.UnionType):
        hint = next(a for a in typing.get_args(hint) if a is not type(None))
    return _SCALARS[typing.get_origin(hint) or hint]


def _filter() -> dict[str, Any]:
    here = {"$ref": "#/$defs/Filter"}
    some = {"type": "array", "items": here, "minItems": 1}
    field = {"type": "string", "minLength": 1, "maxLength": 256}
    scalar = {"type": ["string", "number", "boolean", "null"]}
    bounds = {
        "type": "object",
        "properties": {b: {"type": "number"} for b in ("gt", "gte", "lt", "lte")},
        "additionalProperties": False,
        "minProperties": 1,
    }
    values = {"type": "array", "items": scalar, "minItems": 1, "maxItems": 256}
    tests = {
        "eq": scalar,
        "in": values,
        "range": bounds,
        "exists": {"type": "boolean"},
    }
    forms = [_closed({"field": field, name: test}) for name, test in tests.items()]
    forms += [_closed({"and": some}), _closed({"or": some}), _closed({"not": here})]
    return {"description": "A filter on metadata.", "oneOf": forms}


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _error() -> dict[str, Any]:
    inner = {
        "type": "object",
        "properties": {
            "code": {"enum": sorted(STATUS)},
            "message": {"type": "string"},
            "request_id": {"type": "string"},
            "details": {"type": "object"},
        },
        "required": ["code", "message", "request_id", "details"],
    }
    return {"type": "object", "properties": {"error": inner}, "required": ["error"]}
