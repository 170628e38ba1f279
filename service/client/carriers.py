"""How a call travels: HTTP, WebSocket or gRPC. Each raises `ClientError` or `AWAY`."""

import asyncio
import base64
import itertools
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
import orjson

from service.client.errors import ClientError
from service.contract.errors import STATUS
from service.contract.operations import Operation

AWAY = (aiohttp.ClientError, OSError, asyncio.TimeoutError)
"""Nobody answered; the request may have been done all the same."""


class Carrier(Protocol):
    """Carries calls to one address after another."""

    async def call(
        self,
        url: str,
        operation: Operation,
        params: dict[str, Any],
        headers: dict[str, str],
        seconds: float,
    ) -> dict[str, Any]:
        """The answer within so many seconds."""
        ...

    async def close(self) -> None:
        """Closes the connections."""
        ...


class Sessions:
    """One aiohttp session, made at its first use."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session."""
        if self._session is None:
            # Streams and the WebSockets of calls come on top of the pool's slots.
            connector = aiohttp.TCPConnector(limit=0, limit_per_host=0)
            self._session = aiohttp.ClientSession(
                connector=connector, json_serialize=lambda v: orjson.dumps(v).decode()
            )
        return self._session

    async def close(self) -> None:
        """Closes it."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class HttpCarrier:
    """A request for each call."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def close(self) -> None:
        """The session belongs to the client."""

    async def call(
        self,
        url: str,
        operation: Operation,
        params: dict[str, Any],
        headers: dict[str, str],
        seconds: float,
    ) -> dict[str, Any]:
        """The answer within so many seconds."""
        path, body = place(operation, params)
        sent = headers | {"x-meridian-timeout-ms": str(max(1, int(seconds * 1000)))}
        data = None
        if operation.method == "POST":
            data = orjson.dumps(body, default=plain)
            sent["content-type"] = "application/json"
        async with self._sessions.session.request(
            operation.method,
            url + path,
            data=data,
            headers=sent,
            timeout=aiohttp.ClientTimeout(total=seconds),
        ) as answer:
            text = await answer.read()
            if answer.status == 200:
                return dict(orjson.loads(text))
            raise ClientError(answer.status, _error(text))


class WebSocketCarrier:
    """Many calls side by side on one connection to each address."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._open: dict[str, _Socket] = {}
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Closes the connections."""
        for socket in list(self._open.values()):
            await socket.close()
        self._open.clear()

    async def call(
        self,
        url: str,
        operation: Operation,
        params: dict[str, Any],
        headers: dict[str, str],
        seconds: float,
    ) -> dict[str, Any]:
        """The answer within so many seconds."""
        async with asyncio.timeout(seconds):
            async with self._opening:
                socket = self._open.get(url)
                if socket is None or socket.closed:
                    socket = _Socket(await self._connect(url, headers))
                    self._open[url] = socket
            around: dict[str, Any] = {"timeout_ms": max(1, int(seconds * 1000))}
            parent = headers.get("traceparent")
            around |= {"traceparent": parent} if parent else {}
            return await socket.call(operation.name, params, around)

    async def _connect(
        self, url: str, headers: dict[str, str]
    ) -> aiohttp.ClientWebSocketResponse:
        address = url.replace("http", "ws", 1) + "/v1/watch"
        try:
            return await self._sessions.session.ws_connect(
                address, max_msg_size=0, headers=headers
            )
        except aiohttp.WSServerHandshakeError as error:
            raise ClientError(error.status, {"message": str(error.message)}) from None


class _Socket:
    """One connection; answers find their calls by id."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count()
        self._reader = asyncio.create_task(self._read())

    @property
    def closed(self) -> bool:
        """Whether no answer can come any more."""
        return self._socket.closed or self._reader.done()

    async def close(self) -> None:
        """Ends it; calls that wait fail."""
        await self._socket.close()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def call(
        self, operation: str, params: dict[str, Any], around: dict[str, Any]
    ) -> dict[str, Any]:
        """One call and its answer; `around` is said besides the operation."""
        number = str(next(self._numbers))
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        message = {
            "type": "call",
            "id": number,
            "operation": operation,
            "params": params,
            **around,
        }
        try:
            await self._socket.send_bytes(orjson.dumps(message, default=plain))
            answer = await future
        finally:
            self._waiting.pop(number, None)
        if "error" in answer:
            code = answer["error"].get("code", "internal")
            raise ClientError(STATUS.get(code, 500), answer["error"])
        return dict(answer["result"])

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                plain_ = orjson.loads(message.data)
                future = self._waiting.get(plain_.get("id", ""))
                if plain_["type"] == "goaway":
                    # No call begins here any more; those under way are answered.
                    self._closing = asyncio.create_task(self._leave())
                elif future is not None and not future.done():
                    future.set_result(plain_)
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(ConnectionError("the connection was closed"))

    async def _leave(self) -> None:
        while self._waiting:
            await asyncio.sleep(0.01)
        await self._socket.close()


class GrpcCarrier:
    """Unary calls on one channel to each address; needs grpcio and protobuf."""

    def __init__(self) -> None:
        import grpc

        self._grpc = grpc
        self._channels: dict[str, Any] = {}

    async def close(self) -> None:
        """Closes the channels."""
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    def channel(self, url: str) -> Any:
        """The channel of an address: encrypted for `https`; a path is not used."""
        if url not in self._channels:
            scheme, _, rest = url.rpartition("://")
            target = rest.partition("/")[0]
            options = [
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
            ]
            self._channels[url] = (
                self._grpc.aio.secure_channel(
                    target, self._grpc.ssl_channel_credentials(), options
                )
                if scheme == "https"
                else self._grpc.aio.insecure_channel(target, options)
            )
        return self._channels[url]

    async def call(
        self,
        url: str,
        operation: Operation,
        params: dict[str, Any],
        headers: dict[str, str],
        seconds: float,
    ) -> dict[str, Any]:
        """The answer within so many seconds."""
        from service.contract import proto, proto_json

        request = proto_json.message_of(operation.request, params)
        answer = proto.message_class(proto.message_name(operation.answer))
        method = self.channel(url).unary_unary(
            f"/{proto.SERVICE}/{operation.rpc}",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        metadata = [(k.lower(), v) for k, v in headers.items()]
        try:
            message = await method(request, timeout=seconds, metadata=metadata)
        except self._grpc.aio.AioRpcError as error:
            raise self.refused(error) from None
        return proto_json.to_plain(operation.answer, message)

    def refused(self, error: Any) -> Exception:
        """A gRPC status as the contract's error, or that nobody answered."""
        trailing = dict(error.trailing_metadata() or ())
        code = trailing.get("meridian-code")
        if code is None:
            return ConnectionError(f"{error.code().name}: {error.details()}")
        problem: dict[str, Any] = {
            "code": code,
            "message": error.details(),
            "request_id": trailing.get("x-request-id", ""),
        }
        if "retry-after-ms" in trailing:
            problem["details"] = {"retry_after": int(trailing["retry-after-ms"]) / 1000}
        return ClientError(STATUS.get(code, 500), problem)


def place(operation: Operation, params: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Path and body of an operation over HTTP."""
    path, body = operation.path, dict(params)
    for name in ("collection", "id", "name"):
        hole = f"{{{name}}}"
        if hole in path:
            path = path.replace(hole, quote(str(body.pop(name)), safe=""))
    return path, body


def plain(value: Any) -> Any:
    """Bytes as base64, other sequences as lists."""
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    return list(value)


def _error(text: bytes) -> dict[str, Any]:
    try:
        return dict(orjson.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return {"message": text[:200].decode(errors="replace")}
