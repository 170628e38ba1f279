"""Streams as server-sent events; credit, pauses and marks come by POST."""

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import orjson

from service.access.context import Context
from service.api.dispatch import Api
from service.contract import ServiceError
from service.contract.messages import TYPES
from service.contract.validate import parse
from service.stream.admin import Recent
from service.stream.connections import Connections
from service.stream.session import Session
from service.transport.connection import run
from service.transport.http import Http, Receive, Scope, Send, decoded, id_of
from service.transport.mailbox import Mailbox

PATH = "/v1/streams"
_NUMBERS = ("threshold", "rate_per_hour")
_WHOLE = ("credit", "definition_version", "best", "window_seconds", "lease_seconds")
_TRUTHS = ("persistent", "unfenced")
_JSON = ("filter", "definition")
_OPENING = ("watch", "attach")
"""Messages that may stand in the first request."""


def encode(message: dict[str, Any]) -> bytes:
    """A message as an event; its id is the token that resumes the stream."""
    parts = [b"event: ", message["type"].encode(), b"\n"]
    if "token" in message:
        parts += [b"id: ", message["token"].encode(), b"\n"]
    return b"".join([*parts, b"data: ", orjson.dumps(message), b"\n\n"])


class Events:
    """Serves the event streams of an instance."""

    def __init__(
        self, api: Api, http: Http, connections: Connections, recent: Recent
    ) -> None:
        self._api = api
        self._http = http
        self._connections = connections
        self._recent = recent
        self._mailbox = Mailbox(api.instance)
        self._region = api.instance.settings.region.encode()

    async def close(self) -> None:
        """Ends the mailbox."""
        await self._mailbox.close()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection, or the refusal of its streams."""
        caller, extra = await self._api.instance.access.identify(scope, ticket=True)
        watches = await self._watches(scope, receive)
        if self._connections.draining:
            raise ServiceError(
                "unavailable", "This instance is going away.", elsewhere=True
            )
        context = Context(caller=caller, request_id=id_of(scope))
        session = Session(
            self._api.instance, self._connections, self._recent, context, encode
        )
        name = uuid.uuid4().hex
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"content-type", b"text/event-stream"),
                    (b"cache-control", b"private, no-store"),
                    (b"x-accel-buffering", b"no"),
                    (b"x-meridian-region", self._region),
                    (b"x-meridian-session", name.encode()),
                    *extra,
                ],
            }
        )
        first = {"type": "connected", "session": name}
        await send(_body(b"retry: 1000\n" + encode(first)))
        async with self._mailbox.open(name, caller.tenant, session.handle):
            await run(
                session, _begin(session, watches), _write(session, send), _gone(receive)
            )
        with contextlib.suppress(OSError):
            await send({"type": "http.response.body", "body": b""})

    async def tell(self, scope: Scope, receive: Receive, name: str) -> dict[str, Any]:
        """Hands a message to a session, wherever in the region it runs."""
        caller, _ = await self._api.instance.access.identify(scope)
        await self._api.instance.access.watch(caller)
        given = decoded(await self._http.body(scope, receive))
        if not isinstance(given, dict):
            raise ServiceError("wrong_type", "body: send a JSON object.")
        if not await self._mailbox.send(name, caller.tenant, given):
            raise ServiceError(
                "unknown_stream",
                "No connection of this session is open in "
                f"{self._api.instance.settings.region}.",
            )
        return {"done": True, "region": self._api.instance.settings.region}

    async def _watches(self, scope: Scope, receive: Receive) -> list[dict[str, Any]]:
        if scope["method"] == "POST":
            given = decoded(await self._http.body(scope, receive))
            found = given.get("streams") if isinstance(given, dict) else None
            if not isinstance(found, list) or not found:
                raise ServiceError(
                    "bad_request", "body.streams: send a list of standing queries."
                )
            if not all(isinstance(w, dict) for w in found):
                raise ServiceError("wrong_type", "body.streams: send JSON objects.")
            return [{"type": "watch", **w} for w in found]
        watch = _from_query(scope["query_string"])
        for key, value in scope["headers"]:
            if key == b"last-event-id" and value:
                _resume(watch, value.decode("latin-1"))
        # Refused before the answer begins: afterwards no status can say it.
        if watch["type"] not in _OPENING:
            raise ServiceError(
                "bad_request", f"query.type: allowed are {', '.join(_OPENING)}."
            )
        parse(TYPES[watch["type"]], watch, "query")
        return [watch]


def _resume(watch: dict[str, Any], token: str) -> None:
    """By the id of the last event that the browser saw."""
    if watch["type"] == "attach":
        watch["token"] = token
    else:
        watch["from"] = {"token": token}


def _from_query(query: bytes) -> dict[str, Any]:
    """The one standing query of a GET, for EventSource, which sends no body."""
    given: dict[str, Any] = {"type": "watch", "stream": "stream"}
    try:
        pairs = parse_qsl(query.decode(), max_num_fields=32, strict_parsing=bool(query))
        for key, value in pairs:
            if key == "ticket":
                continue
            given[key] = _read(key)(value)
    except (ValueError, orjson.JSONDecodeError):
        raise ServiceError(
            "bad_request", "The query is not understood: key=value, numbers, JSON."
        ) from None
    return given


def _read(key: str) -> Callable[[str], Any]:
    if key in _NUMBERS:
        return float
    if key in _WHOLE:
        return int
    if key in _JSON:
        return orjson.loads
    if key in _TRUTHS:
        return lambda text: {"true": True, "false": False}.get(text, text)
    if key == "from":
        return lambda text: orjson.loads(text) if text.startswith("{") else text
    return str


def _body(data: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": True}


async def _begin(session: Session, watches: list[dict[str, Any]]) -> None:
    for watch in watches:
        await session.handle(watch)
    await asyncio.Event().wait()


async def _write(session: Session, send: Send) -> None:
    with contextlib.suppress(OSError):
        async for messages in session.outgoing():
            await send(_body(b"".join(messages)))


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
