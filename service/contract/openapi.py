"""OpenAPI 3.1 of the HTTP transport, made from the table of operations."""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from service.contract import fields as f
from service.contract.answers import Item
from service.contract.errors import STATUS
from service.contract.operations import OPERATIONS, Operation
from service.contract.schema import json_schema, reference

PUBLIC = "/v1/public/{owner}/collections/{collection}/items/{id}"
_OF_PUBLIC = (404, 500, 503)
"""Refusals of the one path without a caller."""


@cache
def openapi() -> dict[str, Any]:
    """The document."""
    schemas = json_schema()["$defs"]
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS.values():
        found = paths.setdefault(operation.path, {})
        found[operation.method.lower()] = _operation(operation)
    paths[PUBLIC] = {"get": _public()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Meridian streaming service",
            "version": "1",
            "description": "Vectors, searches and standing queries in every region.",
        },
        "paths": paths,
        "components": {
            "schemas": _moved(schemas),
            "responses": _moved(_refusals()),
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
        "security": [{"key": []}, {"header": []}, {}],
    }


def _operation(operation: Operation) -> dict[str, Any]:
    in_path = re.findall(r"{(\w+)}", operation.path)
    made: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.doc,
        "parameters": [
            _in_path(name, f.ID_PATTERN if name == "id" else f.NAME_PATTERN)
            for name in in_path
        ],
        "responses": {
            "200": _content("The answer.", reference(operation.answer)),
            **_refused(s for s in _statuses() if s not in _not_of(operation)),
        },
    }
    if operation.method == "POST":
        made["requestBody"] = {
            "required": True,
            **_content("", _body(operation, in_path), described=False),
        }
    moved: dict[str, Any] = _moved(made)
    return moved


def _public() -> dict[str, Any]:
    """The one path without a caller; `signing` says what its owner may be."""
    known = {"name": "If-None-Match", "in": "header", "schema": {"type": "string"}}
    made: dict[str, Any] = _moved(
        {
            "operationId": "public_item",
            "summary": "An item of a public collection, or of a signed address.",
            "security": [{}],
            "parameters": [
                _in_path("owner", "^[^/]{1,200}$"),
                _in_path("collection", f.NAME_PATTERN),
                _in_path("id", f.ID_PATTERN),
                known,
            ],
            "responses": {
                "200": _content("The item.", reference(Item)),
                "304": {"description": "The version that is known is still right."},
                **_refused(_OF_PUBLIC),
            },
        }
    )
    return made


def _statuses() -> list[int]:
    return sorted(set(STATUS.values()))


def _not_of(operation: Operation) -> set[int]:
    """Refusals that an operation cannot have: of another method, of a body."""
    return {405} if operation.method == "POST" else {405, 413}


def _refused(statuses: Iterable[int]) -> dict[str, Any]:
    return {str(s): {"$ref": f"#/components/responses/Refused{s}"} for s in statuses}


def _refusals() -> dict[str, Any]:
    """By status: the codes that it comes with."""
    made = {}
    for status in _statuses():
        codes = sorted(code for code, of in STATUS.items() if of == status)
        code = {"properties": {"code": {"enum": codes}}}
        schema = {"allOf": [{"$ref": "#/$defs/Error"}, {"properties": {"error": code}}]}
        made[f"Refused{status}"] = _content(f"Refused: {', '.join(codes)}.", schema)
    return made


def _in_path(name: str, pattern: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": pattern}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _body(operation: Operation, in_path: list[str]) -> Any:
    """The request without what stands in the path."""
    schema = json_schema()["$defs"][operation.request.__name__]
    properties = {k: v for k, v in schema["properties"].items() if k not in in_path}
    required = [k for k in schema["required"] if k not in in_path]
    return {**schema, "properties": properties, "required": required}


def _content(
    description: str, schema: Any, *, described: bool = True
) -> dict[str, Any]:
    shown = {"$ref": schema} if isinstance(schema, str) else schema
    made: dict[str, Any] = {"content": {"application/json": {"schema": shown}}}
    return {"description": description, **made} if described else made


def _moved(value: Any) -> Any:
    """References of the JSON schema as references of this document."""
    if isinstance(value, dict):
        return {k: _moved(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_moved(v) for v in value]
    if isinstance(value, str) and value.startswith("#/$defs/"):
        return value.replace("#/$defs/", "#/components/schemas/")
    return value
