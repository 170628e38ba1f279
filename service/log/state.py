"""A hub's whole state as other hubs compare and fetch it (ADR 0017).

Questions and answers are plain JSON, as those of `service.log.streams`: what another
hub asks travels as a message. Every question may be asked twice.
"""

import base64
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import asyncpg

from service.log.change import Position

MOST_BUCKETS = 256
"""Coarse buckets whose fine ones are compared at once: 16,384 sums, 500 KiB."""
MOST_KEYS = 2000
"""Keys of one answer, and of one question for their rows."""
MOST_COLLECTIONS = 1000
"""Creations or drops of one answer."""
MOST_BYTES = 2 * 2**20
"""Vectors and metadata of one answer; as base64 in JSON it has 2.7 MiB."""
TOMBSTONE_SECONDS = 7 * 86_400
"""Age at which a deleted item may be forgotten."""
_PATIENCE = 120.0
"""Seconds of a statement that reads every item: 4 s a million (ADR 0017)."""
_TRIMMED = 10_000
"""Changes removed in one statement."""
_KEYS = "SELECT * FROM keys_after($1::integer[], $2::integer[], $3, $4, $5, $6, $7, $8)"
_MOVES = "($1, $2::smallint[], $3::integer[], $4::bigint[]"
_ROWS = "SELECT * FROM rows_of($1::text[], $2::text[], $3::text[], $4)"
_CREATED = (
    "SELECT 'created' AS kind, tenant, name, at, origin, lane, definition "
    "FROM creation WHERE (tenant, name, at, origin) > ($1, $2, $3, $4) "
    "ORDER BY tenant, name, at, origin LIMIT $5"
)
_DROPPED = (
    "SELECT 'dropped' AS kind, tenant, name, at, '' AS origin, 0 AS lane, "
    "'' AS definition FROM dropped WHERE (tenant, name) > ($1, $2) "
    "ORDER BY tenant, name LIMIT $3"
)
_OLDEST = (
    "SELECT h.lane, coalesce(c.epoch, h.epoch), coalesce(c.seq, h.seq + 1) FROM head h "
    "LEFT JOIN LATERAL (SELECT epoch, seq FROM change WHERE origin = h.origin "
    "AND lane = h.lane ORDER BY epoch, seq LIMIT 1) c ON true WHERE h.origin = $1"
)

Row = dict[str, Any]
Sums = dict[int, tuple[int, int]]
"""Per bucket the number of rows and the sum of their hashes."""


class Span(NamedTuple):
    """What a round compares, as hybrid clocks."""

    floor: int
    """Tombstones below it count no more: they may be swept."""
    until: int
    """Versions above it may still be on their way."""


class Key(NamedTuple):
    """An item and its version."""

    tenant: str
    collection: str
    id: str
    at: int
    origin: str


def hybrid(seconds: float) -> int:
    """A moment (s since 1970) as a hybrid clock."""
    return int(seconds * 1000) * 1024


class State:
    """The state of this hub's primary. Everything raises what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool, hub: str, hubs: Sequence[str]) -> None:
        self._pool = pool
        self.hub = hub
        self.others = [h for h in hubs if h != hub]
        """The hubs that this one is compared with."""

    async def answer(self, question: str, params: list[Any]) -> list[Row]:
        """Rows for another hub; raises KeyError for a question that there is not."""
        answers: dict[str, Callable[..., Awaitable[list[Row]]]] = {
            "state.digest": self._digest,
            "state.collections": self._collections,
            "state.within": self._within,
            "state.keys": self._keys,
            "state.rows": self._rows,
        }
        return await answers[question](*params)

    async def _digest(
        self, hub: str, compared: int, floor: int, until: int
    ) -> list[Row]:
        """The state in sums, the log's beginning, and what is applied of the asker.

        Positions are read before the sums: the state has all that is older.
        """
        await self._note(hub, confirmed=compared)
        span = Span(max(floor, await self.floor()), until)
        oldest = await self._pool.fetch(_OLDEST, self.hub)
        applied = await self._pool.fetch(
            "SELECT lane, epoch, seq FROM applied WHERE origin = $1", hub
        )
        sums = await self.sums(span)
        return [
            {
                "floor": span.floor,
                "oldest": [[*row] for row in oldest],
                "applied": [[*row] for row in applied],
                "collections": await self.collection_sums(until),
                "sums": [[bucket, *of] for bucket, of in sums.items()],
            }
        ]

    async def _within(self, coarse: list[int], floor: int, until: int) -> list[Row]:
        sums = await self.sums(Span(floor, until), coarse)
        return [{"sums": [[bucket, *of] for bucket, of in sums.items()]}]

    async def _collections(self, kind: str, after: list[Any]) -> list[Row]:
        if kind == "created":
            rows = await self._pool.fetch(_CREATED, *after, MOST_COLLECTIONS)
        else:
            rows = await self._pool.fetch(_DROPPED, *after[:2], MOST_COLLECTIONS)
        return [dict(row) for row in rows]

    async def _keys(
        self,
        coarse: list[int],
        fine: list[int],
        floor: int,
        until: int,
        after: list[str],
    ) -> list[Row]:
        given = (coarse, fine, floor, until, *after, MOST_KEYS)
        rows = await self._pool.fetch(_KEYS, *given, timeout=_PATIENCE)
        return [dict(row) for row in rows]

    async def _rows(self, keys: list[list[str]]) -> list[Row]:
        columns = [list(column) for column in zip(*keys, strict=True)]
        rows = await self._pool.fetch(_ROWS, *columns, MOST_BYTES, timeout=_PATIENCE)
        return [dict(row) | {"vector": _text(row["vector"])} for row in rows]

    async def floor(self) -> int:
        """Hybrid clock below which tombstones may be swept.

        A tombstone goes when it is old and every other hub has said that it has all
        of this one's state from after it: else an older upsert would come back.
        """
        old = hybrid(time.time() - TOMBSTONE_SECONDS)
        confirmed = await self._pool.fetchval(
            "SELECT min(coalesce(p.confirmed, 0)) FROM unnest($1::text[]) AS h(hub) "
            "LEFT JOIN peer p USING (hub)",
            self.others,
        )
        return old if confirmed is None else min(old, int(confirmed))

    async def sums(self, span: Span, coarse: list[int] | None = None) -> Sums:
        """The items in sums of coarse buckets, or of the fine ones within some."""
        query, given = "SELECT * FROM digest_items($1, $2)", []
        if coarse is not None:
            query = "SELECT * FROM digest_within($3::integer[], $1, $2)"
            given = [coarse]
        rows = await self._pool.fetch(query, *span, *given, timeout=_PATIENCE)
        return {row["bucket"]: (row["rows"], row["hash"]) for row in rows}

    async def collection_sums(self, until: int) -> dict[str, list[int]]:
        """Creations and drops in sums, by kind."""
        rows = await self._pool.fetch("SELECT * FROM digest_collections($1)", until)
        return {row["kind"]: [row["rows"], row["hash"]] for row in rows}

    async def compared(self) -> dict[str, int]:
        """Hybrid clock up to which the state has all of each other hub's."""
        rows = await self._pool.fetch("SELECT hub, compared FROM peer")
        return {row["hub"]: row["compared"] for row in rows}

    async def finish(self, hub: str, until: int) -> None:
        """The state has all that another hub had at a hybrid clock."""
        await self._note(hub, compared=until)

    async def _note(self, hub: str, *, compared: int = 0, confirmed: int = 0) -> None:
        await self._pool.execute(
            "SELECT note_round($1, $2, $3)", hub, compared, confirmed
        )

    async def wanted(self, keys: list[Key]) -> list[Key]:
        """Those of another hub's items that are missing or older here."""
        columns = [list(column) for column in zip(*keys, strict=True)]
        rows = await self._pool.fetch(
            "SELECT n FROM keys_wanted($1::text[], $2::text[], $3::text[], "
            "$4::bigint[], $5::text[])",
            *columns,
        )
        return [keys[row["n"] - 1] for row in rows]

    async def merge_items(self, rows: list[Row]) -> int:
        """Takes items of another hub at once; returns how many were newer."""
        names = "tenant collection id vector metadata at origin event_id deleted"
        decoded = [row | {"vector": _bytes(row["vector"])} for row in rows]
        columns = [[row[name] for row in decoded] for name in names.split()]
        return int(
            await self._pool.fetchval(
                "SELECT merge_items($1::text[], $2::text[], $3::text[], $4::bytea[], "
                "$5::text[], $6::bigint[], $7::text[], $8::text[], $9::boolean[])",
                *columns,
                timeout=_PATIENCE,
            )
        )

    async def merge_collections(self, rows: list[Row]) -> int:
        """Takes creations and drops; returns how many were not known."""
        names = "kind tenant name at origin lane definition"
        columns = [[row[name] for row in rows] for name in names.split()]
        return int(
            await self._pool.fetchval(
                "SELECT merge_collections($1::text[], $2::text[], $3::text[], "
                "$4::bigint[], $5::text[], $6::smallint[], $7::text[])",
                *columns,
            )
        )

    async def skip_lost(self, origin: str, lanes: dict[int, Position]) -> list[int]:
        """Moves lanes of another hub on to positions; returns those that moved."""
        given = (origin, *_columns(lanes))
        trim = f"SELECT trim_log{_MOVES}, $5)"
        # By itself this takes from nobody what he could still have: a client that comes
        # back meanwhile is told of the gap already.
        while await self._pool.fetchval(trim, *given, _TRIMMED, timeout=_PATIENCE):
            pass
        rows = await self._pool.fetch(f"SELECT lane FROM skip_lost{_MOVES})", *given)
        return [row["lane"] for row in rows]

    async def begin_epochs(self, applied: dict[int, Position]) -> list[int]:
        """Begins epochs above positions of this hub's own lanes where it stands below
        them: its log was lost. Returns those lanes."""
        given = (self.hub, *_columns(applied))
        rows = await self._pool.fetch(f"SELECT lane FROM begin_epochs{_MOVES})", *given)
        return [row["lane"] for row in rows]


def _columns(lanes: dict[int, Position]) -> tuple[list[int], list[int], list[int]]:
    epochs = [position.epoch for position in lanes.values()]
    return list(lanes), epochs, [position.seq for position in lanes.values()]


def _text(vector: bytes | None) -> str | None:
    return None if vector is None else base64.b64encode(vector).decode()


def _bytes(vector: str | None) -> bytes | None:
    return None if vector is None else base64.b64decode(vector)
