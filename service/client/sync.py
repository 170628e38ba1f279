"""The client for programs without an event loop."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, Self, TypeVar

from service.client.bulk import Progress, load
from service.client.client import Client
from service.client.queries import Match, Query
from service.client.watching import Watching

T = TypeVar("T")
Json = dict[str, Any]


class SyncClient:
    """`Client` behind plain methods; one thread runs its loop until `close`."""

    def __init__(self, base_url: str | Sequence[str], **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="meridian-client", daemon=True
        )
        self._client = Client(base_url, **options)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Sync{self._client!r}"

    def close(self) -> None:
        """Closes the connections and ends the thread."""
        if not self._loop.is_closed():
            self._run(self._client.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)
            self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def call(self, operation: str, **params: Any) -> Json:
        """Answer of an operation of the contract."""
        return self._run(self._client.call(operation, **params))

    def create(self, name: str, *, dimension: int, **options: Any) -> Json:
        """Creates a collection; the same again is no error."""
        return self._run(self._client.create(name, dimension=dimension, **options))

    def drop(self, collection: str) -> None:
        """Drops a collection with its items; final."""
        self._run(self._client.drop(collection))

    def put(self, collection: str, items: Sequence[Json]) -> list[Json]:
        """Stores items; returns a result for each, in order."""
        return self._run(self._client.put(collection, items))

    def patch(self, collection: str, items: Sequence[Json]) -> list[Json]:
        """Merges metadata into items."""
        return self._run(self._client.patch(collection, items))

    def delete(self, collection: str, ids: Sequence[str]) -> list[Json]:
        """Deletes items; returns a result for each, in order."""
        return self._run(self._client.delete(collection, ids))

    def get(self, collection: str, item: str) -> Json:
        """One item."""
        return self._run(self._client.get(collection, item))

    def signed_address(self, collection: str, item: str, seconds: float = 3600) -> str:
        """Address that opens one item to anybody for a while."""
        return self._client.signed_address(collection, item, seconds)

    def search(self, collection: str, **options: Any) -> list[Json]:
        """The nearest items."""
        return self._run(self._client.search(collection, **options))

    def scroll(self, collection: str, **options: Any) -> Iterator[Json]:
        """All items in the order of their ids."""
        pages = self._client.scroll(collection, **options)
        while True:
            try:
                yield self._run(anext(pages))  # type: ignore[arg-type]  # a coroutine
            except StopAsyncIteration:
                return

    def load(self, collection: str, items: Iterable[Json], **options: Any) -> Progress:
        """Loads many items."""
        return self._run(load(self._client, collection, items, **options))

    def streams(self) -> list[Json]:
        """The tenant's persistent streams."""
        return self._run(self._client.streams())

    def drop_stream(self, stream: str) -> None:
        """Forgets a persistent stream by its id; final."""
        self._run(self._client.drop_stream(stream))

    def watch(
        self, queries: Sequence[Query], over: str | None = None, **options: Any
    ) -> Iterator[Match]:
        """Matches of standing queries, until the iterator is closed."""
        return self._matches(lambda: self._client.watch(queries, over, **options))

    def attach(
        self, streams: str | Sequence[str], over: str | None = None, **options: Any
    ) -> Iterator[Match]:
        """Matches of persistent streams by their ids, until the iterator is closed."""
        return self._matches(lambda: self._client.attach(streams, over, **options))

    def _matches(self, watch: Callable[[], Watching]) -> Iterator[Match]:
        async def begin() -> Any:
            watching = watch()
            await watching.ready()
            return watching

        watching = self._run(begin())
        matches = aiter(watching)
        try:
            while True:
                yield self._run(anext(matches))
        finally:
            self._run(watching.close())
