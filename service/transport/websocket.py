"""Streams and calls over one WebSocket."""

import asyncio
import contextlib
from typing import Any

import orjson

from service.access.context import Context
from service.api.dispatch import Api
from service.contract import OPERATIONS, ServiceError, error_body, parse
from service.contract.messages import Call
from service.stream.admin import Recent
from service.stream.connections import Connections
from service.stream.session import Session
from service.telemetry import log
from service.tracing import read_parent
from service.transport.frames import EXTENSION, Frames
from service.transport.http import Receive, Scope, Send, id_of

MOST_CALLS = 64
"""Calls of a connection at work; beyond them it is not read."""
_TRY_AGAIN = 1012
_POLICY = 1008


class WebSocket:
    """Serves the connections of an instance."""

    def __init__(self, api: Api, connections: Connections, recent: Recent) -> None:
        self._api = api
        self._connections = connections
        self._recent = recent
        self._region = api.instance.settings.region.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection to its end."""
        await receive()
        instance = self._api.instance
        try:
            caller, extra = await instance.access.identify(scope, ticket=True)
        except ServiceError as error:
            await refuse(scope, send, error)
            return
        if self._connections.draining:
            gone = ServiceError(
                "unavailable", "This instance is going away.", elsewhere=True
            )
            await refuse(scope, send, gone)
            return
        headers = [(b"x-meridian-region", self._region), *extra]
        await send({"type": "websocket.accept", "headers": headers})
        context = Context(caller=caller, request_id=id_of(scope))
        session = Session(instance, self._connections, self._recent, context)
        frames: Frames = scope["extensions"][EXTENSION]
        frames.carry(session)
        session.open()
        try:
            await _read(session, _Calls(self._api, session), receive)
        except asyncio.CancelledError:
            if not session.closing:
                raise
        except Exception as error:  # noqa: BLE001 (told by its kind, never its data)
            log("ERROR", "connection failed", error=type(error).__name__)
        finally:
            session.close()
        with contextlib.suppress(OSError):
            await send({"type": "websocket.close", "code": _TRY_AGAIN})


async def refuse(scope: Scope, send: Send, error: ServiceError) -> None:
    """Answers a handshake with an error's status where the server can, else closes."""
    if "websocket.http.response" in scope.get("extensions", {}):
        data = orjson.dumps(error_body(error, id_of(scope)))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(data)).encode()),
        ]
        await send(
            {
                "type": "websocket.http.response.start",
                "status": error.status,
                "headers": headers,
            }
        )
        await send({"type": "websocket.http.response.body", "body": data})
    else:
        await send({"type": "websocket.close", "code": _POLICY})


async def _read(session: Session, calls: "_Calls", receive: Receive) -> None:
    try:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            data = message.get("text") or message.get("bytes") or ""
            try:
                given = orjson.loads(data)
            except orjson.JSONDecodeError as error:
                wrong = f"The message is no JSON ({error})."
                session.refuse(ServiceError("bad_json", wrong), None)
                continue
            if isinstance(given, dict) and given.get("type") == "call":
                await calls.begin(given)
            else:
                await session.handle(given)
    finally:
        calls.close()


class _Calls:
    """Operations that run side by side on a connection; answers carry their id."""

    def __init__(self, api: Api, session: Session) -> None:
        self._api = api
        self._session = session
        self._free = asyncio.Semaphore(MOST_CALLS)
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self, given: dict[str, Any]) -> None:
        """Starts a call once fewer than the most are at work."""
        await self._free.acquire()
        task = asyncio.create_task(self._run(given))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._free.release()

    def close(self) -> None:
        """The caller is gone: nobody waits for the answers."""
        for task in self._tasks:
            task.cancel()

    async def _run(self, given: dict[str, Any]) -> None:
        call_id = given.get("id")
        name, code = "other", "ok"
        answer: dict[str, Any] = {"type": "answer", "id": call_id}
        try:
            call = parse(Call, given, "message")
            operation = OPERATIONS.get(call.operation)
            if operation is None:
                raise ServiceError(
                    "not_found",
                    f"message.operation: there is no {call.operation!r}; there are "
                    f"{', '.join(OPERATIONS)}.",
                )
            name = operation.name
            context = Context(
                caller=self._session.context.caller,
                parent=read_parent(call.traceparent),
            ).sooner(call.timeout_ms)
            answer["result"] = await self._api.call(
                operation, call.params or {}, context
            )
        except ServiceError as error:
            code = error.code
            answer["error"] = {
                "code": error.code,
                "message": error.message,
                "details": error.details,
            }
        # A client that does not read its answers is not read either.
        while not self._session.has_credit:
            await asyncio.sleep(0.02)
        self._session.queue(answer)
        self._api.instance.metrics.called("websocket", name, code)
