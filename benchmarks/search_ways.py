"""How `benchmarks.search` asks over HTTP, WebSocket and gRPC, and the raw servers.

A raw server reads and parses the same message to an array and answers the same bytes,
on the same library with the service's own settings.
"""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any, Protocol

import grpc
import numpy as np
import orjson
from websockets.sync.client import connect

from benchmarks.clone import Json
from benchmarks.wire import Wire, post, serve
from service.contract import proto, proto_json
from service.contract.operations import OPERATIONS
from service.kernel.interface import Floats

COLLECTION, REGION = "search-benchmark", "us-central1"
HITS = 10
SEARCH = OPERATIONS["search"]
METHOD = f"/{proto.SERVICE}/{SEARCH.rpc}"


class Way(Protocol):
    """Prepared requests over one kept connection."""

    name: str
    goal: float
    """Most that the service may cost over raw server and kernel."""
    raw: str
    """Function of this module that serves raw, given a port and the answer's file."""

    def request(self, query: Floats) -> bytes:
        """What `ask` sends for a vector of shape (384,)."""

    def connect(self, port: int) -> None:
        """A connection to a server, instead of the one before."""

    def ask(self, request: bytes) -> bytes:
        """The answer as it arrives."""

    def close(self) -> None:
        """Ends the connection."""


def packed(query: Floats) -> str:
    """Base64 of the f32 of a vector."""
    return base64.b64encode(query.tobytes()).decode()


class Http:
    """POST; vectors as JSON numbers or as base64."""

    goal, raw = 1.5, "serve_http"

    def __init__(self, key: str | None, *, text: bool) -> None:
        self.name = "json" if text else "base64"
        self._key, self._text = key, text
        self._wire: Wire | None = None

    def request(self, query: Floats) -> bytes:
        vector = [float(v) for v in query] if self._text else packed(query)
        body = json.dumps({"vector": vector, "k": HITS}).encode()
        return post(f"/v1/collections/{COLLECTION}:search", body, self._key)

    def connect(self, port: int) -> None:
        self.close()
        self._wire = Wire(port)

    def ask(self, request: bytes) -> bytes:
        assert self._wire
        return self._wire.ask(request)

    def close(self) -> None:
        if self._wire:
            self._wire.close()


class WebSocket:
    """A call on a WebSocket, deflate off; vectors as base64."""

    name, goal, raw = "websocket", 1.5, "serve_websocket"

    def __init__(self, key: str | None) -> None:
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._socket: Any = None

    def request(self, query: Floats) -> bytes:
        params = {"collection": COLLECTION, "vector": packed(query), "k": HITS}
        call = {"type": "call", "id": "1", "operation": "search", "params": params}
        return orjson.dumps(call)

    def connect(self, port: int) -> None:
        self.close()
        self._socket = connect(
            f"ws://127.0.0.1:{port}/v1/watch",
            additional_headers=self._headers,
            compression=None,
        )

    def ask(self, request: bytes) -> bytes:
        self._socket.send(request, text=True)
        while b'"type":"answer"' not in (answer := self._socket.recv(decode=False)):
            pass  # a heartbeat, or what is said at the beginning
        return bytes(answer)

    def close(self) -> None:
        if self._socket:
            self._socket.close()


class Grpc:
    """A unary call; vectors as bytes."""

    name, goal, raw = "grpc", 1.2, "serve_grpc"

    def __init__(self, key: str | None) -> None:
        self._metadata = [] if key is None else [("authorization", f"Bearer {key}")]
        self._channel: grpc.Channel | None = None
        self._call: Any = None

    def request(self, query: Floats) -> bytes:
        plain = {"collection": COLLECTION, "vector": query.tobytes(), "k": HITS}
        data: bytes = proto_json.message_of(SEARCH.request, plain).SerializeToString()
        return data

    def connect(self, port: int) -> None:
        self.close()
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._call = self._channel.unary_unary(METHOD)

    def ask(self, request: bytes) -> bytes:
        answer: bytes = self._call(request, metadata=self._metadata)
        return answer

    def close(self) -> None:
        if self._channel:
            self._channel.close()


def parse(body: bytes) -> None:
    """A JSON request's vector as an array."""
    given = orjson.loads(body)
    vector = given.get("params", given)["vector"]
    if isinstance(vector, str):
        np.frombuffer(base64.b64decode(vector), np.float32)
    else:
        np.asarray(vector, np.float32)


def serve_http(port: int, file: str) -> None:
    """Answers every POST."""
    answer = Path(file).read_bytes()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(answer)).encode()),
        (b"x-meridian-region", REGION.encode()),
        (b"x-request-id", b"0" * 32),
        (b"cache-control", b"private, no-store"),
    ]

    async def application(scope: Json, receive: Any, send: Any) -> None:
        parts, more = [], True
        while more:
            message = await receive()
            parts.append(message["body"])
            more = message.get("more_body", False)
        parse(b"".join(parts))
        start = {"type": "http.response.start", "status": 200, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": answer})

    serve(application, port)


def serve_websocket(port: int, file: str) -> None:
    """Answers every message."""
    answer = Path(file).read_text()

    async def application(scope: Json, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            parse(message.get("text") or message["bytes"])
            await send({"type": "websocket.send", "text": answer})

    serve(application, port)


def serve_grpc(port: int, file: str) -> None:
    """Answers every call."""
    answer = Path(file).read_bytes()
    message = proto.message_class(proto.message_name(SEARCH.request))

    async def search(data: bytes, _: Any) -> bytes:
        np.frombuffer(message.FromString(data).vector.data, np.float32)
        return answer

    async def run() -> None:
        server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(search)
        methods = {SEARCH.rpc: handler}
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(proto.SERVICE, methods),)
        )
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        await server.wait_for_termination()

    asyncio.run(run())
