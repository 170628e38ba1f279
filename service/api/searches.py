"""Searches: from memory, at once or after what the caller wrote has arrived."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy

from service.access.context import Context
from service.api.catching import catch_up
from service.api.queries import Queries
from service.contract import ServiceError
from service.contract.requests import Search
from service.kernel import Index
from service.kernel.native import SEARCH_WIDTH
from service.log.definition import Definition
from service.stream.guide import Way
from service.stream.instance import Instance
from service.stream.items import Items
from service.stream.token import read_token
from service.stream.trial import Asked

_TRIVIAL = 2_000_000
"""Multiplications up to which a search waits for nothing: it takes less than a turn."""
_SHORT = 50_000_000
"""Up to which it runs in the event loop, for about a millisecond at most. In a thread,
on another core with cold caches, the whole request costs 1.4 to 2.2 times the CPU at
100,000 rows of d 384, and no more of them are answered a second (benchmarks/README.md,
"Search of 100,000")."""


class _Done(NamedTuple):
    """An answer and what it took."""

    found: list[Any]
    walked: bool
    """Whether a graph found it."""
    seconds: float
    """Of CPU."""


class Searches:
    """The operation `search`."""

    def __init__(self, instance: Instance, queries: Queries) -> None:
        self._instance = instance
        self._queries = queries
        self._comparing: set[asyncio.Task[None]] = set()

    async def search(self, context: Context, request: Search) -> dict[str, Any]:
        """The nearest items of one vector or of several."""
        instance = self._instance
        context = context.sooner(request.deadline_ms)
        definition = await instance.definition(context, request.collection)
        if request.query is not None:
            request = await self._queries.resolve(definition, request)
        many = request.vectors is not None
        asked = await self._asked(definition, request)
        if request.consistency == "read_your_writes":
            await self._catch_up(definition, request, context)
        items = await instance.lanes.items(definition)
        found = await self._run(items, asked, request, context)
        region = instance.settings.region
        if many:
            return {"results": [{"hits": hits} for hits in found], "region": region}
        return {"hits": found[0], "region": region}

    async def _asked(
        self, definition: Definition, request: Search
    ) -> list[tuple[Any, float]]:
        """(query, offset) of each vector as the metric scores it."""
        instance = self._instance
        if request.vectors is None:
            return [
                await instance.asked(
                    definition, request.vector, request.text, "body.vector"
                )
            ]
        vectors = instance.batch(request.vectors, "body.vectors")
        found = []
        for n, vector in enumerate(vectors):
            if not isinstance(vector, list | str | bytes):
                raise ServiceError(
                    "wrong_type", f"body.vectors[{n}]: send numbers or base64."
                )
            where = f"body.vectors[{n}]"
            found.append(await instance.asked(definition, vector, None, where))
        return found

    async def _run(
        self,
        items: Items,
        asked: list[tuple[Any, float]],
        request: Search,
        context: Context,
    ) -> list[list[dict[str, Any]]]:
        instance, index = self._instance, items.index
        mask = items.mask(request.filter)  # type: ignore[arg-type]  # parsed
        way = self._way(items, request.k, mask, len(asked))
        work = _work(index, asked, request, mask, instance.search_width, way)
        started = time.perf_counter()
        with index.reading():
            size = len(asked) * len(index) * items.definition.dimension
            if size <= _TRIVIAL:
                done = work()
            else:
                place = instance.turns if size <= _SHORT else instance.threads
                done = await place.run(work, context.left(60.0))
            instance.metrics.search_seconds.add(time.perf_counter() - started)
            answer = [items.hits(slots, scores) for slots, scores in done.found]
        instance.metrics.searches.add("graph" if done.walked else "kernel")
        if items.guide is not None and mask is None and len(asked) == 1:
            items.guide.took(Asked(*asked[0], request.k), way, done.seconds)
        if instance.recall.due():
            task = asyncio.create_task(self._compare(items, asked[0], request, done))
            self._comparing.add(task)
            task.add_done_callback(self._comparing.discard)
        return answer

    def _way(self, items: Items, k: int, mask: Any, queries: int) -> Way | None:
        """How the search goes by a graph, where it does."""
        if items.guide is None:
            return None
        width = self._instance.search_width
        share = 1.0 if width is None else width / SEARCH_WIDTH
        return items.guide.way(k, mask is not None, queries, share)

    async def _compare(
        self, items: Items, asked: tuple[Any, float], request: Search, done: _Done
    ) -> None:
        """Compares an answer with an exact one, beside the requests.

        What is written between the two is left out of neither: at one comparison in
        seconds it moves the estimate by less than the interval is wide.
        """
        query, offset = asked
        low = _least(request)
        mask = items.mask(request.filter)  # type: ignore[arg-type]  # parsed
        with items.index.reading():
            exact = await self._instance.threads.run(
                lambda: items.index.exact(query, request.k, low, offset, mask), 5.0
            )
        found, wanted = self._instance.recall.compare(done.found[0][1], exact[1])
        if items.guide is not None and done.walked and wanted:
            items.guide.compared(found, wanted)

    async def _catch_up(
        self, definition: Definition, request: Search, context: Context
    ) -> None:
        """Returns once this instance holds what the token names."""
        if request.token is None:
            raise ServiceError(
                "missing_key",
                "body.token is missing: read_your_writes needs the token of a write.",
            )
        wanted = read_token(request.token, definition.lane).positions
        await catch_up(self._instance, definition, wanted, context)


def _work(
    index: Index,
    asked: list[tuple[Any, float]],
    request: Search,
    mask: Any,
    width: float | None,
    way: Way | None,
) -> Callable[[], _Done]:
    """The search itself, for any thread that stands inside `index.reading()`."""
    k, low = request.k, _least(request)

    def scan() -> list[Any]:
        if len(asked) == 1:
            query, offset = asked[0]
            return [index.search(query, k, low, offset, mask, width)]
        queries = numpy.stack([q for q, _ in asked])
        offsets = numpy.array([o for _, o in asked], numpy.float32)
        return index.search_many(queries, k, low, offsets, mask, width)

    def work() -> _Done:
        began = time.thread_time()
        walked = way.search(index, asked[0][0], k, low, asked[0][1]) if way else None
        found = scan() if walked is None else [walked]
        return _Done(found, walked is not None, time.thread_time() - began)

    return work


def _least(request: Search) -> float:
    return -numpy.inf if request.minimum_score is None else request.minimum_score
