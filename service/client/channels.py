"""A connection for streams: WebSocket, server-sent events or gRPC."""

import asyncio
import base64
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import aiohttp
import orjson

from service.client.carriers import GrpcCarrier, plain
from service.client.errors import ClientError

Json = dict[str, Any]
SILENCE = 40.0
"""Seconds without even a heartbeat after which a connection counts as lost."""
OVER = ("websocket", "sse", "grpc")


class Channel(Protocol):
    """Messages in both directions."""

    async def send(self, message: Json) -> None:
        """Sends a message."""
        ...

    async def receive(self) -> Json | None:
        """The next message; None at the end."""
        ...


@asynccontextmanager
async def open_channel(
    over: str,
    session: aiohttp.ClientSession,
    url: str,
    headers: dict[str, str],
    watches: list[Json],
) -> AsyncIterator[Channel]:
    """A channel on which the streams have been asked for."""
    if over == "sse":
        async with _events(session, url, headers, watches) as channel:
            yield channel
    elif over == "grpc":
        async with _grpc(url, headers) as rpc:
            for watch in watches:
                await rpc.send(watch)
            yield rpc
    else:
        async with _websocket(session, url, headers) as socket:
            for watch in watches:
                await socket.send(watch)
            yield socket


class _WebSocket:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, message: Json) -> None:
        await self._socket.send_bytes(orjson.dumps(message, default=plain))

    async def receive(self) -> Json | None:
        message = await self._socket.receive(SILENCE)
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            return dict(orjson.loads(message.data))
        return None


@asynccontextmanager
async def _websocket(
    session: aiohttp.ClientSession, url: str, headers: dict[str, str]
) -> AsyncIterator[_WebSocket]:
    address = url.replace("http", "ws", 1) + "/v1/watch"
    timeout = aiohttp.ClientWSTimeout(ws_close=2)
    try:
        socket = await session.ws_connect(
            address, max_msg_size=0, timeout=timeout, headers=headers
        )
    except aiohttp.WSServerHandshakeError as error:
        if error.status in (401, 403, 404):
            raise ClientError(error.status, {"message": error.message}) from None
        raise
    async with socket:
        yield _WebSocket(socket)


class _Events:
    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        headers: dict[str, str],
        answer: aiohttp.ClientResponse,
    ) -> None:
        self._session, self._url, self._headers = session, url, headers
        self._answer = answer
        self.name = answer.headers.get("x-meridian-session", "")

    async def send(self, message: Json) -> None:
        """What follows the first request goes by POST to the session."""
        url = f"{self._url}/v1/streams/{self.name}"
        data = orjson.dumps(message, default=plain)
        async with self._session.post(url, data=data, headers=self._headers) as answer:
            if answer.status != 200:
                problem = (await answer.json())["error"]
                raise ClientError(answer.status, problem)

    async def receive(self) -> Json | None:
        while True:
            async with asyncio.timeout(SILENCE):
                line = await self._answer.content.readline()
            if not line:
                return None
            if line.startswith(b"data: "):
                message = orjson.loads(line[6:])
                if message["type"] != "connected":
                    return dict(message)


@asynccontextmanager
async def _events(
    session: aiohttp.ClientSession,
    url: str,
    headers: dict[str, str],
    watches: list[Json],
) -> AsyncIterator[_Events]:
    data = orjson.dumps({"streams": watches}, default=plain)
    # A stream has no end in sight; silence is judged by line.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    async with session.post(
        f"{url}/v1/streams",
        data=data,
        headers=headers | {"content-type": "application/json"},
        timeout=timeout,
        read_bufsize=2**20,
    ) as answer:
        if answer.status != 200:
            problem = dict(orjson.loads(await answer.read())["error"])
            error = ClientError(answer.status, problem)
            if error.again:
                raise ConnectionError(str(error))
            raise error
        yield _Events(session, url, headers, answer)


class _Grpc:
    def __init__(self, call: Any, carrier: GrpcCarrier) -> None:
        self._call = call
        self._carrier = carrier
        self._held: deque[Json] = deque()
        """What came with a message that was read."""

    async def send(self, message: Json) -> None:
        import grpc

        from service.contract import proto_json

        given = {k: _bytes(v) if k == "vector" else v for k, v in message.items()}
        try:
            await self._call.write(proto_json.client_message(given))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The reading side says why.
            return

    async def receive(self) -> Json | None:
        import grpc

        from service.contract import proto_json

        if self._held:
            return self._held.popleft()
        try:
            async with asyncio.timeout(SILENCE):
                message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            problem = self._carrier.refused(error)
            if isinstance(problem, ClientError) and problem.again:
                # An instance that drains or is too busy: the next connection goes on.
                raise ConnectionError(str(problem)) from None
            raise problem from None
        if message is grpc.aio.EOF:
            return None
        self._held.extend(proto_json.read_events(message))
        return self._held.popleft()


@asynccontextmanager
async def _grpc(url: str, headers: dict[str, str]) -> AsyncIterator[_Grpc]:
    from service.contract import proto

    carrier = GrpcCarrier()
    method = carrier.channel(url).stream_stream(
        f"/{proto.SERVICE}/Watch",
        request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=proto.message_class("ServerMessage").FromString,
    )
    metadata = [(k.lower(), v) for k, v in headers.items()]
    call = method(metadata=[*metadata, proto.SEVERAL_HEADER])
    try:
        yield _Grpc(call, carrier)
    finally:
        call.cancel()
        await carrier.close()


def _bytes(vector: Any) -> Any:
    """Base64 is for JSON; protobuf carries the bytes."""
    return base64.b64decode(vector) if isinstance(vector, str) else vector
