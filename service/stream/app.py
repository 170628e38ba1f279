"""HTTP over raw ASGI: routes, bodies, errors, request ids."""

import re
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import orjson

from service.contract import Embed, ServiceError, error_body, parse
from service.contract.schema import json_schema
from service.log.database import GONE
from service.stream.admin import Recent, serve_matches
from service.stream.health import Health
from service.stream.instance import Instance
from service.stream.watch import Connection, Connections
from service.telemetry import log

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Answer = tuple[int, bytes, bytes]
"""Status, content type, body."""

_DATABASE_AWAY = (*GONE, asyncpg.PostgresError)
_JSON = b"application/json"
_REQUEST_ID = re.compile(rb"^[A-Za-z0-9._-]{8,128}$")
_COLLECTION = re.compile(r"^/v1/collections/([^/:]+)(.*)$")


class App:
    """The ASGI application of an instance."""

    def __init__(
        self,
        instance: Instance,
        health: Health,
        connections: Connections,
        recent: Recent,
    ) -> None:
        self._instance = instance
        self._health = health
        self._connections = connections
        self._recent = recent
        self._region = instance.settings.region.encode()
        self._most = instance.settings.limits.max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or one WebSocket."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if scope["path"] != "/v1/watch":
            await send({"type": "websocket.close", "code": 1008})
            return
        connection = Connection(
            self._instance, self._connections, self._recent, receive, send
        )
        await connection.run([(b"x-meridian-region", self._region)])

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        request_id = _request_id(scope)
        if scope["path"] == "/admin/matches" and scope["method"] == "GET":
            await serve_matches(self._recent, receive, send, self._region)
            return
        elsewhere = False
        route = "other"
        try:
            route, work = self._route(scope["method"], scope["path"], request_id)
            body = (
                await self._body(scope, receive) if scope["method"] == "POST" else b""
            )
            status, kind, data = await work(body)
        except ServiceError as error:
            status, kind = error.status, _JSON
            data = orjson.dumps(error_body(error, request_id))
            elsewhere = error.elsewhere
        except _DATABASE_AWAY as error:
            log("WARNING", "database away", request_id=request_id, error=repr(error))
            status, kind, elsewhere = 503, _JSON, True
            away = ServiceError(
                "unavailable", "This region's database is away: try another region."
            )
            data = orjson.dumps(error_body(away, request_id))
        except Exception as error:  # noqa: BLE001 (a fault becomes a 500 with its id)
            log("ERROR", "request failed", request_id=request_id, error=repr(error))
            status, kind = 500, _JSON
            failed = ServiceError("internal", "The request failed; its id is logged.")
            data = orjson.dumps(error_body(failed, request_id))
        headers = [
            (b"content-type", kind),
            (b"content-length", str(len(data)).encode()),
            (b"x-meridian-region", self._region),
            (b"x-request-id", request_id.encode()),
            (b"cache-control", b"private, no-store"),
        ]
        if elsewhere:
            headers.append((b"x-meridian-retry", b"elsewhere"))
        await send(
            {"type": "http.response.start", "status": status, "headers": headers}
        )
        await send({"type": "http.response.body", "body": data})
        metrics = self._instance.metrics
        metrics.http_requests.labels(route, status).inc()
        metrics.http_seconds.labels(route).observe(time.perf_counter() - started)

    def _route(
        self, method: str, path: str, request_id: str
    ) -> tuple[str, Callable[[bytes], Awaitable[Answer]]]:
        """Name and work of a route; raises ServiceError for what is not there."""
        instance = self._instance
        found: dict[str, Callable[[Any], Awaitable[Any]]]
        if matched := _COLLECTION.match(path):
            # uvicorn has decoded the path.
            label, found = self._collection_routes(matched[1], matched[2], request_id)
        elif path == "/v1/collections":
            label = "collections"
            found = {"POST": instance.create, "GET": lambda _: instance.collections()}
        elif path == "/v1/embed":
            label = "embed"
            found = {"POST": lambda b: instance.embed(parse(Embed, b).texts)}
        elif path == "/v1/schema":
            label, found = "schema", {"GET": _schema}
        elif path.startswith("/health/") or path == "/metrics":
            return "health", lambda _: self._operational(path)
        else:
            label, found = "other", {}
        if not found:
            raise ServiceError("not_found", f"There is nothing at {path[:200]}.")
        if method not in found:
            raise ServiceError(
                "method_not_allowed",
                f"{method} {path[:200]}: allowed is {', '.join(found)}.",
            )
        work = found[method]
        return label, lambda body: _answer(work, body, method)

    def _collection_routes(
        self, name: str, rest: str, request_id: str
    ) -> tuple[str, dict[str, Callable[[Any], Awaitable[Any]]]]:
        instance = self._instance
        if rest == ":search":
            return "search", {"POST": lambda b: instance.search(name, b)}
        if rest == "/items:upsert":
            return "upsert", {"POST": lambda b: instance.upsert(name, b, request_id)}
        if rest == "/items:delete":
            return "delete", {"POST": lambda b: instance.delete(name, b, request_id)}
        if rest.startswith("/items/") and len(rest) > len("/items/"):
            item = rest.removeprefix("/items/")
            return "item", {"GET": lambda _: instance.item(name, item)}
        if rest == "":
            return "collection", {"GET": lambda _: instance.describe(name)}
        return "other", {}

    async def _operational(self, path: str) -> Answer:
        if path == "/metrics":
            self._health.export()
            text = b"text/plain; version=0.0.4; charset=utf-8"
            return 200, text, self._instance.metrics.text()
        status, body = self._health.answer(path.removeprefix("/health/"))
        return status, _JSON, orjson.dumps(body)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        for key, value in scope["headers"]:
            if key == b"content-length" and int(value) > self._most:
                raise self._too_large(int(value))
        message = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            chunks = [body]
        else:
            chunks, size = [body], len(body)
            while message.get("more_body"):
                message = await receive()
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > self._most:
                    raise self._too_large(size)
        return b"".join(chunks)

    def _too_large(self, size: int) -> ServiceError:
        return ServiceError(
            "body_too_large",
            f"The body has {size} bytes or more; at most {self._most}: send several.",
            details={"allowed": self._most},
        )


async def _answer(
    work: Callable[[Any], Awaitable[Any]], body: bytes, method: str
) -> Answer:
    given: Any = None
    if method == "POST":
        try:
            given = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ServiceError(
                "bad_json", f"The body is no JSON ({error}): send one JSON object."
            ) from None
    return 200, _JSON, orjson.dumps(await work(given))


async def _schema(_: Any) -> dict[str, Any]:
    return json_schema()


def _request_id(scope: Scope) -> str:
    for key, value in scope["headers"]:
        if key == b"x-request-id" and _REQUEST_ID.match(value):
            return str(value.decode())
    return uuid.uuid4().hex
