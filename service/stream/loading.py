"""Brings a collection into memory: from a snapshot and the log, or from the table."""

import asyncio
import time
from collections import deque

from service.contract import ServiceError
from service.google import UNREACHABLE
from service.kernel import Kernel
from service.log.change import Positions
from service.log.definition import Definition
from service.log.reader import Reader
from service.log.view import View
from service.snapshot.bucket import Bucket, Damaged, checked
from service.snapshot.manifest import Manifest, Piece
from service.snapshot.part import decoded, parts_of
from service.stream.guide import Guide
from service.stream.guides import Guides
from service.stream.items import Items
from service.telemetry import Metrics, log

_TRUSTED_SECONDS = 43_200
"""Age at which a snapshot is not used: repairs are listed for twice as long."""
_PIECE_BYTES = 2**20
"""Vectors that come from the table before the index takes them, in a thread."""
_AHEAD = 4
"""Parts that are read while one is taken into memory."""


class Loading:
    """Collections of one instance, one at a time."""

    def __init__(
        self,
        reader: Reader,
        bucket: Bucket | None,
        kernel: Kernel,
        guides: Guides,
        metrics: Metrics,
        most_bytes: int,
    ) -> None:
        self._reader = reader
        self._bucket = bucket
        self._kernel = kernel
        self._guides = guides
        self._metrics = metrics
        self._most_bytes = most_bytes

    async def items(
        self, definition: Definition, lane: int, reached: Positions
    ) -> Items:
        """The items as of these positions of the lane or later.

        Raises ServiceError `collection_too_large` and `unavailable`.
        """
        began = time.perf_counter()
        begun = await self._from_snapshot(definition)
        async with self._reader.view() as view:
            await view.reach(lane, reached)
            async with view.fixed():
                items, source = None, "snapshot"
                if begun is not None:
                    items = await self._caught_up(view, *begun)
                if items is None:
                    items, source = await self._whole(view, definition), "database"
        seconds = time.perf_counter() - began
        self._metrics.load_seconds.labels(source).observe(seconds)
        return items

    def _empty(self, definition: Definition) -> Items:
        index = self._kernel.index(definition.dimension, definition.element)
        return Items(definition, index, Guide(index, definition.metric, self._guides))

    async def _from_snapshot(
        self, definition: Definition
    ) -> tuple[Items, Manifest] | None:
        """What the newest snapshot holds, None where none can be used."""
        if self._bucket is None:
            return None
        try:
            manifest = await self._bucket.manifest(definition.key)
            if manifest is None or not self._usable(manifest, definition):
                return None
            items = self._empty(definition)
            await self._fill(items, self._bucket, manifest.parts)
            if len(items) != manifest.rows:
                raise Damaged(f"{len(items)} of {manifest.rows} items are in its parts")
        except (*UNREACHABLE, Damaged, ValueError) as error:
            log("WARNING", "a snapshot is of no use", error=repr(error)[:200])
            return None
        return items, manifest

    def _usable(self, manifest: Manifest, definition: Definition) -> bool:
        old = time.time() - manifest.made / 1000 > _TRUSTED_SECONDS
        small = manifest.rows * definition.width <= self._most_bytes
        return manifest.fits(definition) and small and not old

    async def _fill(
        self, items: Items, bucket: Bucket, pieces: tuple[Piece, ...]
    ) -> None:
        """Reads some parts ahead of the one that is taken."""
        width = items.definition.width

        def take(piece: Piece, data: bytes) -> None:
            items.fill(decoded(checked(piece, data), width))

        left = deque(pieces)
        waiting: deque[tuple[Piece, asyncio.Task[bytes]]] = deque()
        try:
            while left or waiting:
                while left and len(waiting) < _AHEAD:
                    piece = left.popleft()
                    waiting.append((piece, asyncio.create_task(bucket.part(piece))))
                piece, reading = waiting.popleft()
                await asyncio.to_thread(take, piece, await reading)
        finally:
            for _, reading in waiting:
                reading.cancel()

    async def _caught_up(
        self, view: View, items: Items, manifest: Manifest
    ) -> Items | None:
        """With what was written since, None where that is not in the log."""
        definition, since = items.definition, manifest.positions
        async for row in view.changed(definition, since, manifest.repaired):
            items.take(row)
        if await view.reaches_back(definition.lane, since):
            return items
        log("INFO", "a snapshot is too old", age=time.time() - manifest.made / 1000)
        return None

    async def _whole(self, view: View, definition: Definition) -> Items:
        size = await view.vector_bytes(definition)
        if size > self._most_bytes:
            raise ServiceError(
                "collection_too_large",
                f"{definition.name} holds {size} bytes of vectors; an instance holds "
                f"{self._most_bytes}: split the collection.",
                details={"given": size, "allowed": self._most_bytes},
            )
        items = self._empty(definition)
        rows = view.items(definition)
        async for part in parts_of(rows, definition.width, _PIECE_BYTES):
            await asyncio.to_thread(items.fill, part)
        return items
