"""Writes at the hub that takes them: patches are merged, all else is committed as is.

Instances of the hub execute with it what they are asked, and the hub's worker what
instances of other hubs send (ADR 0020), so both judge alike.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from service.contract import ServiceError, parse_metadata
from service.log.commit import Committed, Committer, Pending, PrimaryAway
from service.log.database import GONE
from service.log.definition import Definition
from service.log.patch import merged
from service.log.reader import Reader
from service.tracing import Place, current

_ATTEMPTS = 5
"""Times a patch is tried again whose item was changed under it."""
Outcome = Committed | ServiceError
"""What became of a write."""


@dataclass(slots=True, kw_only=True)
class Write:
    """One item's write, checked and rounded; its hub has yet to judge it."""

    n: int
    """Its number in the request."""
    event_id: str
    item_id: str
    op: str
    """`upsert`, `patch` or `delete`."""
    vector: bytes | None = None
    """Of an upsert: rounded, in the collection's element type."""
    metadata: str = "{}"
    """JSON text; of a patch what is merged into the item's."""
    if_version: int | None = None
    written: int = field(default_factory=lambda: int(time.time() * 1000))
    """When it was received, milliseconds since 1970."""


class Writing:
    """Writes into one hub's primary."""

    def __init__(
        self, hub: str, committer: Committer, reader: Reader, most_metadata: int
    ) -> None:
        self._hub = hub
        self._committer = committer
        self._reader = reader
        self._most_metadata = most_metadata
        """Bytes of an item's metadata after a patch."""

    async def run(
        self,
        definition: Definition,
        writes: Sequence[Write],
        question: str | None = None,
        request: Place | None = None,
    ) -> list[Outcome]:
        """Outcomes in the order of the writes.

        Of a `question`, which may come twice, what is refused stays refused.
        Raises ServiceError `overloaded` and PrimaryAway when nothing was tried.
        """
        asked = (question, request or current())
        outcomes: dict[int, Outcome] = {}
        left = list(range(len(writes)))
        for attempt in range(1, _ATTEMPTS + 1):
            some, last = [writes[n] for n in left], attempt == _ATTEMPTS
            try:
                done = await self._try(definition, some, last, *asked)
            except ServiceError as error:
                if attempt == 1:
                    raise
                done = [error] * len(left)
            outcomes |= zip(left, done, strict=True)
            left = [n for n in left if _lost(writes[n], outcomes[n])]
            if not left:
                break
        return [outcomes[n] for n in range(len(writes))]

    async def _try(
        self,
        definition: Definition,
        writes: list[Write],
        last: bool,
        question: str | None,
        request: Place | None,
    ) -> list[Outcome]:
        rows = await self._rows(definition, writes)
        prepared: list[tuple[Pending, ServiceError | None]] = []
        for write in writes:
            problem = None
            try:
                pending = self._pending(definition, write, rows)
            except ServiceError as error:
                pending, problem = self._probe(definition, write), error
            pending.request = request
            if write.op == "patch" or write.if_version is not None:
                pending.question = question
            # A patch that somebody overtakes is tried again, unless it has a condition.
            again = write.if_version is None and problem is None and not last
            pending.final = not again
            prepared.append((pending, problem))
        self._committer.submit([pending for pending, _ in prepared])
        await _settled([pending.done for pending, _ in prepared])
        return [_outcome(pending, problem) for pending, problem in prepared]

    async def _rows(
        self, definition: Definition, writes: list[Write]
    ) -> dict[str, Any]:
        """Items that patches change, as the primary has them."""
        ids = [w.item_id for w in writes if w.op == "patch"]
        if not ids:
            return {}
        try:
            return await self._reader.some(definition, ids)
        except GONE as error:
            raise PrimaryAway(self._hub, type(error).__name__) from None

    def _pending(
        self, definition: Definition, write: Write, rows: dict[str, Any]
    ) -> Pending:
        op, vector, metadata = write.op, write.vector, write.metadata
        condition = write.if_version
        if op == "patch":
            row = rows.get(write.item_id)
            if row is None:
                raise _no_item(definition, write.item_id)
            text = merged(row["metadata"], orjson.loads(metadata))
            where = f"body.items[{write.n}].metadata"
            metadata = parse_metadata(orjson.loads(text), self._most_metadata, where)
            op, vector = "upsert", row["vector"]
            condition = row["at"] if condition is None else condition
        return Pending(
            write.event_id,
            definition.name,
            write.item_id,
            op,
            vector,
            metadata,
            written=write.written,
            tenant=definition.tenant,
            if_version=condition,
            durability=definition.fields.durability,
        )

    def _probe(self, definition: Definition, write: Write) -> Pending:
        """Stores nothing, for no item has version -1; answered with the change that
        the event made, where a patch that cannot be done any more was done before."""
        return Pending(
            write.event_id,
            definition.name,
            write.item_id,
            "upsert",
            None,
            "{}",
            tenant=definition.tenant,
            if_version=-1,
            durability=definition.fields.durability,
        )


async def _settled(futures: list["asyncio.Future[Committed]"]) -> None:
    """Returns once all are done; `asyncio.gather` calls back for each of them."""
    try:
        for future in futures:
            with contextlib.suppress(Exception):  # it is looked at afterwards
                await future
    except asyncio.CancelledError:
        for future in futures:
            future.cancel()  # of one that failed: nobody is told that it was unseen
        raise


def _outcome(pending: Pending, problem: ServiceError | None) -> Outcome:
    error = pending.done.exception()
    if error is None:
        return pending.done.result()
    if not isinstance(error, ServiceError):
        return ServiceError("internal", "The write failed.")
    refused = error.code == "version_conflict"
    return problem if problem is not None and refused else error


def _lost(write: Write, outcome: Outcome) -> bool:
    """Whether somebody else was faster than a patch without a condition."""
    return (
        write.op == "patch"
        and write.if_version is None
        and isinstance(outcome, ServiceError)
        and outcome.code == "version_conflict"
    )


def _no_item(definition: Definition, item: str) -> ServiceError:
    return ServiceError(
        "unknown_item", f"{definition.name} holds no item {item!r}: upsert it."
    )
