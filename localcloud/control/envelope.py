"""Shapes of Google's answers: stored bodies, operations, errors (pure)."""

from __future__ import annotations

import copy
import datetime
import hashlib
from typing import Any

from localcloud.control.store import Json, Row
from localcloud.types.base import Operation, ResourceType

COMPUTE_LINK = "https://www.googleapis.com/"
SQL_LINK = "https://sqladmin.googleapis.com/"


class ApiError(Exception):
    """An error in Google's form."""

    def __init__(self, code: int, status: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.body = {"error": {"code": code, "message": message, "status": status}}


def not_found(message: str) -> ApiError:
    return ApiError(404, "NOT_FOUND", message)


def stored(kind: ResourceType, path: str, body: Json) -> Json:
    """What the server keeps of a request body: names, times, its own defaults."""
    full = copy.deepcopy(body)
    if kind.defaults:
        kind.defaults(full)
    name = path.rsplit("/", 1)[-1]
    match kind.operation:
        case Operation.COMPUTE:
            full["name"] = name
            full.setdefault("id", _number(path))
            full.setdefault("creationTimestamp", now())
            full["kind"] = kind.kind
            full["selfLink"] = f"{COMPUTE_LINK}{path}"
        case Operation.SQL:
            full["name"] = name
            full["kind"] = kind.kind
            full["selfLink"] = f"{SQL_LINK}{path}"
        case _:
            full["name"] = path.split("/", 1)[1]
            full.setdefault("createTime", now())
    return full


def operation_name(kind: ResourceType, path: str, number: str) -> str:
    """Full path of a new operation beside the resource."""
    parts = path.split("/")
    if kind.operation is Operation.LONG_RUNNING and "locations" in parts:
        scope = parts[: parts.index("locations") + 2]
    elif kind.operation is Operation.LONG_RUNNING:
        scope = parts[:1]
    elif "regions" in parts:
        scope = parts[: parts.index("regions") + 2]
    elif "global" in parts:
        scope = parts[: parts.index("global") + 1]
    else:
        scope = parts[: parts.index("projects") + 2]
    return "/".join([*scope, "operations", number])


def key(path: str) -> str:
    """What identifies an operation, whichever way its path is written."""
    return path.rsplit("/", 1)[-1]


def started(kind: ResourceType, row: Row, verb: str, name: str) -> Json:
    """The answer to a change that goes on."""
    number = key(name)
    match kind.operation:
        case Operation.LONG_RUNNING:
            return {
                "name": name.split("/", 1)[1],
                "metadata": _metadata(kind, row, verb),
                "done": False,
            }
        case Operation.SQL:
            target = row.path.rsplit("/", 1)[-1]
            return {
                "kind": "sql#operation",
                "name": number,
                "operationType": _sql_verb(row, verb),
                "status": "PENDING",
                "selfLink": f"{SQL_LINK}{name}",
                "targetId": target,
                "targetLink": f"{SQL_LINK}{row.path}",
                "insertTime": now(),
            }
        case _:
            words = {"create": "insert", "update": "patch"}
            return {
                "kind": "compute#operation",
                "id": str(_number(name)),
                "name": number,
                "operationType": words.get(verb, verb),
                "status": "RUNNING",
                "progress": 0,
                "selfLink": f"{COMPUTE_LINK}{name}",
                "targetLink": f"{COMPUTE_LINK}{row.path}",
                "insertTime": now(),
                "startTime": now(),
            }


def _sql_verb(row: Row, verb: str) -> str:
    replica = verb == "create" and row.body.get("masterInstanceName")
    return "CREATE_REPLICA" if replica else verb.upper()


def finished(body: Json, failure: str | None) -> Json:
    """The operation after its work has ended."""
    done = dict(body)
    if "done" in done:
        done["done"] = True
        if failure:
            done["error"] = {"code": 13, "message": failure}
    else:
        done |= {"status": "DONE", "progress": 100, "endTime": now()}
        if failure:
            errors = [{"code": "INTERNAL_ERROR", "message": failure}]
            done["error"] = {"errors": errors}
    return done


def done(kind: ResourceType, path: str, body: Json) -> Json:
    """An operation that had nothing to do."""
    row = Row(kind.api, path, kind.token, body)
    name = operation_name(kind, path, "noop")
    return finished(started(kind, row, "create", name), None)


def _metadata(kind: ResourceType, row: Row, verb: str) -> Json:
    if kind.kind:
        return {"@type": f"type.googleapis.com/{kind.kind}", **row.body}
    target = row.path.split("/", 1)[1]
    return {"target": target, "verb": verb, "createTime": now()}


def now() -> str:
    """The time as Google writes it."""
    text = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def _number(text: Any) -> str:
    digits = int.from_bytes(hashlib.sha256(str(text).encode()).digest()[:7], "big")
    return str(digits)
