"""Reads the change log and the rows of a Postgres server."""

import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from service.log.change import START, Change, Key, Position, lane_of
from service.log.definition import Definition
from service.log.view import View

_COLUMNS = (
    "c.origin, c.lane, c.epoch, c.seq, c.event_id, c.tenant, c.collection, "
    "c.item_id, c.op, c.vector, c.metadata, c.at, c.region, c.written, c.committed"
)
_AFTER = (
    f"SELECT {_COLUMNS} FROM change c WHERE c.origin = $1 AND c.lane = $2 "
    "AND (c.epoch, c.seq) > ($3, $4) ORDER BY c.epoch, c.seq LIMIT $5"
)
# Only lanes whose head moved are read: an idle poll touches sixteen rows.
_UNPUBLISHED = (
    f"SELECT {_COLUMNS} FROM unnest($2::smallint[], $3::integer[], $4::bigint[]) "
    "AS m(lane, epoch, seq) JOIN head h ON h.origin = $1 AND h.lane = m.lane "
    "AND (h.epoch, h.seq) > (m.epoch, m.seq) CROSS JOIN LATERAL "
    "(SELECT * FROM change WHERE origin = $1 AND lane = m.lane "
    "AND (epoch, seq) > (m.epoch, m.seq) ORDER BY epoch, seq LIMIT $5) c"
)


_REPAIRED = (
    "SELECT r.n, r.tenant, r.collection, r.id, i.origin, i.event_id, i.deleted, "
    "i.vector, i.metadata, i.at FROM repaired r "
    "LEFT JOIN item i USING (tenant, collection, id) WHERE r.n > $1 "
    "AND (r.id = '' OR i.id IS NOT NULL AND (r.tenant, r.collection) IN "
    "(SELECT * FROM unnest($2::text[], $3::text[]))) ORDER BY r.n LIMIT $4"
)
_ITEM = "SELECT id, vector, metadata, at, origin FROM item "


class Reader:
    """Queries over a pool of one server."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool

    async def after(
        self, origin: str, lane: int, position: Position, most: int
    ) -> list[Change]:
        """Changes of a lane after `position`, in order."""
        rows = await self.pool.fetch(_AFTER, origin, lane, *position, most)
        return [Change(*row) for row in rows]

    async def going_on(
        self, origin: str, lane: int, position: Position, most: int
    ) -> tuple[Position, list[Change]]:
        """Changes after a position in order, and the position right before them.

        It is later than the given one where this server's log lacks what lies between:
        a lane grows without holes, so that never comes.
        """
        reached = (await self.positions(lane)).get((origin, lane), START)
        changes = await self.after(origin, lane, position, most)
        if not changes:
            return max(position, reached), []
        first = changes[0].position
        if first.epoch > position.epoch and first.seq == 1:
            return max(position, await self._ended(origin, lane, first.epoch)), changes
        if first == (position.epoch, position.seq + 1):
            return position, changes
        return Position(first.epoch, first.seq - 1), changes

    async def _ended(self, origin: str, lane: int, epoch: int) -> Position:
        """Where the epoch before one ended, as far as this server knows."""
        row = await self.pool.fetchrow(
            "SELECT ended_epoch, ended_seq FROM succession "
            "WHERE origin = $1 AND lane = $2 AND epoch = $3",
            origin,
            lane,
            epoch,
        )
        return Position(*row) if row else START

    async def last_repaired(self) -> int:
        """Number of the newest repair, 0 when there was none."""
        return int(await self.pool.fetchval("SELECT max(n) FROM repaired") or 0)

    async def repaired(
        self, after: int, keys: Collection[Key], most: int
    ) -> list[tuple[int, Key, Change | None]]:
        """Repairs after a number, in order: (n, key of the collection, change).

        Of items only those of collections among `keys`; the change is None where a
        collection was made or dropped.
        """
        given = ([k[0] for k in keys], [k[1] for k in keys], most)
        rows = await self.pool.fetch(_REPAIRED, after, *given)
        return [(r["n"], (r["tenant"], r["collection"]), _repair(r)) for r in rows]

    async def unpublished(
        self, origin: str, marks: Mapping[int, Position], most: int
    ) -> list[Change]:
        """Changes after the marks, of all lanes, at most `most` a lane."""
        rows = await self.pool.fetch(
            _UNPUBLISHED,
            origin,
            list(marks),
            [p.epoch for p in marks.values()],
            [p.seq for p in marks.values()],
            most,
        )
        return [Change(*row) for row in rows]

    async def answer(self) -> None:
        """Returns when the server answers."""
        await self.pool.execute("SELECT 1")

    async def positions(
        self, lane: int | None = None
    ) -> dict[tuple[str, int], Position]:
        """Position of every (origin, lane) on this server."""
        query = "SELECT origin, lane, epoch, seq FROM position"
        if lane is None:
            rows = await self.pool.fetch(query)
        else:
            rows = await self.pool.fetch(query + " WHERE lane = $1", lane)
        return {(r[0], r[1]): Position(r[2], r[3]) for r in rows}

    async def oldest(self, origin: str, lane: int) -> Position | None:
        """First position still in the log, None when it holds none."""
        row = await self.pool.fetchrow(
            "SELECT epoch, seq FROM change WHERE origin = $1 AND lane = $2 "
            "ORDER BY epoch, seq LIMIT 1",
            origin,
            lane,
        )
        return Position(*row) if row else None

    async def since(self, lane: int, milliseconds: int) -> dict[str, Position]:
        """Per origin the last position committed before a moment (ms)."""
        rows = await self.pool.fetch(
            "SELECT DISTINCT ON (origin) origin, epoch, seq FROM change "
            "WHERE lane = $1 AND committed < $2 ORDER BY origin, epoch DESC, seq DESC",
            lane,
            milliseconds,
        )
        return {r[0]: Position(r[1], r[2]) for r in rows}

    async def recent(
        self, definition: Definition, origins: tuple[str, ...], since: int, most: int
    ) -> tuple[list[Change], bool]:
        """Upserts of a collection since a moment (ms), newest first per origin.

        At most `most` of an origin; says whether older ones were left out.
        """
        found: list[Change] = []
        truncated = False
        for origin in origins:
            rows = await self.pool.fetch(
                f"SELECT {_COLUMNS} FROM change c WHERE c.origin = $1 AND c.lane = $2 "
                "AND c.tenant = $3 AND c.collection = $4 AND c.op = 'upsert' "
                "AND c.at > $5 AND c.committed > $6 "
                "ORDER BY c.epoch DESC, c.seq DESC LIMIT $7",
                origin,
                definition.lane,
                *definition.key,
                definition.at,
                since,
                most,
            )
            truncated |= len(rows) == most
            found += [Change(*row) for row in rows]
        return found, truncated

    async def events(
        self, lane: int, event_ids: list[str]
    ) -> list[tuple[str, str, Position]]:
        """(event id, origin, position) of every change that carries one of them."""
        rows = await self.pool.fetch(
            "SELECT event_id, origin, epoch, seq FROM events_of(ARRAY[$1::smallint], "
            "$2)",
            lane,
            event_ids,
        )
        return [(r[0], r[1], Position(r[2], r[3])) for r in rows]

    async def recent_events(
        self, lane: int, since: int
    ) -> list[tuple[str, str, Position]]:
        """(event id, origin, position) of the newest changes since a moment (ms)."""
        rows = await self.pool.fetch(
            "SELECT event_id, origin, epoch, seq FROM change WHERE lane = $1 "
            "AND committed > $2 ORDER BY committed DESC LIMIT 8192",
            lane,
            since,
        )
        return [(r[0], r[1], Position(r[2], r[3])) for r in reversed(rows)]

    async def definition(self, tenant: str, name: str) -> Definition | None:
        """A collection by its name."""
        row = await self.pool.fetchrow(
            "SELECT * FROM collection WHERE tenant = $1 AND name = $2", tenant, name
        )
        return Definition.of(row) if row else None

    async def definitions(self, tenant: str) -> list[Definition]:
        """All collections of a tenant by name."""
        rows = await self.pool.fetch(
            "SELECT * FROM collection WHERE tenant = $1 ORDER BY name", tenant
        )
        return [Definition.of(row) for row in rows]

    async def dropped(self, tenant: str, name: str) -> int:
        """Hybrid clock of the latest drop of a name, 0 when there was none."""
        at = await self.pool.fetchval(
            "SELECT at FROM dropped WHERE tenant = $1 AND name = $2", tenant, name
        )
        return int(at or 0)

    async def count(self, definition: Definition) -> int:
        """Items of a collection."""
        found = await self.pool.fetchval(
            "SELECT count(*) FROM item WHERE tenant = $1 AND collection = $2 "
            "AND NOT deleted AND at > $3",
            *definition.key,
            definition.oldest(time.time()),
        )
        return int(found)

    async def holdings(self, tenant: str) -> tuple[int, int]:
        """Items of a tenant, and the bytes of their vectors and metadata."""
        row = await self.pool.fetchrow(
            "SELECT count(*), coalesce(sum(octet_length(vector) "
            "+ octet_length(metadata)), 0)::bigint FROM item "
            "WHERE tenant = $1 AND NOT deleted AND vector IS NOT NULL",
            tenant,
        )
        return int(row[0]), int(row[1])

    async def sizes(self, definition: Definition, ids: list[str]) -> dict[str, int]:
        """Bytes of vector and metadata of those of the items that are there."""
        rows = await self.pool.fetch(
            "SELECT id, octet_length(vector) + octet_length(metadata) FROM item "
            "WHERE tenant = $1 AND collection = $2 AND id = ANY ($3) "
            "AND NOT deleted AND at > $4",
            *definition.key,
            ids,
            definition.at,
        )
        return {row[0]: int(row[1]) for row in rows}

    async def item(
        self, tenant: str, collection: str, item: str, oldest: int = 0
    ) -> Any:
        """Row of one item (id, vector, metadata, at, origin) or None."""
        return await self.pool.fetchrow(
            _ITEM + "WHERE tenant = $1 AND collection = $2 AND id = $3 "
            "AND NOT deleted AND at > $4",
            tenant,
            collection,
            item,
            oldest,
        )

    async def some(self, definition: Definition, ids: list[str]) -> dict[str, Any]:
        """Rows of those of the items that are there, by id."""
        rows = await self.pool.fetch(
            _ITEM + "WHERE tenant = $1 AND collection = $2 AND id = ANY ($3) "
            "AND NOT deleted AND at > $4",
            *definition.key,
            ids,
            definition.oldest(time.time()),
        )
        return {row["id"]: row for row in rows}

    async def page(self, definition: Definition, after: str, most: int) -> list[Any]:
        """Rows with an id above `after`, in the order of ids."""
        return list(
            await self.pool.fetch(
                _ITEM + "WHERE tenant = $1 AND collection = $2 AND id > $3 "
                "AND NOT deleted AND at > $4 ORDER BY id LIMIT $5",
                *definition.key,
                after,
                definition.oldest(time.time()),
                most,
            )
        )

    @asynccontextmanager
    async def view(self) -> AsyncIterator[View]:
        """A connection on which one state of the server can be read."""
        async with self.pool.acquire() as connection:
            yield View(connection)


def _repair(row: Any) -> Change | None:
    """An item that no log carries, as the change that would have made it."""
    if not row["id"]:
        return None
    key = (row["tenant"], row["collection"])
    place = (row["origin"], lane_of(*key), *START, row["event_id"], *key, row["id"])
    op = "delete" if row["deleted"] else "upsert"
    what = (op, row["vector"], row["metadata"], row["at"])
    return Change(*place, *what, region="", written=0, committed=0)
