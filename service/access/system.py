"""Records of the service itself: items without a vector of the tenant `~system`.

As items they are durable, spread to every region and converge like all others.
"""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import asyncpg
import orjson

from service.access.caller import SYSTEM_TENANT
from service.contract import ServiceError
from service.log.commit import Committer, Pending
from service.log.database import GONE
from service.log.reader import Reader

T = TypeVar("T")
FRESH = 10.0
"""Seconds a record is believed: with replication a revoked key stops within 30 s."""
FRESH_ABSENT = 1.0
"""Seconds an absence is believed: a key is used soon after it was made."""
MOST = 10_000
"""Records remembered."""
MOST_LISTED = 1000
"""Records of one listing."""
_LIST = (
    "SELECT id, metadata FROM item WHERE tenant = $1 AND collection = $2 "
    "AND NOT deleted AND metadata::jsonb ->> 'tenant' = $3 ORDER BY id LIMIT $4"
)
_ORIGINS = (
    "SELECT DISTINCT o FROM item, jsonb_array_elements_text("
    "coalesce(metadata::jsonb -> 'origins', '[]')) o WHERE tenant = $1 "
    "AND collection = $2 AND NOT deleted"
)


@dataclass(slots=True)
class _Kept(Generic[T]):
    value: T
    at: float


class Memory(Generic[T]):
    """Values by name, each believed for a time; the least used is forgotten."""

    def __init__(self, clock: Callable[[], float], most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._kept: OrderedDict[str, _Kept[T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, name: str, fresh: float) -> T | None:
        """The value unless it is older than `fresh` seconds."""
        kept = self._kept.get(name)
        # A clock that was set back makes no record young again.
        if kept is None or not 0 <= self._clock() - kept.at < fresh:
            return None
        self._kept.move_to_end(name)
        return kept.value

    def put(self, name: str, value: T) -> None:
        """Remembers a value from now on."""
        self._kept[name] = _Kept(value, self._clock())
        self._kept.move_to_end(name)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def drop(self, name: str) -> None:
        """Forgets a value."""
        self._kept.pop(name, None)


def _away(error: BaseException) -> ServiceError:
    return ServiceError(
        "unavailable",
        f"This region's database does not answer ({type(error).__name__}), so the "
        "caller's record cannot be read: try again, or another region.",
        elsewhere=True,
    )


class SystemItems:
    """The records of one system collection."""

    def __init__(
        self,
        reader: Reader,
        committer: Committer,
        clock: Callable[[], float],
        collection: str,
    ) -> None:
        self._reader = reader
        self._committer = committer
        self.collection = collection
        # A replica may lag behind what this instance wrote: its own writes count
        # until the row is as new, so that one change builds upon the other.
        self._written: Memory[tuple[int, dict[str, Any]]] = Memory(clock)

    async def read(self, name: str) -> dict[str, Any] | None:
        """A record as this region has it, or as this instance wrote it last."""
        try:
            row = await self._reader.item(SYSTEM_TENANT, self.collection, name)
        except (*GONE, asyncpg.PostgresError) as error:
            raise _away(error) from None
        written = self._written.get(name, 60.0)
        if written is not None and (row is None or row["at"] < written[0]):
            return written[1]
        return None if row is None else orjson.loads(row["metadata"])

    async def store(self, records: dict[str, dict[str, Any]]) -> None:
        """Stores records in one batch; returns once they are durable."""
        pending = [
            Pending(
                f"{self.collection}/{name}/{uuid.uuid4().hex}",
                self.collection,
                name,
                "upsert",
                None,
                orjson.dumps(record).decode(),
                tenant=SYSTEM_TENANT,
            )
            for name, record in records.items()
        ]
        self._committer.submit(pending)
        done = await asyncio.gather(*(p.done for p in pending))
        for committed, (name, record) in zip(done, records.items(), strict=True):
            self._written.put(name, (committed.at, record))

    async def of_tenant(self, tenant: str) -> list[tuple[str, dict[str, Any]]]:
        """(name, record) of a tenant's records, at most MOST_LISTED, by name."""
        rows = await self._fetch(_LIST, tenant, MOST_LISTED)
        return [(row["id"], orjson.loads(row["metadata"])) for row in rows]

    async def origins(self) -> frozenset[str]:
        """Every web origin that a record names."""
        return frozenset(row["o"] for row in await self._fetch(_ORIGINS))

    async def _fetch(self, query: str, *arguments: object) -> list[Any]:
        try:
            return list(
                await self._reader.pool.fetch(
                    query, SYSTEM_TENANT, self.collection, *arguments
                )
            )
        except (*GONE, asyncpg.PostgresError) as error:
            raise _away(error) from None
