"""Keeps snapshots of the region's large collections for instances (ADR 0019).

One worker of a region at a time. What was not written since needs no new parts: then
the manifest alone says that the database is still as they are.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import asyncpg

from service.google import UNREACHABLE
from service.log.change import Key
from service.log.database import GONE
from service.log.definition import Definition
from service.log.reader import Reader
from service.log.view import View
from service.settings import Settings
from service.snapshot.bucket import Bucket, Damaged
from service.snapshot.manifest import Manifest, Piece, folder, is_needed, part_name
from service.snapshot.part import parts_of
from service.telemetry import Metrics, log

PART_BYTES = 4 * 2**20
"""Vectors of one part; two are in memory at once."""
_REWRITE_SECONDS = 86_400
"""Age at which parts are written anew: the bucket removes old objects."""
_ROUNDS = 10
"""Looks in the time after which a snapshot is brought up to date."""
_FAILED = (*UNREACHABLE, *GONE, asyncpg.PostgresError)
_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('meridian.snapshot', 0))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended('meridian.snapshot', 0))"


class Snapshots:
    """Writes them, and removes what is no longer needed."""

    def __init__(
        self, reader: Reader, bucket: Bucket, metrics: Metrics, settings: Settings
    ) -> None:
        self._reader = reader
        self._bucket = bucket
        self._metrics = metrics
        self._interval = settings.snapshot_seconds
        self._least = settings.snapshot_rows
        self._known: dict[Key, Manifest] = {}
        self._looked = time.time()
        """When what is to have a snapshot was seen last, at first the start; Unix s."""
        self._true: dict[tuple[Key, int], float] = {}
        """When the database was last seen as the snapshot has it, or the collection
        seen first; Unix s, by key and creation."""
        metrics.snapshots_age(lambda: self._age(time.time()))

    async def run(self) -> None:
        """Looks after them until cancelled."""
        pause = self._interval / _ROUNDS
        while True:
            await asyncio.sleep(pause * random.uniform(0.9, 1.1))
            try:
                async with self._alone() as view:
                    if view is not None:
                        await self._round(view)
            except _FAILED as error:
                log("WARNING", "snapshots wait", error=repr(error)[:200])
            except Exception as error:  # whatever it is: the log goes on without them
                log("ERROR", "no snapshots", error=repr(error)[:200])

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[View | None]:
        """A connection, None while another worker of this region is at it."""
        async with self._reader.pool.acquire() as connection:
            if not await connection.fetchval(_LOCK):
                yield None
                return
            try:
                yield View(connection)
            finally:
                try:
                    await connection.execute(_UNLOCK)
                except BaseException:
                    connection.terminate()  # or its session would keep the lock
                    raise

    async def _round(self, view: View) -> None:
        wanted = [
            definition
            for definition in await view.definitions()
            if await view.holds(definition, max(1, self._least))
        ]
        await self._remember(wanted)
        # Before any is written: whoever reads a manifest that is about to be replaced
        # finds its parts until the next round.
        await self._sweep({definition.key for definition in wanted})
        for definition in wanted:
            if self._is_due(definition):
                await self._update(view, definition)

    async def _remember(self, wanted: list[Definition]) -> None:
        """Reads the manifests again that another worker may have replaced."""
        now = time.time()
        keys = {definition.key for definition in wanted}
        self._known = {k: m for k, m in self._known.items() if k in keys}
        for definition in wanted:
            if not self._is_due(definition):
                continue
            try:
                found = await self._bucket.manifest(definition.key)
            except Damaged as error:
                log("WARNING", "a manifest cannot be read", error=str(error)[:200])
                found = None
            if found is None:
                self._known.pop(definition.key, None)
            else:
                self._known[definition.key] = found
        self._true = {(d.key, d.at): self._since(d, now) for d in wanted}
        self._looked = now

    def _since(self, definition: Definition, now: float) -> float:
        known = self._known.get(definition.key)
        if known is not None and known.fits(definition):
            return known.made / 1000
        # What was lost or damaged goes on growing; what is new begins.
        return self._true.get((definition.key, definition.at), now)

    def _age(self, now: float) -> float:
        """Seconds since the oldest snapshot was seen to be true, at Unix seconds.

        Without any it counts from the last look: before one nobody knows what is due.
        """
        return max(0.0, now - min(self._true.values(), default=self._looked))

    def _is_due(self, definition: Definition) -> bool:
        known = self._known.get(definition.key)
        if known is None or not known.fits(definition):
            return True
        return time.time() - known.made / 1000 >= self._interval

    async def _sweep(self, keys: set[Key]) -> None:
        """Removes what no manifest names any more."""
        known = {folder(key): self._known.get(key) for key in keys}
        async for name in self._bucket.names():
            if not is_needed(name, known):
                await self._bucket.delete(name)

    async def _update(self, view: View, definition: Definition) -> None:
        try:
            made, outcome = await self._made(view, definition)
            await self._bucket.put_manifest(made)
        except _FAILED as error:
            outcome = "failed"
            log("WARNING", "no snapshot", error=repr(error)[:200])
        else:
            self._known[definition.key] = made
            self._true[definition.key, definition.at] = made.made / 1000
        self._metrics.snapshots.labels(outcome).inc()

    async def _made(self, view: View, definition: Definition) -> tuple[Manifest, str]:
        known = self._known.get(definition.key)
        async with view.fixed():
            # The state is fixed by the first statement; the moment lies before it.
            made = int(time.time() * 1000)
            positions = await view.positions(definition.lane)
            repaired = await view.last_repaired()
            if known is not None and await self._still_true(view, known, definition):
                now = replace(known, made=made, positions=positions, repaired=repaired)
                return now, "kept"
            rows, pieces = await self._write(view, definition, made)
        manifest = Manifest(
            tenant=definition.tenant,
            collection=definition.name,
            created=definition.at,
            dimension=definition.dimension,
            element=definition.element,
            made=made,
            written=made,
            positions=positions,
            repaired=repaired,
            rows=rows,
            parts=pieces,
        )
        return manifest, "written"

    async def _write(
        self, view: View, definition: Definition, made: int
    ) -> tuple[int, tuple[Piece, ...]]:
        """Writes the parts; how many rows they hold, and their names."""
        rows, pieces = 0, list[Piece]()
        found = view.items(definition)
        async for part in parts_of(found, definition.width, PART_BYTES):
            rows += len(part.ids)
            name = part_name(definition.key, made, len(pieces))
            pieces.append(await self._bucket.put_part(name, part.encoded()))
        return rows, tuple(pieces)

    async def _still_true(
        self, view: View, known: Manifest, definition: Definition
    ) -> bool:
        young = time.time() - known.written / 1000 < _REWRITE_SECONDS
        if not (young and known.fits(definition)):
            return False
        since = known.positions
        async with aclosing(view.changed(definition, since, known.repaired)) as rows:
            async for _ in rows:
                return False
        return await view.reaches_back(definition.lane, since)
