"""Writes that Pub/Sub pushes: a message is a batch, its result is the log."""

import binascii
from typing import Any

import orjson
import pybase64

from service.access.context import Context
from service.api.dispatch import Api
from service.contract import OPERATIONS, ServiceError
from service.telemetry import log

OPERATIONS_PUSHED = ("upsert", "patch", "delete")
_LATER = (
    "unavailable",
    "home_away",
    "overloaded",
    "rate_limited",
    "behind",
    "deadline_exceeded",
)
"""Refusals after which the same message may be stored: Pub/Sub sends it again."""


def read_envelope(given: Any) -> tuple[str, str, dict[str, Any]]:
    """Message id, operation and request of a pushed message.

    The data is the operation's request as JSON; the attribute `operation` names it
    (`upsert` when absent), the attribute `collection` may name the collection.
    """
    message = given.get("message") if isinstance(given, dict) else None
    if not isinstance(message, dict):
        raise ServiceError(
            "bad_request", "body.message is missing: send a Pub/Sub push."
        )
    number = message.get("messageId") or message.get("message_id")
    if not isinstance(number, str) or not 0 < len(number) <= 128:
        raise ServiceError("bad_request", "body.message.messageId is missing.")
    attributes = message.get("attributes") or {}
    if not isinstance(attributes, dict):
        raise ServiceError("wrong_type", "body.message.attributes: send an object.")
    name = attributes.get("operation", "upsert")
    if name not in OPERATIONS_PUSHED:
        raise ServiceError(
            "not_supported",
            f"attribute operation: allowed are {', '.join(OPERATIONS_PUSHED)}.",
        )
    try:
        data = pybase64.b64decode(message.get("data") or "", validate=True)
        request = orjson.loads(data)
    except (binascii.Error, ValueError, TypeError):
        raise ServiceError(
            "bad_json", "body.message.data is no base64 of a JSON object."
        ) from None
    if not isinstance(request, dict):
        raise ServiceError("wrong_type", "body.message.data: send a JSON object.")
    if "collection" in attributes:
        request.setdefault("collection", attributes["collection"])
    return number, str(name), request


async def push(api: Api, given: Any, context: Context) -> dict[str, Any]:
    """Stores a pushed batch; raises ServiceError only for what may succeed later.

    What never can is logged with the message's id and acknowledged: it would come
    back for ever. Its items have event ids by the message, so one that is delivered
    twice is stored once.
    """
    number, name, request = read_envelope(given)
    context = Context(
        caller=context.caller,
        request_id=f"push-{number}",
        deadline=context.deadline,
    )
    try:
        answer = await api.call(OPERATIONS[name], request, context)
    except ServiceError as error:
        if error.code in _LATER or error.status in (401, 403):
            raise
        log("ERROR", "pushed message refused", push=number, code=error.code)
        return {"stored": 0, "refused": error.code}
    results = answer["results"]
    refused = [r["error"]["code"] for r in results if "error" in r]
    if any(code in _LATER for code in refused):
        raise ServiceError(
            "unavailable", "Some items were not stored: the message comes again."
        )
    if refused:
        log("ERROR", "pushed items refused", push=number, codes=sorted(set(refused)))
    return {"stored": answer["stored"], "refused": ",".join(sorted(set(refused)))}
