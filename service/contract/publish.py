"""Writes the contract for readers: `python -m service.contract.publish`.

docs/api/ gets the OpenAPI document, the JSON schema, the .proto file and a reference
page; a test fails when they are not what the shapes make.
"""

import argparse
import inspect
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import orjson

from service.contract import filters, signing
from service.contract.errors import GRPC, STATUS
from service.contract.events import EVENTS
from service.contract.matrix import MATRIX, TRANSPORTS
from service.contract.messages import MESSAGES
from service.contract.openapi import openapi
from service.contract.operations import OPERATIONS, Operation
from service.contract.proto_text import proto_text
from service.contract.schema import json_schema

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "api"


def published() -> dict[str, str]:
    """Text of each file by its name."""
    indent = orjson.OPT_INDENT_2
    return {
        "openapi.json": orjson.dumps(openapi(), option=indent).decode() + "\n",
        "schema.json": orjson.dumps(json_schema(), option=indent).decode() + "\n",
        "meridian.proto": proto_text(),
        "reference.md": reference(),
    }


def reference() -> str:
    """The reference page."""
    parts = [
        "# Interface of the streaming service",
        "Made by `python -m service.contract.publish`; do not edit. The same shapes "
        "are in [openapi.json](openapi.json), [schema.json](schema.json) and "
        "[meridian.proto](meridian.proto).",
        _matrix(),
        "## Filters\n\n```\n" + _grammar() + "\n```",
        "## Operations\n\nNull in a field that is not required says the same as "
        "leaving it out.",
        *map(_operation, OPERATIONS.values()),
        "## Items that caches may keep\n\n" + _addresses(),
        "## Messages of a connection\n\nA client sends these on a WebSocket, in the "
        "body of `POST /v1/streams/{session}`, or in a `ClientMessage`.",
        *map(_shape, MESSAGES),
        "## Events of a connection",
        *map(_shape, EVENTS),
        _errors(),
    ]
    return "\n\n".join(parts) + "\n"


def _matrix() -> str:
    names = list(TRANSPORTS)
    lines = ["## What carries what", ""]
    lines += [f"- **{name}**: {doc}" for name, doc in TRANSPORTS.items()]
    lines += ["", "| | " + " | ".join(names) + " |", "| --- " * (len(names) + 1) + "|"]
    for operation, carried in MATRIX.items():
        cells = ("x" if name in carried else "" for name in names)
        lines.append(f"| `{operation}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _grammar() -> str:
    return (filters.__doc__ or "").split("\n\n", 1)[1].strip()


def _addresses() -> str:
    paths, how = (signing.__doc__ or "").split("\n\n", 1)[1].rsplit("\n\n", 1)
    return f"```\n{inspect.cleandoc(paths)}\n```\n\n{how.strip()}"


def _operation(operation: Operation) -> str:
    return "\n\n".join(
        [
            f"### {operation.name}",
            f"{operation.doc} `{operation.method} {operation.path}`, gRPC "
            f"`{operation.rpc}`; scope `{operation.scope}`"
            + (f", rate of `{operation.group}`." if operation.group else "."),
            "Request:\n\n" + _fields(operation.request),
            "Answer:\n\n" + _fields(operation.answer),
        ]
    )


def _shape(shape: type[Any]) -> str:
    kind = shape.__dataclass_fields__["type"].metadata["enum"][0]
    doc = (shape.__doc__ or "").split("\n")[0]
    return f"### {kind}\n\n{doc}\n\n{_fields(shape)}"


def _fields(shape: type[Any], nested: bool = True) -> str:
    lines = ["| field | | |", "| --- | --- | --- |"]
    for field in fields(shape):
        if field.name != "type":
            need = "required" if field.default is MISSING else _default(field.default)
            doc = field.metadata["doc"] + _limits(field.metadata)
            lines.append(f"| `{field.name.rstrip('_')}` | {need} | {doc} |")
    if len(lines) == 2:
        return "(no fields)"
    parts = [p for f in fields(shape) if (p := _part(f.metadata)) and nested]
    return "\n\n".join(
        ["\n".join(lines), *(f"`{p.__name__}`:\n\n{_fields(p)}" for p in parts)]
    )


def _part(rules: Any) -> Any:
    part = rules.get("shape") or rules.get("of")
    return part if hasattr(part, "__dataclass_fields__") else None


def _default(value: Any) -> str:
    return "optional" if value is None else f"default `{value}`"


def _limits(rules: Any) -> str:
    if "enum" in rules:
        return " One of " + ", ".join(f"`{v}`" for v in rules["enum"]) + "."
    if "minimum" in rules and "maximum" in rules:
        return f" {rules['minimum']:,} to {rules['maximum']:,}."
    return ""


def _errors() -> str:
    lines = ["## Errors", "", "| code | HTTP | gRPC |", "| --- | --- | --- |"]
    lines += [
        f"| `{code}` | {status} | {GRPC[status]} |"
        for code, status in sorted(STATUS.items(), key=lambda e: (e[1], e[0]))
    ]
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    for name, text in published().items():
        (FOLDER / name).write_text(text)
        print(FOLDER / name)


if __name__ == "__main__":
    main()
