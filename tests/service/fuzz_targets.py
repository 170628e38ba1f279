"""What the coverage-guided fuzzer drives: every pure reader of what comes in.

A target takes bytes and returns; a reader may refuse with ServiceError (or what it
declares) and with nothing else. Whatever a reader takes must come back unchanged where
there is a writer of it.
"""

import base64
import contextlib
import random
import struct
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import orjson
from google.protobuf.message import DecodeError

from service.contract import (
    OPERATIONS,
    ServiceError,
    parse,
    parse_filter,
    parse_metadata,
    parse_vector,
)
from service.contract.filters import plain
from service.contract.messages import TYPES
from service.contract.proto import message_class, message_name
from service.contract.proto_json import message_of, read_client_message, to_plain
from service.contract.requests import DeleteItem, PatchItem, UpsertItem
from service.contract.signing import (
    PREFIX,
    Address,
    public_path,
    read_address,
    split_key,
)
from service.log.change import Change, decode, encode
from service.log.patch import merged
from service.stream.token import read_token, write_token
from service.transport.push import read_envelope
from service.transport.routes import Routes
from tests.service.fuzz_inputs import Inputs

Target = Callable[[bytes], None]
_ITEMS = (UpsertItem, PatchItem, DeleteItem)
_REQUESTS = [*(o.request for o in OPERATIONS.values()), *_ITEMS]
_ROUTES = Routes()


def _json(data: bytes) -> Any:
    """The JSON of some bytes; raises ServiceError as the transports do."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        raise ServiceError("bad_json", "no JSON") from None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


class FromBytes(random.Random):
    """Draws what bytes say, and zeros after them: coverage guides what is drawn."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._data, self._at = data, 0

    def getrandbits(self, k: int) -> int:
        size = (k + 7) // 8
        taken = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(taken, "little") & ((1 << k) - 1)

    def random(self) -> float:
        return self.getrandbits(16) / 65536


def _inputs(data: bytes) -> Inputs:
    made = Inputs(0)
    made.random = FromBytes(data)
    return made


def request(data: bytes) -> None:
    """A request that is nearly right, of a shape that the first byte names."""
    if data:
        shape = _REQUESTS[data[0] % len(_REQUESTS)]
        parse(shape, _inputs(data[1:]).request(shape))


def message(data: bytes) -> None:
    """A message of a connection that is nearly right."""
    _parse_message(_inputs(data).message())


def json(data: bytes) -> None:
    """Bytes as they come: a body of the shape that the first one names, a message."""
    if not data:
        return
    given = _json(data[1:])
    with contextlib.suppress(ServiceError):
        _parse_message(given)
    parse(_REQUESTS[data[0] % len(_REQUESTS)], given)


def _parse_message(given: Any) -> None:
    kind = given.get("type") if isinstance(given, dict) else None
    if not isinstance(kind, str) or kind not in TYPES:
        raise ServiceError("bad_request", "no type")
    made = parse(TYPES[kind], given, "message")
    if kind == "call" and made.operation in OPERATIONS:
        parse(OPERATIONS[made.operation].request, made.params or {}, "params")


def filter_(data: bytes) -> None:
    """A filter; what it says as JSON is the same filter, and it judges anything."""
    given = _json(data) if data[:1] == b"{" else _inputs(data).filter()
    made = parse_filter(given)
    assert parse_filter(plain(made)) == made
    for metadata in ({}, {"a": 1}, {"a": {"b": [None]}}, {"a": True, "b": "x"}):
        assert made.holds(metadata) in (True, False)


def vector(data: bytes) -> None:
    """The first byte says dimension and element; numbers, base64 or bytes follow."""
    if not data:
        return
    dimension, element = 1 + data[0] % 8, ("f32", "f16")[data[0] >> 7]
    body = data[1:]
    given = body if data[0] & 64 else _text(body)
    if isinstance(given, str) and given.startswith("["):
        given = _json(body)
    made = parse_vector(given, dimension, element=element)
    assert made.shape == (dimension,) and made.dtype == "float32"
    same = parse_vector(made.tolist(), dimension, element=element)
    assert same.tobytes() == made.tobytes()


def metadata(data: bytes) -> None:
    """Metadata, and a patch of it."""
    given = _json(data)
    if isinstance(given, dict):
        text = parse_metadata(given, 4096, "metadata")
        assert isinstance(orjson.loads(merged(text, given)), dict)


def token(data: bytes) -> None:
    """A resume token; what was read is written and read alike."""
    text = _text(data)
    if data[:1] == b"[":
        text = base64.urlsafe_b64encode(data).decode()
    made = read_token(text, 3)
    again = write_token(made.lane, made.positions, made.definition_version)
    assert read_token(again, 3) == made


def protobuf(data: bytes) -> None:
    """The first byte names a message; what it carries is parsed as its JSON is."""
    if not data:
        return
    number = data[0] % (len(_REQUESTS) + 1)
    with contextlib.suppress(DecodeError):
        if number == len(_REQUESTS):
            made = message_class("ClientMessage").FromString(data[1:])
            given = read_client_message(made)
            parse(TYPES[given["type"]], given, "message")
            return
        shape = _REQUESTS[number]
        kind = message_class(message_name(shape))
        given = to_plain(shape, kind.FromString(data[1:]))
        parse(shape, given)
        again = kind.FromString(message_of(shape, given).SerializeToString())
        assert repr(to_plain(shape, again)) == repr(given)


def address(data: bytes) -> None:
    """A path of an item for caches, and the text of a key."""
    text = _text(data)
    split_key(text)
    for path in (text, f"{PREFIX}{text}/collections/c/items/i"):
        found = read_address(path)
        if found is not None:
            assert not found.signed_by("0" * 64)
            return
    other = read_address(f"{PREFIX}default/collections/c/items/{text}")
    if other is None:
        raise ServiceError("not_found", "no address")
    assert other == Address("default", "c", text)
    assert unquote(public_path("default", "c", text)).endswith(f"/{text}")


def route(data: bytes) -> None:
    """A method and a path."""
    method, _, path = _text(data).partition(" ")
    _ROUTES.find(method, path)


def pushed(data: bytes) -> None:
    """A message that Pub/Sub pushes."""
    read_envelope(_json(data))


def frame(data: bytes) -> None:
    """A frame of changes; it comes from a peer or from Redis, never from a caller."""
    try:
        made = decode(data)
        written = encode(made)
    except FRAMES as error:
        raise ServiceError("bad_request", "no frame") from error
    assert decode(written) == made


FRAMES = (ValueError, struct.error, TypeError, IndexError)
"""What bytes that are no frame raise: who reads them treats all alike."""
TARGETS: dict[str, Target] = {
    "request": request,
    "message": message,
    "json": json,
    "filter": filter_,
    "vector": vector,
    "metadata": metadata,
    "token": token,
    "protobuf": protobuf,
    "address": address,
    "route": route,
    "push": pushed,
    "frame": frame,
}
"""By name."""


def drive(target: Target, data: bytes) -> bool:
    """Whether a target took an input; raises what no reader may raise."""
    try:
        target(data)
    except ServiceError:
        return False
    return True


def seeds(name: str) -> list[bytes]:
    """Inputs to begin with, each near to what a target takes."""
    return _SEEDS[name]


_FRAME = Change(
    "a", 0, 1, 2, "e", "t", "c", "i", "upsert", b"\0" * 4, "{}", 5, "r", 6, 7
)
_WATCH = {
    "type": "watch",
    "stream": "s",
    "collection": "c",
    "vector": [1],
    "threshold": 1,
}
_CALL = {
    "type": "call",
    "id": "1",
    "operation": "search",
    "params": {"collection": "c"},
}
_PUSH = {
    "message": {"messageId": "m", "data": "e30=", "attributes": {"operation": "patch"}}
}
_SEEDS: dict[str, list[bytes]] = {
    "request": [bytes([n]) + bytes(range(200)) for n in range(len(_REQUESTS))],
    "message": [bytes([n]) + bytes(range(200)) for n in range(0, 256, 16)],
    "json": [
        b"\0" + orjson.dumps(_WATCH),
        b"\0" + orjson.dumps(_CALL),
        b'\0{"name":"c","dimension":3}',
        b'\x05{"collection":"c","items":[{"id":"a"}]}',
    ],
    "filter": [
        b'{"field":"a","eq":1}',
        b'{"and":[{"field":"a","range":{"gt":1}},{"not":{"field":"b","in":["x",null]}}]}',
    ],
    "vector": [b"\x01[1,2.5]", b"\x40" + bytes(4), b"\x81AAAAAA=="],
    "metadata": [b'{"a":{"b":null},"c":[1]}'],
    "token": [
        write_token(3, {}, 1).encode(),
        b'[1,3,{"a":[1,2]},1]',
        b'[1,3,{"a":5},"x"]',
    ],
    "protobuf": [bytes([n]) + b"\x0a\x01c" for n in range(0, len(_REQUESTS) + 1, 5)],
    "address": [
        b"/v1/public/~" + b"a" * 12 + b".1." + b"s" * 43 + b"/collections/c/items/i"
    ],
    "route": [b"GET /v1/collections/c/items/i", b"POST /v1/keys:list"],
    "push": [orjson.dumps(_PUSH)],
    "frame": [encode([_FRAME]), encode([])],
}
