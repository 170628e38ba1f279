"""Writes and their outcomes as they travel between hubs (ADR 0020).

Plain JSON. A later revision may append to each list; what it appends is not read here.
"""

from collections.abc import Sequence
from typing import Any

import orjson
import pybase64

from service.contract import ServiceError
from service.contract.errors import STATUS
from service.log.change import Position
from service.log.commit import Committed
from service.log.writing import Outcome, Write

COMMIT = "write.commit"
"""Parameters: tenant, collection, clock of its creation, the caller's span or null,
writes. Rows: an outcome each, or a single `refused` of them all."""
HEAD = "write.head"
"""Parameters: tenant, collection, clock of its creation. One row: the `position` that
its lane has reached, or `refused`."""
Row = dict[str, Any]


def packed(write: Write) -> bytes:
    """A write as JSON."""
    vector = write.vector
    return orjson.dumps(
        [
            write.n,
            write.event_id,
            write.item_id,
            write.op,
            None if vector is None else pybase64.b64encode_as_string(vector),
            write.metadata,
            write.if_version,
            write.written,
        ]
    )


def unpacked(given: Sequence[Any]) -> Write:
    """A write from plain JSON; raises ValueError or TypeError of anything else."""
    n, event, item, op, vector, metadata, if_version, written = given[:8]
    if op not in ("upsert", "patch", "delete"):
        raise ValueError(f"there is no write {op!r}")
    return Write(
        n=n,
        event_id=event,
        item_id=item,
        op=op,
        vector=None if vector is None else pybase64.b64decode(vector, validate=True),
        metadata=metadata,
        if_version=if_version,
        written=written,
    )


def answered(outcome: Outcome) -> Row:
    """An outcome as plain JSON."""
    if isinstance(outcome, ServiceError):
        return {"error": refusal(outcome)}
    return {
        "position": [*outcome.position],
        "at": outcome.at,
        "committed": outcome.committed,
        "repeated": outcome.repeated,
    }


def refusal(error: ServiceError) -> Row:
    """An error as plain JSON."""
    return {"code": error.code, "message": error.message, "details": error.details}


def refused(given: Row) -> ServiceError:
    """An error from plain JSON; of a code that is not known here `internal`."""
    code = given["code"] if given["code"] in STATUS else "internal"
    return ServiceError(code, given["message"], details=given["details"])


def outcome_of(row: Row, lane: int) -> Outcome:
    """An outcome from plain JSON."""
    if "error" in row:
        return refused(row["error"])
    position = Position(*row["position"])
    return Committed(lane, position, row["at"], row["committed"], row["repeated"])
