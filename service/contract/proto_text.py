"""The contract as a .proto file."""

from dataclasses import fields
from typing import Any

from service.contract import proto
from service.contract.operations import OPERATIONS

_HEAD = f"""// Made by `python -m service.contract.publish`; do not edit.
// Metadata, filters and details are JSON texts.
syntax = "proto3";

package {proto.PACKAGE};

// Numbers, or `data`: little-endian float32 or float16 (by its length).
message Vector {{
  repeated float values = 1;
  bytes data = 2;
}}

// Where a stream starts; unset: now.
message From {{
  oneof start {{
    string token = 1;
    double seconds = 2;
  }}
}}
"""
_SEVERAL = f"    ServerMessages {proto.SEVERAL} = {proto.SEVERAL_NUMBER};"
_MESSAGES = f"""// What came together, in order; sent only to calls with the metadata
// `{": ".join(proto.SEVERAL_HEADER)}`.
message ServerMessages {{
  repeated ServerMessage messages = 1;
}}
"""


def proto_text() -> str:
    """The file."""
    parts = [_HEAD, _service()]
    parts += [_message(shape) for shape in proto.shapes()]
    parts += [
        _envelope("ClientMessage", proto.CLIENT_MESSAGES),
        _envelope("ServerMessage", proto.SERVER_MESSAGES, _SEVERAL),
        _MESSAGES,
    ]
    return "\n".join(parts)


def _service() -> str:
    lines = ["service Meridian {"]
    for operation in OPERATIONS.values():
        request = proto.message_name(operation.request)
        answer = proto.message_name(operation.answer)
        lines.append(f"  // {operation.doc}")
        lines.append(f"  rpc {operation.rpc}({request}) returns ({answer});")
    lines += [
        "  // Many streams on one connection; both sides talk at any time.",
        "  rpc Watch(stream ClientMessage) returns (stream ServerMessage);",
        "  // One stream on a connection of its own.",
        "  rpc Follow(Watch) returns (stream ServerMessage);",
    ]
    return "\n".join([*lines, "}", ""])


def _message(shape: type[Any]) -> str:
    documented = {f.name: f.metadata["doc"] for f in fields(shape)}
    lines = [f"// {(shape.__doc__ or '').splitlines()[0]}"]
    lines.append(f"message {proto.message_name(shape)} {{")
    for number, (name, kind) in enumerate(proto.kinds(shape).items(), 1):
        lines.append(f"  // {documented[name]}")
        lines.append(f"  {_type(kind)} {name.rstrip('_')} = {number};")
    return "\n".join([*lines, "}", ""])


def _type(kind: proto.Kind) -> str:
    if kind.what == "map":
        return "map<string, string>"
    fixed = {"json": "string", "vector": "Vector", "origin": "From"}
    if kind.what == "scalar":
        named = proto.SCALARS[kind.of][1]
    else:
        named = fixed.get(kind.what) or proto.message_name(kind.of)
    if kind.repeated:
        return f"repeated {named}"
    presence = kind.optional and kind.what in ("scalar", "json")
    return f"optional {named}" if presence else named


def _envelope(name: str, parts: dict[str, type[Any]], more: str = "") -> str:
    lines = [f"message {name} {{", "  oneof message {"]
    for number, (part, shape) in enumerate(parts.items(), 1):
        lines.append(f"    {proto.message_name(shape)} {part} = {number};")
    return "\n".join([*lines, *([more] if more else []), "  }", "}", ""])
