"""The contract over gRPC: unary operations, and streams in both directions."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from service.access.context import Context
from service.api.dispatch import Api
from service.contract import OPERATIONS, Operation, ServiceError
from service.contract.errors import GRPC
from service.contract.messages import Watch
from service.contract.proto import SERVICE, SEVERAL_HEADER, message_class, message_name
from service.contract.proto_json import (
    message_of,
    read_client_message,
    to_plain,
    write_event,
    write_several,
)
from service.stream.admin import Recent
from service.stream.connections import Connections
from service.stream.session import Session
from service.transport.connection import run
from service.transport.http import id_of, parent_of

Headers = list[tuple[bytes, bytes]]
CODES = {status: grpc.StatusCode[name] for status, name in GRPC.items()}


class Rpc:
    """Serves the service's methods on a grpc.aio server."""

    def __init__(self, api: Api, connections: Connections, recent: Recent) -> None:
        self._api = api
        self._instance = api.instance
        self._connections = connections
        self._recent = recent

    def handlers(self) -> grpc.GenericRpcHandler:
        """What `add_generic_rpc_handlers` takes."""
        methods = {o.rpc: self._unary(o) for o in OPERATIONS.values()}
        methods["Watch"] = grpc.stream_stream_rpc_method_handler(self._watch)
        methods["Follow"] = grpc.unary_stream_rpc_method_handler(self._follow)
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def _unary(self, operation: Operation) -> grpc.RpcMethodHandler:
        request = message_class(message_name(operation.request))

        async def serve(data: bytes, call: Any) -> bytes:
            code, headers = "ok", _headers(call)
            request_id = _request_id(headers)
            try:
                context = await self._context(call, headers, request_id)
                given = to_plain(operation.request, _parsed(request, data))
                made = await self._api.call(operation, given, context)
                told: bytes = message_of(operation.answer, made).SerializeToString()
                return told
            except ServiceError as error:
                code = error.code
                await _abort(call, error, request_id)
                raise AssertionError("abort raises") from None
            finally:
                self._instance.metrics.called("grpc", operation.name, code)

        return grpc.unary_unary_rpc_method_handler(serve)

    async def _context(self, call: Any, headers: Headers, request_id: str) -> Context:
        scope = {
            "headers": headers,
            "query_string": b"",
            "client": (_peer(call.peer()), 0),
        }
        caller, _ = await self._instance.access.identify(scope, ticket=False)
        left = call.time_remaining()
        deadline = None if left is None else time.monotonic() + left
        return Context(
            caller=caller,
            request_id=request_id,
            deadline=deadline,
            parent=parent_of(scope),
        )

    async def _session(self, call: Any, headers: Headers, request_id: str) -> Session:
        context = await self._context(call, headers, request_id)
        if self._connections.draining:
            raise ServiceError(
                "unavailable", "This instance is going away.", elsewhere=True
            )
        return Session(
            self._instance, self._connections, self._recent, context, write_event
        )

    async def _watch(self, requests: AsyncIterator[Any], call: Any) -> None:
        """Many streams on one connection."""
        headers = _headers(call)
        request_id = _request_id(headers)
        try:
            session = await self._session(call, headers, request_id)
        except ServiceError as error:
            await _abort(call, error, request_id)
            return
        await run(session, _write(session, call), _read(session, requests))

    async def _follow(self, data: bytes, call: Any) -> None:
        """One stream on a connection of its own; a refusal of it ends the call."""
        headers = _headers(call)
        request_id = _request_id(headers)
        try:
            session = await self._session(call, headers, request_id)
            message = _parsed(message_class("Watch"), data)
            given = {"type": "watch", **to_plain(Watch, message)}
            given.setdefault("stream", "stream")
        except ServiceError as error:
            await _abort(call, error, request_id)
            return

        async def begin() -> None:
            await session.handle(given)
            if not session.streams:
                session.closing = True
            await asyncio.Event().wait()

        await run(session, _write(session, call), begin())


def _parsed(kind: Any, data: bytes) -> Any:
    """A message from its bytes.

    Parsed here and not by grpc, which answers INTERNAL to what it cannot read.
    """
    try:
        return kind.FromString(data)
    except DecodeError:
        raise ServiceError(
            "bad_request", f"The message is no {kind.DESCRIPTOR.full_name}."
        ) from None


async def _read(session: Session, requests: AsyncIterator[bytes]) -> None:
    async for data in requests:
        try:
            message = _parsed(message_class("ClientMessage"), data)
            given = read_client_message(message)
        except ServiceError as error:
            session.refuse(error, None)
            continue
        await session.handle(given)


async def _write(session: Session, call: Any) -> None:
    together = SEVERAL_HEADER in (call.invocation_metadata() or ())
    with contextlib.suppress(grpc.aio.AbortError, asyncio.InvalidStateError):
        async for messages in session.outgoing():
            # A write of grpc costs more than all else that is done for a match.
            several = together and len(messages) > 1
            for data in [write_several(messages)] if several else messages:
                await call.write(data)


def _headers(call: Any) -> Headers:
    given = call.invocation_metadata() or ()
    return [(name.encode(), _bytes(value)) for name, value in given]


def _request_id(headers: Headers) -> str:
    return id_of({"headers": headers})


async def _abort(call: Any, error: ServiceError, request_id: str) -> Any:
    """Ends a call with the contract's code beside gRPC's."""
    trailing = [("meridian-code", error.code), ("x-request-id", request_id)]
    if error.retry_after is not None:
        trailing.append(("retry-after-ms", str(int(error.retry_after * 1000))))
    if error.elsewhere:
        trailing.append(("meridian-retry", "elsewhere"))
    await call.abort(CODES[error.status], error.message, tuple(trailing))


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1", "replace")


def _peer(text: str) -> str:
    """`ipv4:1.2.3.4:567` or `ipv6:[::1]:567` without kind and port."""
    address = text.partition(":")[2].rpartition(":")[0]
    return address.strip("[]")


def serve(handlers: grpc.GenericRpcHandler, address: str, most_bytes: int) -> Any:
    """A server that is not started; `address` is host:port."""
    server = grpc.aio.server(
        options=(
            ("grpc.max_receive_message_length", most_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        )
    )
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port(address)
    if not port:
        raise OSError(f"{address} cannot be listened on")
    return server
