"""Group commit: a batch is what queued while the previous commit ran."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

import asyncpg

from service.contract import ServiceError
from service.log.change import TENANT, Position, lane_of
from service.log.copies import Copies
from service.log.database import GONE, REFUSED, Single, TokenSource, connect
from service.settings import Settings
from service.telemetry import Metrics, log
from service.tracing import Place, current

MOST = 200
"""Changes of one batch."""
MOST_QUEUED = 20_000
"""Changes that may wait; beyond it a write is refused as overloaded."""
DEADLINE = 5.0
"""Seconds a write whose outcome is unknown waits for its primary; as long may the
oldest one stand in the queue before further ones are refused."""
UNSENT_DEADLINE = 0.5
"""Seconds a write that was never sent waits for a primary that does not answer: another
region answers sooner."""
_CALL = (
    "SELECT n, epoch, seq, at, committed, repeated, refused FROM commit_changes($1, "
    "$2, $3::smallint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], "
    "$9::bytea[], $10::text[], $11::bigint[], $12::bigint[])"
)
_CALL_ASKED = _CALL.replace("commit_changes", "commit_asked").replace(
    "$12::bigint[]", "$12::bigint[], $13::text[], $14::boolean[]"
)


class Committed(NamedTuple):
    """What the log says of a write."""

    lane: int
    position: Position
    at: int
    committed: int
    repeated: bool


@dataclass(slots=True)
class Pending:
    """A write on its way into the log."""

    event_id: str
    collection: str
    item_id: str
    op: str
    vector: bytes | None
    metadata: str
    written: int = field(default_factory=lambda: int(time.time() * 1000))
    queued: float = field(default_factory=time.monotonic)
    since: float = 0.0
    """Since when it waits for the primary and no longer for its turn (monotonic)."""
    sent: bool = False
    """Whether the primary may have it."""
    done: "asyncio.Future[Committed]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    tenant: str = TENANT
    if_version: int | None = None
    """Stored only while the item has this version; 0: while it is not there."""
    question: str | None = None
    """Id of another hub's question: what was refused for it stays refused."""
    final: bool = True
    """Whether a refusal is what the question is answered."""
    durability: str = "zone"
    """What its acknowledgement promises to survive: the loss of a zone or a region."""
    lane: int = -1
    request: Place | None = field(default_factory=current)
    """The traced request that it came with."""

    def __post_init__(self) -> None:
        self.lane = lane_of(self.tenant, self.collection)

    @property
    def due(self) -> float:
        """When waiting for the primary ends (monotonic seconds)."""
        return self.since + (DEADLINE if self.sent else UNSENT_DEADLINE)

    def resolve(self, result: Committed | BaseException) -> None:
        """Tells the waiting request, unless it has gone."""
        if self.done.done():
            return
        if isinstance(result, BaseException):
            self.done.set_exception(result)
        else:
            self.done.set_result(result)


class PrimaryAway(ServiceError):
    """`unavailable`: a hub's primary does not answer; it may have the write."""

    def __init__(self, hub: str, reason: str) -> None:
        super().__init__(
            "unavailable",
            f"The primary in {hub} does not answer ({reason}): send the same event "
            "ids again, here or in another region.",
            elsewhere=True,
        )


def _conflict(pending: Pending, version: int) -> ServiceError:
    has = f"has version {version}" if version else "is not there"
    return ServiceError(
        "version_conflict",
        f"{pending.item_id!r} {has}, the write wanted {pending.if_version}: read the "
        "item and write again.",
        details={"given": pending.if_version, "version": version},
    )


class Committer:
    """Writes of one instance into its hub's primary, one batch at a time."""

    def __init__(
        self, settings: Settings, token: TokenSource, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._token = token
        self._metrics = metrics
        self._queue: deque[Pending] = deque()
        self._wake = asyncio.Event()
        self._connection: asyncpg.Connection | None = None
        self._beside = Single(settings, token)
        self._ring = asyncio.Event()
        self._copies = Copies(settings, self._beside, metrics)
        self.healthy = True
        """Whether the last batch reached the primary."""

    async def run(self) -> None:
        """Commits until cancelled."""
        beside = [
            asyncio.create_task(work)
            for work in (self._ring_bell(), self._copies.run())
        ]
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    await self._commit(self._take())
        finally:
            for task in beside:
                task.cancel()

    async def probe(self) -> None:
        """Looks whether a primary that failed is back; no write may tell it."""
        if self.healthy:
            return
        try:
            connection = await connect(
                self._settings, self._settings.database_primary, self._token
            )
            await connection.close(timeout=2)
            self.healthy = True
        except (*GONE, asyncpg.PostgresError):
            return

    def close(self) -> None:
        """Ends the connections."""
        self._lose_connection()
        self._beside.close()

    async def drain(self) -> None:
        """Returns once the queue is empty."""
        while self._queue:
            await asyncio.sleep(0.01)

    def submit(self, pending: list[Pending]) -> None:
        """Queues writes; raises ServiceError `overloaded` when too many wait, or for
        too long."""
        oldest = self._queue[0].queued if self._queue else time.monotonic()
        waited = time.monotonic() - oldest
        if len(self._queue) + len(pending) > MOST_QUEUED or waited > DEADLINE:
            raise ServiceError(
                "overloaded",
                f"{len(self._queue)} writes wait, the oldest for {waited:.1f} s: try "
                "again, or in another region.",
                elsewhere=True,
            )
        self._queue.extend(pending)
        self._wake.set()

    def _take(self) -> list[Pending]:
        """The next batch. In a queue behind a primary that answers, time is not up."""
        batch = [self._queue.popleft() for _ in range(min(MOST, len(self._queue)))]
        now = time.monotonic()
        for pending in batch:
            pending.since = now if self.healthy else pending.queued
        return batch

    async def _commit(self, batch: list[Pending]) -> None:
        """Tries until the batch is in the log or each write's time is over.

        An attempt that broke may have stored the batch: the same event ids make
        the next attempt return what the first one stored.
        """
        reason = "time is over"
        while batch:
            try:
                await self._attempt(batch)
                self.healthy = True
                return
            except GONE as error:
                reason = type(error).__name__
                self._lose_connection()
            except asyncpg.PostgresError as error:
                await self._one_by_one(batch, error)
                return
            self.healthy = False
            now = time.monotonic()
            for late in [p for p in batch if p.due <= now]:
                late.resolve(PrimaryAway(self._settings.hub, reason))
            batch = [p for p in batch if p.due > now]
            if batch:
                await asyncio.sleep(0.1)
        log("WARNING", "primary unavailable", reason=reason, hub=self._settings.hub)

    async def _attempt(self, batch: list[Pending]) -> None:
        started, began = time.perf_counter(), time.time_ns()
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(
                self._settings, self._settings.database_primary, self._token
            )
        call, arguments = self._call(batch)
        unsent = [p for p in batch if not p.sent]
        for pending in unsent:
            pending.sent = True
        left = max(0.1, max(p.due for p in batch) - time.monotonic())
        try:
            rows = await self._connection.fetch(call, *arguments, timeout=left)
        except REFUSED:
            # No primary, or one that must not or cannot write: it has none for sure.
            for pending in unsent:
                pending.sent = False
            raise
        self._metrics.commit_seconds.add(time.perf_counter() - started)
        for n, epoch, seq, at, committed, repeated, refused in rows:
            pending = batch[n - 1]
            if refused:
                pending.resolve(_conflict(pending, at))
                continue
            position = Position(epoch, seq)
            self._acknowledge(
                pending, Committed(pending.lane, position, at, committed, repeated)
            )
            if not repeated:
                self._trace(pending, position, began, len(batch))
        self._ring.set()

    def _acknowledge(self, pending: Pending, committed: Committed) -> None:
        if pending.durability == "region":
            self._copies.hold(lambda error: pending.resolve(error or committed))
        else:
            pending.resolve(committed)

    def _trace(
        self, pending: Pending, position: Position, began: int, batch: int
    ) -> None:
        spans, now = self._metrics.spans, time.time_ns()
        if spans.root(pending.event_id) is None:
            return
        where: dict[str, str | int] = {
            "meridian.origin": self._settings.hub,
            "meridian.lane": pending.lane,
            "meridian.epoch": position.epoch,
            "meridian.seq": position.seq,
            "meridian.op": pending.op,
        }
        received = pending.written * 1_000_000
        spans.written(pending.event_id, pending.request, received, now, where)
        attributes: dict[str, str | int] = {"meridian.batch": batch}
        spans.change("commit", [pending.event_id], began, now, attributes)

    def _call(self, batch: list[Pending]) -> tuple[str, list[object]]:
        """Statement and arguments."""
        questions = [p.question for p in batch]
        if any(questions):
            final = [p.final for p in batch]
            return _CALL_ASKED, [*self._arguments(batch), questions, final]
        return _CALL, self._arguments(batch)

    def _arguments(self, batch: list[Pending]) -> list[object]:
        return [
            self._settings.hub,
            self._settings.region,
            [p.lane for p in batch],
            [p.event_id for p in batch],
            [p.tenant for p in batch],
            [p.collection for p in batch],
            [p.item_id for p in batch],
            [p.op for p in batch],
            [p.vector for p in batch],
            [p.metadata for p in batch],
            [p.written for p in batch],
            [p.if_version for p in batch],
        ]

    async def _one_by_one(self, batch: list[Pending], error: Exception) -> None:
        """One bad write must not fail its neighbours."""
        if len(batch) > 1:
            for pending in batch:
                await self._commit([pending])
            return
        log("ERROR", "write refused by the database", error=str(error))
        failed = ServiceError("internal", "The database refused this write.")
        batch[0].resolve(failed)

    def _lose_connection(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _ring_bell(self) -> None:
        """Wakes the hub's relay after commits.

        NOTIFY takes a lock of the whole server, so it stays out of the write's
        transaction and off its connection; several commits share one. It reaches
        the relay from every region that writes to the hub, as Redis would not.
        """
        while True:
            await self._ring.wait()
            self._ring.clear()
            try:
                await self._beside.fetchrow("NOTIFY meridian_changes", seconds=2)
            except (*GONE, asyncpg.PostgresError) as error:
                # The relay polls too; the next commit rings again.
                log("INFO", "bell not rung", reason=type(error).__name__)
