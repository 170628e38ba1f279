"""Loads many items with several requests under way, and says how far it is."""

import asyncio
import time
from collections.abc import AsyncIterable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from service.client.errors import ClientError

if TYPE_CHECKING:
    from service.client.client import Client

Json = dict[str, Any]


@dataclass
class Progress:
    """How far a load is."""

    stored: int = 0
    refused: list[Json] = field(default_factory=list)
    """Results of items that were not stored: `id` and `error`."""
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Items stored a second."""
        return self.stored / self.seconds if self.seconds else 0.0


async def load(
    client: "Client",
    collection: str,
    items: Iterable[Json] | AsyncIterable[Json],
    *,
    batch: int = 500,
    parallel: int = 4,
    progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Stores items as they come, `parallel` batches at once; memory stays bounded.

    A batch that fails for good ends the load with its error; nothing is lost of what
    was stored, and the same load again stores the same items.
    """
    state, started = Progress(), time.monotonic()
    waiting: asyncio.Queue[list[Json] | None] = asyncio.Queue(parallel)

    async def work() -> None:
        while (some := await waiting.get()) is not None:
            results = await _put(client, collection, some)
            refused = [r for r in results if "error" in r]
            state.stored += len(results) - len(refused)
            state.refused += refused
            state.seconds = time.monotonic() - started
            if progress is not None:
                progress(state)

    async def feed() -> None:
        some: list[Json] = []
        async for item in _each(items):
            some.append(item)
            if len(some) == batch:
                await waiting.put(some)
                some = []
        if some:
            await waiting.put(some)
        for _ in range(parallel):
            await waiting.put(None)

    async with asyncio.TaskGroup() as group:
        group.create_task(feed())
        for _ in range(parallel):
            group.create_task(work())
    state.seconds = time.monotonic() - started
    return state


async def _put(client: "Client", collection: str, some: list[Json]) -> list[Json]:
    """Results of a batch; one whose items are all refused is an error of its own."""
    try:
        return await client.put(collection, some)
    except ClientError as error:
        if error.status != 400:
            raise
        if len(some) == 1:
            problem = {"code": error.code, "message": str(error)}
            return [{"id": some[0].get("id"), "error": problem}]
    return [r for item in some for r in await _put(client, collection, [item])]


async def _each(items: Iterable[Json] | AsyncIterable[Json]) -> AsyncIterable[Json]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
