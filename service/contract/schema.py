"""JSON schema (2020-12) of every request, made from the shapes."""

import types
import typing
from dataclasses import MISSING, fields
from typing import Any

from service.contract import shapes
from service.contract.errors import STATUS

REQUESTS = (
    shapes.CreateCollection,
    shapes.Upsert,
    shapes.UpsertItem,
    shapes.Delete,
    shapes.DeleteItem,
    shapes.Search,
    shapes.Embed,
    shapes.Watch,
    shapes.Drop,
    shapes.Ping,
)
_KEYWORDS = ("minimum", "maximum", "pattern", "minLength", "maxLength")
_VECTOR = {
    "oneOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string"}]
}
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


def json_schema() -> dict[str, Any]:
    """The contract as one schema with a `$defs` entry for each request."""
    definitions = {shape.__name__: _object(shape) for shape in REQUESTS}
    definitions["Error"] = _error()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Meridian streaming service",
        "$defs": definitions,
    }


def _object(shape: type[Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(shape)
    properties = {}
    required = []
    for field in fields(shape):
        name = field.name.rstrip("_")
        entry = _value(hints[field.name], field.metadata)
        properties[name] = {"description": field.metadata["doc"], **entry}
        if field.default is MISSING:
            required.append(name)
    made: dict[str, Any] = {
        "type": "object",
        "description": (shape.__doc__ or "").split("\n")[0],
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    if {"vector", "text"} <= properties.keys():
        made["oneOf"] = [{"required": ["vector"]}, {"required": ["text"]}]
    return made


def _value(hint: Any, rules: Any) -> dict[str, Any]:
    if rules.get("vector"):
        return dict(_VECTOR)
    if rules.get("origin"):
        return dict(_ORIGIN)
    if "of" in rules:
        inner = rules["of"]
        item = {"type": "string"} if inner is str else {"$ref": _reference(inner)}
        return {"type": "array", "items": item}
    entry: dict[str, Any] = {"type": _json_type(hint)}
    entry |= {key: rules[key] for key in _KEYWORDS if key in rules}
    if "enum" in rules:
        entry["enum"] = list(rules["enum"])
    return entry


def _reference(shape: type[Any]) -> str:
    return f"#/$defs/{shape.__name__}"


def _json_type(hint: Any) -> str:
    if isinstance(hint, types.UnionType):
        hint = next(a for a in typing.get_args(hint) if a is not type(None))
    hint = typing.get_origin(hint) or hint
    names = {str: "string", int: "integer", float: "number", dict: "object"}
    return names[hint]


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
