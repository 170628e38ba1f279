"""The ASGI application of an instance: which transport a request is for."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from service.access.context import Context
from service.access.origins import is_preflight
from service.api.dispatch import Api
from service.contract import ServiceError, error_body
from service.contract.openapi import openapi
from service.contract.schema import json_schema
from service.contract.signing import PREFIX
from service.stream.admin import Recent, serve_matches
from service.stream.connections import Connections
from service.stream.health import Health
from service.telemetry import PROMETHEUS_TEXT, log
from service.transport.http import (
    JSON,
    Http,
    Receive,
    Scope,
    Send,
    decoded,
    id_of,
    parent_of,
    refusal_headers,
)
from service.transport.public import Public
from service.transport.push import push
from service.transport.sse import PATH, Events
from service.transport.websocket import WebSocket, refuse

WATCH = "/v1/watch"
PUSH = "/v1/push"
_SOCKETS = (WATCH, "/api/v1/ws")
_PUSHES = (PUSH, "/api/v1/pubsub/vector-updates")


class App:
    """Takes requests apart by their path; operations are `Http`'s."""

    def __init__(
        self, api: Api, health: Health, connections: Connections, recent: Recent
    ) -> None:
        self._api = api
        self._instance = api.instance
        self._health = health
        self._recent = recent
        self._region = api.instance.settings.region.encode()
        self._http = Http(api)
        self._websocket = WebSocket(api, connections, recent)
        self._public = Public(self._http, api.instance).serve
        self.events = Events(api, self._http, connections, recent)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or one WebSocket."""
        if scope["type"] == "http":
            special = self._special(scope)
            if special is None:
                await self._http(scope, receive, send)
            else:
                await self._guarded(special, scope, receive, send)
        elif scope["type"] == "websocket":
            if scope["path"] in _SOCKETS:
                await self._websocket(scope, receive, send)
            else:
                await receive()
                wrong = f"There is no {scope['path'][:200]}: WebSockets open {WATCH}."
                await refuse(scope, send, ServiceError("not_found", wrong))

    def _special(self, scope: Scope) -> Callable[..., Awaitable[None]] | None:
        """What is no operation of the contract's table."""
        method, path = scope["method"], scope["path"]
        if is_preflight(method, scope["headers"]):
            return self._preflight
        if path.startswith("/v1/collections"):
            return None
        if path.startswith(PREFIX):
            return self._public if method == "GET" else None
        if method in ("GET", "POST") and path == PATH:
            return self._follow
        if method == "POST" and path.startswith(PATH + "/"):
            return self._tell
        if method == "POST" and path in _PUSHES:
            return self._push
        if method == "GET" and path in ("/v1/schema", "/v1/openapi.json"):
            return self._published
        if method == "GET" and path == "/admin/matches":
            return self._matches
        if method == "GET" and (path == "/metrics" or path.startswith("/health/")):
            return self._operational
        return None

    async def _guarded(
        self,
        serve: Callable[..., Awaitable[None]],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Serves; a refusal before the answer began is an answer."""
        begun = [False]

        async def observed(message: dict[str, Any]) -> None:
            begun[0] = True
            await send(message)

        request_id = id_of(scope)
        status = 200
        try:
            await serve(scope, receive, observed)
            return
        except ServiceError as error:
            failed = error
        except Exception as error:  # noqa: BLE001 (a fault becomes a 500 with its id)
            log(
                "ERROR",
                "request failed",
                request_id=request_id,
                error=type(error).__name__,
            )
            failed = ServiceError("internal", "The request failed; its id is logged.")
        status = failed.status
        self._instance.metrics.answered("other", status)
        if not begun[0]:
            data = orjson.dumps(error_body(failed, request_id))
            cors = await self._instance.access.cors(scope["headers"])
            extra = [*cors, *refusal_headers(failed)]
            await self._http.answer(send, status, data, request_id, extra)

    async def _preflight(self, scope: Scope, receive: Receive, send: Send) -> None:
        extra = await self._instance.access.preflight(scope["headers"])
        await self._http.answer(send, 204, b"", id_of(scope), extra)

    async def _follow(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.events.serve(scope, receive, send)

    async def _tell(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["path"].removeprefix(PATH + "/")
        answer = await self.events.tell(scope, receive, name)
        await self._http.answer(send, 200, orjson.dumps(answer), id_of(scope), [])

    async def _push(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller, extra = await self._instance.access.identify(scope)
        given = decoded(await self._http.body(scope, receive))
        context = Context(caller=caller, parent=parent_of(scope))
        answer = await push(self._api, given, context)
        await self._http.answer(send, 200, orjson.dumps(answer), id_of(scope), extra)

    async def _published(self, scope: Scope, receive: Receive, send: Send) -> None:
        made = json_schema() if scope["path"] == "/v1/schema" else openapi()
        await self._http.answer(send, 200, orjson.dumps(made), id_of(scope), [])

    async def _matches(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._instance.access.operate(scope)
        await serve_matches(self._recent, receive, send, self._region)

    async def _operational(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/metrics":
            await self._instance.access.measure(scope)
            self._health.export()
            data, status, kind = self._instance.metrics.text(), 200, PROMETHEUS_TEXT
        else:
            status, body = self._health.answer(path.removeprefix("/health/"))
            data, kind = orjson.dumps(body), JSON
        await self._http.answer(send, status, data, id_of(scope), [], kind)
