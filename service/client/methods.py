"""The operations as methods with types; `Client` carries them out."""

import asyncio
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from service.client.queries import Attachment, Query
from service.client.watching import Watching

if TYPE_CHECKING:
    from service.client.client import Client

Json = dict[str, Any]
_BATCH = 500


class Methods(ABC):
    """What a client can be asked."""

    deadline: float
    over: str

    @abstractmethod
    async def call(self, operation: str, **options: Any) -> Json:
        """Answer of an operation of the contract."""

    async def create(
        self, name: str, *, dimension: int, metric: str = "cosine", **options: Any
    ) -> Json:
        """Creates a collection; the same again is no error."""
        return await self.call(
            "create_collection",
            name=name,
            dimension=dimension,
            metric=metric,
            **options,
        )

    async def collections(self) -> list[Json]:
        """All collections, with the count of their items."""
        return list((await self.call("list_collections"))["collections"])

    async def describe(self, collection: str) -> Json:
        """One collection."""
        return await self.call("describe_collection", collection=collection)

    async def drop(self, collection: str) -> None:
        """Drops a collection with its items; final."""
        await self.call("drop_collection", collection=collection)

    async def count(self, collection: str, filter: Json | None = None) -> int:  # noqa: A002 (the contract's word)
        """How many items there are, or pass a filter."""
        answer = await self.call(
            "count_items", collection=collection, **_given(filter=filter)
        )
        return int(answer["count"])

    async def put(self, collection: str, items: Sequence[Json]) -> list[Json]:
        """Stores items; returns a result for each, in order.

        An item has `id`, `vector` or `text`, and may have `metadata`, `event_id`.
        """
        return await self._write("upsert", collection, [dict(i) for i in items])

    async def patch(self, collection: str, items: Sequence[Json]) -> list[Json]:
        """Merges metadata into items: each has `id` and `metadata`."""
        return await self._write("patch", collection, [dict(i) for i in items])

    async def delete(self, collection: str, ids: Sequence[str]) -> list[Json]:
        """Deletes items; returns a result for each, in order."""
        return await self._write("delete", collection, [{"id": i} for i in ids])

    async def delete_where(self, collection: str, filter: Json) -> int:  # noqa: A002 (the contract's word)
        """Deletes all items that pass a filter; returns how many."""
        deleted, more = 0, True
        while more:
            answer = await self.call("delete", collection=collection, filter=filter)
            deleted += int(answer["stored"])
            more = bool(answer["more"])
            if more:
                # The region's memory follows its log; ask for what is left then.
                await asyncio.sleep(0.1)
        return deleted

    async def search(
        self,
        collection: str,
        *,
        vector: Any = None,
        text: str | None = None,
        k: int = 10,
        minimum_score: float | None = None,
        **options: Any,
    ) -> list[Json]:
        """The nearest items: `id`, `score`, `version`, `metadata`."""
        given = _given(vector=vector, text=text, minimum_score=minimum_score)
        found = await self.call(
            "search", collection=collection, k=k, **given, **options
        )
        return list(found["hits"])

    async def search_many(
        self, collection: str, vectors: Sequence[Any], *, k: int = 10, **options: Any
    ) -> list[list[Json]]:
        """The nearest items of several vectors, in one request."""
        found = await self.call(
            "search", collection=collection, vectors=list(vectors), k=k, **options
        )
        return [list(result["hits"]) for result in found["results"]]

    async def get(self, collection: str, item: str) -> Json:
        """One item."""
        return await self.call("get_item", collection=collection, id=item)

    async def scroll(
        self, collection: str, *, page: int = 500, **options: Any
    ) -> AsyncIterator[Json]:
        """All items in the order of their ids."""
        cursor: dict[str, str] = {}
        while True:
            answer = await self.call(
                "scroll", collection=collection, limit=page, **cursor, **options
            )
            for item in answer["items"]:
                yield item
            if "cursor" not in answer:
                return
            cursor = {"cursor": answer["cursor"]}

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Vectors of sentences."""
        answer = await self.call("embed", texts=list(texts))
        return [v if isinstance(v, list) else list(v) for v in answer["vectors"]]

    async def streams(self) -> list[Json]:
        """The tenant's persistent streams; a hub that is away leaves its own out."""
        return list((await self.call("list_streams"))["streams"])

    async def drop_stream(self, stream: str) -> None:
        """Forgets a persistent stream by its id; final."""
        await self.call("drop_stream", id=stream)

    def watch(
        self,
        queries: Sequence[Query],
        over: str | None = None,
        *,
        persistent: bool = False,
        acks: str = "taken",
    ) -> Watching:
        """Follows standing queries; iterate over it for the matches.

        `over` is `websocket`, `sse` or `grpc`; by default what the client uses. With
        `persistent` all of them are kept, and `attach` goes on by their ids. A match
        of such a stream is acknowledged when the next one is asked for (`acks` is
        `taken`) or by `Watching.ack` (`explicit`).
        """
        if persistent:
            queries = [replace(query, persistent=True) for query in queries]
        return self._watching(queries, over, acks)

    def attach(
        self,
        streams: str | Sequence[str],
        over: str | None = None,
        *,
        credit: int | None = None,
        acks: str = "taken",
    ) -> Watching:
        """Takes persistent streams over by their ids, which are their names then.

        Matches that were not acknowledged come again, what was is over. Whoever had
        a stream is told that it goes on elsewhere: ClientError `fenced`.
        """
        ids = [streams] if isinstance(streams, str) else streams
        taken = [Attachment(id=i, stream=i, credit=credit) for i in ids]
        return self._watching(taken, over, acks)

    def _watching(
        self, queries: Sequence[Query | Attachment], over: str | None, acks: str
    ) -> Watching:
        default = "grpc" if self.over == "grpc" else "websocket"
        return Watching(cast("Client", self), queries, over or default, acks)

    async def _write(self, op: str, collection: str, items: list[Json]) -> list[Json]:
        results: list[Json] = []
        for start in range(0, len(items), _BATCH):
            some = items[start : start + _BATCH]
            results += await self._write_batch(op, collection, some)
        return results

    async def _write_batch(
        self, op: str, collection: str, items: list[Json]
    ) -> list[Json]:
        """Items that the primary did not take are sent again, the same ids."""
        items = identified({"items": items})["items"]
        results: dict[int, Json] = {}
        left = list(range(len(items)))
        until = time.monotonic() + self.deadline
        while left:
            answer = await self.call(
                op,
                collection=collection,
                items=[items[n] for n in left],
                deadline=max(0.1, until - time.monotonic()),
            )
            results |= dict(zip(left, answer["results"], strict=True))
            if time.monotonic() > until:
                break
            left = [n for n in left if _try_again(results[n])]
            if left:
                await asyncio.sleep(0.2)
        return [results[n] for n in range(len(items))]


def _given(**values: Any) -> Json:
    return {key: value for key, value in values.items() if value is not None}


def identified(params: Json) -> Json:
    """With an event id for each item: a retry is the same write."""
    items = params.get("items")
    if not isinstance(items, Iterable):
        return params
    made = [
        {"event_id": uuid.uuid4().hex} | i if isinstance(i, dict) else i for i in items
    ]
    return params | {"items": made}


def _try_again(result: Json) -> bool:
    code = result.get("error", {}).get("code")
    return code in ("unavailable", "home_away", "overloaded")
