"""The same questions over every transport: `call` answers or raises `Refused`."""

import asyncio
import base64
import contextlib
import json
from collections import deque
from urllib.parse import quote

import aiohttp
import grpc
import orjson

from service.contract import OPERATIONS
from service.contract.proto import SERVICE, SEVERAL_HEADER, message_class, message_name
from service.contract.proto_json import (
    client_message,
    message_of,
    read_events,
    to_plain,
)


class Refused(Exception):
    def __init__(self, code, message="", details=None):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details or {}


class Http:
    name = "http"

    def __init__(self, region, headers=None):
        self.url = region.url
        self.headers = headers or {}
        self.session = aiohttp.ClientSession(headers=self.headers)

    async def close(self):
        await self.session.close()

    async def call(self, operation, **params):
        found = OPERATIONS[operation]
        path, left = found.path, dict(params)
        for field in ("collection", "id", "name"):
            hole = f"{{{field}}}"
            if hole in path:
                path = path.replace(hole, quote(str(left.pop(field)), safe=""))
        body = orjson.dumps(left, default=_base64) if found.method == "POST" else None
        async with self.session.request(
            found.method, self.url + path, data=body
        ) as answer:
            data = await answer.read()
            plain = json.loads(data)
            if answer.status != 200:
                error = plain["error"]
                raise Refused(error["code"], error["message"], error["details"])
            return plain


class WebSocket:
    """Calls and streams on one WebSocket."""

    name = "websocket"

    def __init__(self, region, headers=None):
        self.url = region.url
        self.session = aiohttp.ClientSession(headers=headers or {})
        self.socket = None
        self.waiting = {}
        self.messages = asyncio.Queue()
        self.count = 0
        self.opening = asyncio.Lock()

    async def open(self):
        async with self.opening:
            if self.socket is None:
                url = self.url.replace("http", "ws", 1) + "/v1/watch"
                self.socket = await self.session.ws_connect(url, max_msg_size=0)
                self.reader = asyncio.create_task(self._read())

    async def _read(self):
        async for message in self.socket:
            plain = json.loads(message.data)
            if plain["type"] == "answer":
                self.waiting.pop(plain["id"]).set_result(plain)
            else:
                await self.messages.put(plain)
        await self.messages.put(None)

    async def close(self):
        if self.socket is not None:
            await self.socket.close()
            self.reader.cancel()
        await self.session.close()

    async def call(self, operation, **params):
        await self.open()
        self.count += 1
        number = str(self.count)
        future = self.waiting[number] = asyncio.get_running_loop().create_future()
        message = {
            "type": "call",
            "id": number,
            "operation": operation,
            "params": params,
        }
        await self.socket.send_bytes(orjson.dumps(message, default=_base64))
        answer = await asyncio.wait_for(future, 30)
        if "error" in answer:
            error = answer["error"]
            raise Refused(error["code"], error["message"], error["details"])
        return answer["result"]

    async def send(self, message):
        await self.open()
        await self.socket.send_bytes(orjson.dumps(message, default=_base64))

    async def receive(self, seconds=20):
        return await asyncio.wait_for(self.messages.get(), seconds)


class Grpc:
    """Calls over gRPC; streams over its bidirectional method."""

    name = "grpc"

    def __init__(self, region, headers=None):
        target = f"127.0.0.1:{region.grpc['port']}"
        options = [("grpc.max_receive_message_length", -1)]
        self.channel = grpc.aio.insecure_channel(target, options=options)
        self.metadata = [(k.lower(), v) for k, v in (headers or {}).items()]
        self.stream = None
        self.held = deque()

    async def close(self):
        if self.stream is not None:
            self.stream.cancel()
        await self.channel.close()

    async def call(self, operation, **params):
        found = OPERATIONS[operation]
        request = message_of(found.request, params)
        answer = message_class(message_name(found.answer))
        method = self.channel.unary_unary(
            f"/{SERVICE}/{found.rpc}",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        try:
            message = await method(request, timeout=30, metadata=self.metadata)
        except grpc.aio.AioRpcError as error:
            trailing = dict(error.trailing_metadata() or ())
            code = trailing.get("meridian-code", error.code().name)
            raise Refused(code, error.details()) from None
        return to_plain(found.answer, message)

    async def send(self, message):
        if self.stream is None:
            method = self.channel.stream_stream(
                f"/{SERVICE}/Watch",
                request_serializer=lambda m: m.SerializeToString(),
                response_deserializer=message_class("ServerMessage").FromString,
            )
            self.stream = method(metadata=[*self.metadata, SEVERAL_HEADER])
        await self.stream.write(client_message(message))

    async def receive(self, seconds=20):
        if not self.held:
            message = await asyncio.wait_for(self.stream.read(), seconds)
            if message is grpc.aio.EOF:
                return None
            self.held.extend(read_events(message))
        return self.held.popleft()


class Events:
    """Streams as server-sent events; what follows the first goes by POST."""

    name = "sse"

    def __init__(self, region, headers=None):
        self.url = region.url
        self.session = aiohttp.ClientSession(headers=headers or {})
        self.answer = None
        self.id = None

    async def close(self):
        if self.answer is not None:
            self.answer.close()
        await self.session.close()

    async def send(self, message):
        if self.answer is None:
            body = dict(message)
            if body["type"] == "watch":
                del body["type"]
            data = orjson.dumps({"streams": [body]}, default=_base64)
            url = f"{self.url}/v1/streams"
            self.answer = await self.session.post(url, data=data)
            if self.answer.status != 200:
                error = (await self.answer.json())["error"]
                raise Refused(error["code"], error["message"])
            self.id = (await self.receive())["session"]
            return
        url = f"{self.url}/v1/streams/{self.id}"
        data = orjson.dumps(message, default=_base64)
        async with self.session.post(url, data=data) as answer:
            assert answer.status == 200, await answer.text()

    async def receive(self, seconds=20):
        async def read():
            event = {}
            async for line in self.answer.content:
                text = line.decode().rstrip("\n")
                if text.startswith("data: "):
                    event["data"] = json.loads(text[6:])
                elif text.startswith("id: "):
                    event["id"] = text[4:]
                elif not text and "data" in event:
                    if "token" in event["data"]:
                        assert event["id"] == event["data"]["token"]
                    return event["data"]
            return None

        with contextlib.suppress(aiohttp.ClientPayloadError):
            return await asyncio.wait_for(read(), seconds)
        return None


def _base64(value):
    return base64.b64encode(value).decode()


UNARY = (Http, WebSocket, Grpc)
STREAMING = (WebSocket, Events, Grpc)
