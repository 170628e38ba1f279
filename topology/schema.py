"""The JSON schema of catalogues, generated from the records.

`python -m topology.schema` writes it; a test holds it current.
"""

import ast
import inspect
import json
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from functools import cache
from itertools import pairwise
from typing import Any

from topology import facts
from topology.catalogue import Catalogue, RegionSettings
from topology.reader import CATALOGUES, unwrap

PATH = CATALOGUES / "schema.json"
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def schema() -> dict[str, Any]:
    """The schema of a whole catalogue file."""
    blocks: dict[str, Any] = {}
    _collect(Catalogue, blocks)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Meridian catalogue",
        "$defs": blocks,
        **_value(Catalogue),
    }


def text() -> str:
    """The schema as its file has it."""
    return json.dumps(schema(), indent=2, sort_keys=True) + "\n"


def main() -> None:
    """Write the file that editors read."""
    PATH.write_text(text(), encoding="utf-8")


def _collect(kind: type, blocks: dict[str, Any]) -> None:
    """Every record below a record, once, by its name."""
    if kind.__name__ in blocks:
        return
    blocks[kind.__name__] = _record(kind)
    for hint in typing.get_type_hints(kind).values():
        inner, _ = unwrap(hint)
        if typing.get_origin(inner) is Mapping:
            inner = typing.get_args(inner)[1]
        if is_dataclass(inner):
            _collect(typing.cast(type, inner), blocks)


def _record(kind: type) -> dict[str, Any]:
    hints, notes = typing.get_type_hints(kind), notes_of(kind)
    known = fields(typing.cast(Any, kind))
    return {
        "type": "object",
        "description": inspect.getdoc(kind),
        "additionalProperties": False,
        "required": [f.name for f in known if f.default is MISSING],
        "properties": {
            f.name: {
                **_value(hints[f.name]),
                **_range(f),
                "description": notes[f.name],
            }
            for f in known
        },
    }


def _value(hint: Any) -> dict[str, Any]:
    kind, optional = unwrap(hint)
    if typing.get_origin(kind) is Mapping:
        return _mapping(*typing.get_args(kind))
    if is_dataclass(kind):
        name = typing.cast(type, kind).__name__
        return {"$ref": f"#/$defs/{name}"}
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return {"enum": [member.value for member in kind]}
    name = _TYPES[kind]
    return {"type": [name, "null"] if optional else name}


def _mapping(key: Any, value: type) -> dict[str, Any]:
    """Names are closed: roles, or the regions whose facts are known."""
    names = [member.value for member in key] if key is not str else []
    if value is RegionSettings or value is float:
        names = sorted(facts.places())
    if not names:
        return {"type": "object", "additionalProperties": _value(value)}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _value(value) for name in names},
    }


def _range(field: Field[Any]) -> dict[str, Any]:
    """Limits of a value, and its unit where the schema has no word for it."""
    limits = {
        key: field.metadata[key]
        for key in ("minimum", "maximum")
        if key in field.metadata
    }
    if "pattern" in field.metadata:
        limits["pattern"] = f"^({field.metadata['pattern']})$"
    if "unit" in field.metadata:
        limits["x-unit"] = field.metadata["unit"]
    return limits


@cache
def notes_of(kind: type) -> dict[str, str]:
    """The text under each attribute of a class, by attribute."""
    (body,) = ast.parse(inspect.getsource(kind)).body
    notes: dict[str, str] = {}
    statements = typing.cast(ast.ClassDef, body).body
    for statement, follower in pairwise(statements):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(
            follower, ast.Expr
        ):
            continue
        if isinstance(follower.value, ast.Constant):
            target = typing.cast(ast.Name, statement.target)
            notes[target.id] = inspect.cleandoc(str(follower.value.value))
    return notes


if __name__ == "__main__":
    main()
