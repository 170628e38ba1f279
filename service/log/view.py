"""One state of a server, read over several statements."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from service.contract import ServiceError
from service.log.change import START, Position, Positions
from service.log.definition import Definition

_ROW = "SELECT id, vector, metadata, at, origin, deleted FROM item "
_OF = "WHERE tenant = $1 AND collection = $2 AND at > $3"
_CHANGED = (
    _ROW + _OF + " AND id IN (SELECT c.item_id FROM change c WHERE c.origin = $4 "
    "AND c.lane = $5 AND (c.epoch, c.seq) > ($6, $7) "
    "AND c.tenant = $1 AND c.collection = $2)"
)
_REPAIRED = (
    _ROW + _OF + " AND id IN (SELECT r.id FROM repaired r "
    "WHERE r.n > $4 AND r.tenant = $1 AND r.collection = $2)"
)
_OLDEST = (
    "SELECT p.origin, p.epoch, p.seq, c.epoch AS first_epoch, c.seq AS first_seq "
    "FROM position p LEFT JOIN LATERAL (SELECT epoch, seq FROM change "
    "WHERE origin = p.origin AND lane = p.lane ORDER BY epoch, seq LIMIT 1) c ON true "
    "WHERE p.lane = $1"
)


class View:
    """A connection; what is read inside `fixed` is of one moment."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def fixed(self) -> AbstractAsyncContextManager[Any]:
        """While it is held the server's state stays as it was."""
        made: AbstractAsyncContextManager[Any] = self._connection.transaction(
            isolation="repeatable_read", readonly=True
        )
        return made

    async def positions(self, lane: int) -> Positions:
        """Position of every origin in a lane."""
        rows = await self._connection.fetch(
            "SELECT origin, epoch, seq FROM position WHERE lane = $1", lane
        )
        return {r[0]: Position(r[1], r[2]) for r in rows}

    async def reach(self, lane: int, wanted: Mapping[str, Position]) -> None:
        """Waits for the positions; raises ServiceError after five seconds."""
        until = time.monotonic() + 5
        while True:
            here = await self.positions(lane)
            if all(here.get(o, START) >= p for o, p in wanted.items()):
                return
            if time.monotonic() > until:
                raise ServiceError(
                    "unavailable",
                    "This region's database is too far behind to load the "
                    "collection: try another region.",
                    elsewhere=True,
                )
            await asyncio.sleep(0.02)

    async def definitions(self) -> list[Definition]:
        """All collections of all tenants."""
        rows = await self._connection.fetch(
            "SELECT * FROM collection ORDER BY tenant, name"
        )
        return [Definition.of(row) for row in rows]

    async def last_repaired(self) -> int:
        """Number of the newest repair, 0 when there was none."""
        found = await self._connection.fetchval("SELECT max(n) FROM repaired")
        return int(found or 0)

    async def holds(self, definition: Definition, rows: int) -> bool:
        """Whether a collection has so many rows or more, tombstones among them."""
        found = await self._connection.fetchval(
            "SELECT true FROM item WHERE tenant = $1 AND collection = $2 "
            "OFFSET $3 LIMIT 1",
            *definition.key,
            rows - 1,
        )
        return bool(found)

    async def vector_bytes(self, definition: Definition) -> int:
        """Bytes of all vectors of a collection."""
        size = await self._connection.fetchval(
            "SELECT coalesce(sum(octet_length(vector)), 0) FROM item WHERE tenant = $1 "
            "AND collection = $2 AND NOT deleted AND at > $3",
            *definition.key,
            definition.at,
        )
        return int(size)

    async def items(self, definition: Definition) -> AsyncIterator[Any]:
        """Rows of a collection, tombstones included; only inside `fixed`."""
        async for row in self._connection.cursor(
            _ROW + _OF, *definition.key, definition.at, prefetch=500
        ):
            yield row

    async def changed(
        self, definition: Definition, since: Positions, repaired: int
    ) -> AsyncGenerator[Any]:
        """Rows written after the positions or repaired after a number, as they are now.

        Some may come twice. Only inside `fixed`. All of them, if `reaches_back` says so
        afterwards: what is dropped of the log while this reads, it sees.
        """
        given = (*definition.key, definition.at)
        for origin in await self.positions(definition.lane):
            after = since.get(origin, START)
            where = (origin, definition.lane, *after)
            async for row in self._connection.cursor(
                _CHANGED, *given, *where, prefetch=500
            ):
                yield row
        async for row in self._connection.cursor(
            _REPAIRED, *given, repaired, prefetch=500
        ):
            yield row

    async def reaches_back(self, lane: int, since: Positions) -> bool:
        """Whether the log still holds every change after the positions.

        An origin that began another epoch says no, and so does a server that is not as
        far: what it lost is in no log.
        """
        for row in await self._connection.fetch(_OLDEST, lane):
            before = since.get(row["origin"], START)
            if (row["epoch"], row["seq"]) == before:
                continue
            if row["epoch"] != before.epoch or row["seq"] < before.seq:
                return False
            first = (row["first_epoch"], row["first_seq"])
            if first[0] is None or first > (before.epoch, before.seq + 1):
                return False
        return True
