"""The contract as protobuf: descriptors made from the shapes, and conversions.

Fields are numbered in the order of the shape's fields, which only ever grow at
their end. A connection's messages carry no `type`: which one it is stands in the
envelope's oneof. Metadata, filters and details are JSON texts: what was written is
what is read, with whole numbers whole.
"""

import types
import typing
from collections.abc import Callable, Hashable
from dataclasses import MISSING, fields
from functools import cache
from typing import Any

import orjson
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from service.contract.errors import ServiceError
from service.contract.events import KINDS
from service.contract.messages import TYPES
from service.contract.operations import OPERATIONS

PACKAGE = "meridian.v1"
SERVICE = f"{PACKAGE}.Meridian"
_Proto = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    str: (_Proto.TYPE_STRING, "string"),
    int: (_Proto.TYPE_INT64, "int64"),
    float: (_Proto.TYPE_DOUBLE, "double"),
    bool: (_Proto.TYPE_BOOL, "bool"),
}
_MESSAGES = {k: v for k, v in TYPES.items() if k != "call"}
_EVENTS = {k: v for k, v in KINDS.items() if k != "answer"}


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
        return Kind("scalar" if of in _SCALARS else "shape", of, True, optional)
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
    for shape in (*_MESSAGES.values(), *_EVENTS.values()):
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
    _envelope(file, "ClientMessage", _MESSAGES)
    _envelope(file, "ServerMessage", _EVENTS)
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
        field.type = _SCALARS[kind.of][0]
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


@cache
def message_class(name: str) -> Any:
    """Class of a message by its name in the package."""
    descriptor = _pool().FindMessageTypeByName(f"{PACKAGE}.{name}")
    return message_factory.GetMessageClass(descriptor)


def _json(text: str, where: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ServiceError("bad_json", f"{where} is no JSON text ({error}).") from None


def _origin(message: Any) -> Any:
    which = message.WhichOneof("start")
    return {which: getattr(message, which)} if which else "now"


def _vector(message: Any) -> Any:
    return message.data if message.data else list(message.values)


@cache
def _plan(shape: Hashable) -> dict[str, Kind]:
    return {name.rstrip("_"): kind for name, kind in kinds(shape).items()}


@cache
def _readers(shape: Hashable) -> dict[str, Callable[[Any], Any]]:
    return {name: _reader(kind, name) for name, kind in _plan(shape).items()}


@cache
def _always(shape: Hashable) -> tuple[tuple[str, bool], ...]:
    """Fields that are there though a message does not list them when they are zero."""
    return tuple(
        (name, kind.repeated)
        for name, kind in _plan(shape).items()
        if not kind.optional and (kind.what == "scalar" or kind.repeated)
    )


def to_plain(shape: Any, message: Any) -> dict[str, Any]:
    """A message as the JSON of its shape; what is not set is left out."""
    plans, readers = _plan(shape), _readers(shape)
    plain: dict[str, Any] = {}
    for field, value in message.ListFields():
        name = field.name
        if plans[name].what == "map":
            plain[name] = dict(value)
        elif plans[name].repeated:
            plain[name] = list(map(readers[name], value))
        else:
            plain[name] = readers[name](value)
    for name, repeated in _always(shape):
        if name not in plain:
            plain[name] = [] if repeated else getattr(message, name)
    return plain


def _reader(kind: Kind, name: str) -> Callable[[Any], Any]:
    if kind.what == "vector":
        return _vector
    if kind.what == "origin":
        return _origin
    if kind.what == "json":
        return lambda text: _json(text, name)
    if kind.what == "shape":
        return lambda inner: to_plain(kind.of, inner)
    return lambda value: value


def fill(shape: Any, message: Any, plain: dict[str, Any]) -> Any:
    """Writes the JSON of a shape into a message and returns it."""
    for name, kind in _plan(shape).items():
        value = plain.get(name)
        if value is None:
            continue
        nested = kind.repeated or kind.what in _NESTED
        target: Any = getattr(message, name) if nested else None
        if kind.what == "map":
            target.update(value)
        elif kind.repeated:
            _fill_many(kind, target, value)
        elif kind.what == "shape":
            target.SetInParent()
            fill(kind.of, target, value)
        elif kind.what == "vector":
            _fill_vector(target, value)
        elif kind.what == "origin":
            for key, start in value.items() if isinstance(value, dict) else ():
                setattr(target, key, start)
            target.SetInParent()
        elif kind.what == "json":
            setattr(message, name, _text(value))
        else:
            setattr(message, name, value)
    return message


_NESTED = ("shape", "vector", "origin")


def _fill_many(kind: Kind, target: Any, values: Any) -> None:
    if kind.what == "shape":
        for value in values:
            fill(kind.of, target.add(), value)
    elif kind.what == "vector":
        for value in values:
            _fill_vector(target.add(), value)
    elif kind.what == "json":
        target.extend(_text(v) for v in values)
    else:
        target.extend(values)


def _fill_vector(target: Any, value: Any) -> None:
    if isinstance(value, bytes):
        target.data = value
    else:
        target.values.extend(value)


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()


def read_client_message(message: Any) -> dict[str, Any]:
    """An envelope of a client as the JSON of its message."""
    which = message.WhichOneof("message")
    if which is None:
        raise ServiceError("bad_request", "The message is empty: set one of its parts.")
    return {"type": which, **to_plain(TYPES[which], getattr(message, which))}


def write_event(plain: dict[str, Any]) -> bytes:
    """An event's JSON as the bytes of its envelope."""
    envelope = message_class("ServerMessage")()
    part = getattr(envelope, plain["type"])
    part.SetInParent()
    fill(KINDS[plain["type"]], part, plain)
    data: bytes = envelope.SerializeToString()
    return data
