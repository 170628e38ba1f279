"""Requests and answers over HTTP on raw ASGI: bodies, errors, headers."""

import random
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from service.access.context import Context
from service.access.gate import CHALLENGE
from service.api.dispatch import Api
from service.contract import ServiceError, error_body
from service.telemetry import log
from service.tracing import Place, read_parent
from service.transport.routes import Routes

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON = b"application/json"
_REQUEST_ID = re.compile(rb"^[A-Za-z0-9._-]{8,128}$")
_BODIES = ("POST", "PUT", "PATCH")


class Http:
    """One request at a time: who asks, what, and the answer."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._instance = api.instance
        self._routes = Routes()
        self._region = api.instance.settings.region.encode()
        self._most = api.instance.settings.limits.max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        started = time.perf_counter()
        request_id = id_of(scope)
        label = "other"
        extra: list[Header] = []
        try:
            route = self._routes.find(scope["method"], scope["path"])
            label = route.operation.name
            caller, extra = await self._instance.access.identify(scope)
            context = Context(
                caller=caller,
                request_id=request_id,
                deadline=deadline_of(scope),
                parent=parent_of(scope),
            )
            given: Any = {}
            if scope["method"] in _BODIES:
                given = decoded(await self.body(scope, receive))
            if route.fields and isinstance(given, dict):
                given = joined(given, route.fields)
            answer = await self._api.call(route.operation, given, context)
            status, data = 200, orjson.dumps(answer)
        except ServiceError as error:
            status, data = error.status, orjson.dumps(error_body(error, request_id))
            extra = extra or await self._instance.access.cors(scope["headers"])
            extra = [*extra, *refusal_headers(error)]
        except Exception as error:  # noqa: BLE001 (a fault becomes a 500 with its id)
            log(
                "ERROR",
                "request failed",
                request_id=request_id,
                error=type(error).__name__,
            )
            failed = ServiceError("internal", "The request failed; its id is logged.")
            status, data = 500, orjson.dumps(error_body(failed, request_id))
        await self.answer(send, status, data, request_id, extra)
        took = time.perf_counter() - started
        self._instance.metrics.answered(label, status, took)

    async def answer(
        self,
        send: Send,
        status: int,
        data: bytes,
        request_id: str,
        extra: list[Header],
        kind: bytes = JSON,
    ) -> None:
        """Sends an answer; no cache keeps it unless `extra` says how."""
        headers = [
            (b"content-type", kind),
            (b"content-length", str(len(data)).encode()),
            (b"x-meridian-region", self._region),
            (b"x-request-id", request_id.encode()),
            *extra,
        ]
        if not any(name == b"cache-control" for name, _ in extra):
            headers.append((b"cache-control", b"private, no-store"))
        await send(
            {"type": "http.response.start", "status": status, "headers": headers}
        )
        await send({"type": "http.response.body", "body": data})

    async def body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body; raises ServiceError when it is too large or breaks off."""
        for key, value in scope["headers"]:
            if key == b"content-length" and value.isdigit() and int(value) > self._most:
                raise self._too_large(int(value))
        chunks, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ServiceError("bad_request", "The body broke off.")
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self._most:
                raise self._too_large(size)
            if not message.get("more_body"):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _too_large(self, size: int) -> ServiceError:
        return ServiceError(
            "body_too_large",
            f"The body has {size} bytes or more; at most {self._most}: send several.",
            details={"allowed": self._most},
        )


def decoded(body: bytes) -> Any:
    """A body as JSON; raises ServiceError `bad_json`."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ServiceError(
            "bad_json", f"The body is no JSON ({error}): send one JSON object."
        ) from None


def joined(given: dict[str, Any], fields: dict[str, str]) -> dict[str, Any]:
    """A request with what stands in the path; both must not differ."""
    for key, value in fields.items():
        if key in given and given[key] != value:
            raise ServiceError(
                "bad_request",
                f"body.{key} differs from the one in the path: leave it out.",
                details={"key": key},
            )
    return {**given, **fields}


def refusal_headers(error: ServiceError) -> list[Header]:
    """Headers that an error adds."""
    headers = []
    if error.elsewhere:
        headers.append((b"x-meridian-retry", b"elsewhere"))
    if error.retry_after is not None:
        # Whole seconds, at least one: that is all the header can say.
        headers.append(
            (b"retry-after", str(max(1, int(error.retry_after + 0.999))).encode())
        )
    if error.status == 401:
        headers.append(CHALLENGE)
    return headers


def deadline_of(scope: Scope) -> float | None:
    """When the caller stops waiting, by `x-meridian-timeout-ms`."""
    for key, value in scope["headers"]:
        if key == b"x-meridian-timeout-ms":
            if not value.isdigit() or not 0 < len(value) <= 9:
                raise ServiceError(
                    "out_of_range",
                    "x-meridian-timeout-ms is no number of milliseconds.",
                )
            return time.monotonic() + int(value) / 1000
    return None


def parent_of(scope: Scope) -> Place | None:
    """The caller's span, by `traceparent`."""
    for key, value in scope["headers"]:
        if key == b"traceparent":
            return read_parent(value.decode("latin-1"))
    return None


def id_of(scope: Scope) -> str:
    """The request's id: the given one where it is sound, else a new one."""
    for key, value in scope["headers"]:
        if key == b"x-request-id" and _REQUEST_ID.match(value):
            return str(value.decode())
    return f"{random.getrandbits(128):032x}"
