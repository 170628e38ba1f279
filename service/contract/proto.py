"""The contract as protobuf: descriptors made from the shapes.

Fields are numbered in the order of the shape's fields, which only ever grow at
their end. A connection's messages carry no `type`: which one it is stands in the
envelope's oneof. Metadata, filters and details are JSON texts: what was written is
what is read, with whole numbers whole. Conversions are in `proto_json`.
"""

import types
import typing
from dataclasses import MISSING, fields
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from service.contract.events import KINDS
from service.contract.messages import TYPES
from service.contract.operations import OPERATIONS

PACKAGE = "meridian.v1"
SERVICE = f"{PACKAGE}.Meridian"
_Proto = descriptor_pb2.FieldDescriptorProto
SCALARS = {
    str: (_Proto.TYPE_STRING, "string"),
    int: (_Proto.TYPE_INT64, "int64"),
    float: (_Proto.TYPE_DOUBLE, "double"),
    bool: (_Proto.TYPE_BOOL, "bool"),
}
SEVERAL, SEVERAL_NUMBER = "several", 100
"""The part of a message of the service that holds others; its number stands apart
from those of the kinds, which only grow."""
SEVERAL_HEADER = ("meridian-several", "yes")
"""Metadata by which a call says that it reads them."""
CLIENT_MESSAGES = {k: v for k, v in TYPES.items() if k != "call"}
SERVER_MESSAGES = {k: v for k, v in KINDS.items() if k != "answer"}


class Kind(typing.NamedTuple):
    """How a field travels."""

    what: str
    """`scalar`, `json`, `vector`, `shape`, `map` or `origin`."""
    of: Any
    """Scalar type or shape."""
    repeated: bool
    optional: bool


def kinds(shape: Any) -> dict[str, Kind]:
    """Kind of each field but `type`, in order."""
    hints = typing.get_type_hints(shape)
    found = {}
    for field in fields(shape):
        if field.name != "type":
            optional = field.default is not MISSING
            found[field.name] = _kind(field.metadata, hints[field.name], optional)
    return found


def _kind(rules: Any, hint: Any, optional: bool) -> Kind:
    if rules.get("vector"):
        return Kind("vector", None, False, optional)
    if rules.get("origin"):
        return Kind("origin", None, False, optional)
    if rules.get("json") or rules.get("filter"):
        return Kind("json", None, False, optional)
    if rules.get("map"):
        return Kind("map", None, True, False)
    if "shape" in rules:
        return Kind("shape", rules["shape"], False, optional)
    if "of" in rules:
        of = rules["of"]
        if of in ("vector", "numbers"):
            return Kind("vector", None, True, optional)
        if of is dict:
            return Kind("json", None, True, optional)
        return Kind("scalar" if of in SCALARS else "shape", of, True, optional)
    if isinstance(hint, types.UnionType):
        hint = next(a for a in typing.get_args(hint) if a is not type(None))
    return Kind("scalar", hint, False, optional)


def shapes() -> list[type[Any]]:
    """Every shape of the service, parts before wholes."""
    found: dict[type[Any], None] = {}

    def visit(shape: type[Any]) -> None:
        for kind in kinds(shape).values():
            if kind.what == "shape":
                visit(kind.of)
        found[shape] = None

    for operation in OPERATIONS.values():
        visit(operation.request)
        visit(operation.answer)
    for shape in (*CLIENT_MESSAGES.values(), *SERVER_MESSAGES.values()):
        visit(shape)
    return list(found)


def message_name(shape: type[Any]) -> str:
    """Name of a shape's message; the envelope of events has its own names."""
    return shape.__name__


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(
        name="meridian/v1/meridian.proto", package=PACKAGE, syntax="proto3"
    )
    _vector_message(file)
    _origin_message(file)
    for shape in shapes():
        _shape_message(file, shape)
    _envelope(file, "ClientMessage", CLIENT_MESSAGES)
    _envelope(file, "ServerMessage", SERVER_MESSAGES)
    _several(file)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _vector_message(file: Any) -> None:
    message = file.message_type.add(name="Vector")
    message.field.add(
        name="values", number=1, type=_Proto.TYPE_FLOAT, label=_Proto.LABEL_REPEATED
    )
    message.field.add(
        name="data", number=2, type=_Proto.TYPE_BYTES, label=_Proto.LABEL_OPTIONAL
    )


def _origin_message(file: Any) -> None:
    message = file.message_type.add(name="From")
    message.oneof_decl.add(name="start")
    for number, (name, kind) in enumerate(
        (("token", _Proto.TYPE_STRING), ("seconds", _Proto.TYPE_DOUBLE)), 1
    ):
        message.field.add(
            name=name,
            number=number,
            type=kind,
            label=_Proto.LABEL_OPTIONAL,
            oneof_index=0,
        )


def _shape_message(file: Any, shape: type[Any]) -> None:
    message = file.message_type.add(name=message_name(shape))
    for number, (name, kind) in enumerate(kinds(shape).items(), 1):
        _add_field(message, name.rstrip("_"), number, kind)


def _add_field(message: Any, name: str, number: int, kind: Kind) -> None:
    label = _Proto.LABEL_REPEATED if kind.repeated else _Proto.LABEL_OPTIONAL
    field = message.field.add(name=name, number=number, label=label)
    if kind.what == "scalar":
        field.type = SCALARS[kind.of][0]
    elif kind.what == "json":
        field.type = _Proto.TYPE_STRING
    elif kind.what == "map":
        entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        for n, part in enumerate(("key", "value"), 1):
            entry.field.add(
                name=part,
                number=n,
                type=_Proto.TYPE_STRING,
                label=_Proto.LABEL_OPTIONAL,
            )
        field.type = _Proto.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{message.name}.{entry.name}"
    else:
        names = {"vector": "Vector", "origin": "From"}
        named = names.get(kind.what) or message_name(kind.of)
        field.type = _Proto.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{named}"
    if kind.optional and not kind.repeated and kind.what in ("scalar", "json"):
        field.proto3_optional = True
        field.oneof_index = len(message.oneof_decl)
        message.oneof_decl.add(name=f"_{name}")


def _envelope(file: Any, name: str, parts: dict[str, type[Any]]) -> None:
    message = file.message_type.add(name=name)
    message.oneof_decl.add(name="message")
    for number, (part, shape) in enumerate(parts.items(), 1):
        message.field.add(
            name=part,
            number=number,
            type=_Proto.TYPE_MESSAGE,
            type_name=f".{PACKAGE}.{message_name(shape)}",
            label=_Proto.LABEL_OPTIONAL,
            oneof_index=0,
        )


def _several(file: Any) -> None:
    """Lets a message of the service hold others."""
    inner = file.message_type.add(name="ServerMessages")
    inner.field.add(
        name="messages",
        number=1,
        type=_Proto.TYPE_MESSAGE,
        type_name=f".{PACKAGE}.ServerMessage",
        label=_Proto.LABEL_REPEATED,
    )
    outer = next(m for m in file.message_type if m.name == "ServerMessage")
    outer.field.add(
        name=SEVERAL,
        number=SEVERAL_NUMBER,
        type=_Proto.TYPE_MESSAGE,
        type_name=f".{PACKAGE}.{inner.name}",
        label=_Proto.LABEL_OPTIONAL,
        oneof_index=0,
    )


@cache
def message_class(name: str) -> Any:
    """Class of a message by its name in the package."""
    descriptor = _pool().FindMessageTypeByName(f"{PACKAGE}.{name}")
    return message_factory.GetMessageClass(descriptor)


@cache
def wire_classes() -> tuple[Any, Any]:
    """ServerMessages and ServerMessage with bytes where they hold messages: the same
    on the wire, and what they hold need not be parsed for it."""
    file = descriptor_pb2.FileDescriptorProto(name="wire.proto", syntax="proto3")
    names = (("Inner", "messages", 1), ("Outer", SEVERAL, SEVERAL_NUMBER))
    for name, field, number in names:
        file.message_type.add(name=name).field.add(
            name=field,
            number=number,
            type=_Proto.TYPE_BYTES,
            label=_Proto.LABEL_REPEATED if number == 1 else _Proto.LABEL_OPTIONAL,
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    inner, outer = map(pool.FindMessageTypeByName, ("Inner", "Outer"))
    return message_factory.GetMessageClass(inner), message_factory.GetMessageClass(
        outer
    )
