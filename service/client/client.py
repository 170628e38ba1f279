"""Requests: writes that are retried safely, searches, collections."""

import asyncio
import random
import time
import uuid
from collections.abc import Sequence
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import orjson

from service.client.watching import Query, Watching

_BATCH = 500
_AGAIN = {429, 502, 503, 504}
_AWAY = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


class ClientError(Exception):
    """A refusal: `status`, `code` of the contract, `request_id`, `details`."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(error.get("message", f"HTTP {status}"))
        self.status = status
        self.code: str = error.get("code", "unknown")
        self.request_id: str = error.get("request_id", "")
        self.details: dict[str, Any] = error.get("details", {})


class Client:
    """A client of one address, or of several that are tried in turn."""

    def __init__(
        self,
        base_url: str | Sequence[str],
        *,
        deadline: float = 30.0,
        headers: dict[str, str] | None = None,
    ) -> None:
        urls = [base_url] if isinstance(base_url, str) else list(base_url)
        self._urls = [url.rstrip("/") for url in urls]
        self._deadline = deadline
        self._headers = headers or {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The HTTP session, made at its first use."""
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers)
        return self._session

    @property
    def url(self) -> str:
        """The address in use."""
        return self._urls[0]

    def next_url(self) -> None:
        """Goes on with the next address."""
        self._urls.append(self._urls.pop(0))

    async def create(
        self, name: str, *, dimension: int, metric: str = "cosine"
    ) -> dict[str, Any]:
        """Creates a collection; the same again is no error."""
        body = {"name": name, "dimension": dimension, "metric": metric}
        return await self._call("POST", "/v1/collections", body)

    async def collections(self) -> list[dict[str, Any]]:
        """All collections, with the count of their items."""
        found = await self._call("GET", "/v1/collections")
        return list(found["collections"])

    async def describe(self, collection: str) -> dict[str, Any]:
        """One collection."""
        return await self._call("GET", _path(collection))

    async def put(
        self, collection: str, items: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Stores items; returns a result for each, in order.

        An item has `id`, `vector` or `text`, and may have `metadata`, `event_id`.
        """
        return await self._write(collection, "upsert", [dict(i) for i in items])

    async def delete(self, collection: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Deletes items; returns a result for each, in order."""
        return await self._write(collection, "delete", [{"id": i} for i in ids])

    async def search(
        self,
        collection: str,
        *,
        vector: Sequence[float] | str | None = None,
        text: str | None = None,
        k: int = 10,
        minimum_score: float | None = None,
    ) -> list[dict[str, Any]]:
        """The nearest items: `id`, `score`, `version`, `metadata`."""
        given = {"vector": vector, "text": text, "minimum_score": minimum_score}
        body = {"k": k} | {key: v for key, v in given.items() if v is not None}
        found = await self._call("POST", _path(collection) + ":search", body)
        return list(found["hits"])

    async def get(self, collection: str, item: str) -> dict[str, Any]:
        """One item."""
        path = f"{_path(collection)}/items/{quote(item, safe='')}"
        return await self._call("GET", path)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Vectors of sentences."""
        found = await self._call("POST", "/v1/embed", {"texts": list(texts)})
        return list(found["vectors"])

    def watch(self, queries: Sequence[Query]) -> Watching:
        """Follows standing queries; iterate over it for the matches."""
        return Watching(self, queries)

    async def _write(
        self, collection: str, op: str, items: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        for item in items:
            item.setdefault("event_id", uuid.uuid4().hex)
        path = f"{_path(collection)}/items:{op}"
        results: list[dict[str, Any]] = []
        for start in range(0, len(items), _BATCH):
            results += await self._write_batch(path, items[start : start + _BATCH])
        return results

    async def _write_batch(
        self, path: str, items: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Items that the primary did not take are sent again, the same ids."""
        results: dict[int, dict[str, Any]] = {}
        left = list(range(len(items)))
        until = time.monotonic() + self._deadline
        while left:
            body = {"items": [items[n] for n in left]}
            answer = await self._call("POST", path, body)
            for n, result in zip(left, answer["results"], strict=True):
                results[n] = result
            if time.monotonic() > until:
                break
            left = [n for n in left if _try_again(results[n])]
            if left:
                await asyncio.sleep(0.2)
        return [results[n] for n in range(len(items))]

    async def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        data = None if body is None else orjson.dumps(body)
        headers = {"Content-Type": "application/json"} if data else {}
        until = time.monotonic() + self._deadline
        pause = 0.05
        while True:
            failure: Exception
            try:
                async with self.session.request(
                    method, self.url + path, data=data, headers=headers
                ) as answer:
                    text = await answer.read()
                    if answer.status == 200:
                        return dict(orjson.loads(text))
                    failure = ClientError(answer.status, _error(text))
                    if answer.status not in _AGAIN:
                        raise failure
            except _AWAY as error:
                failure = error
            if time.monotonic() + pause > until:
                raise failure
            self.next_url()
            # Full jitter: clients of a lost region do not come back in step.
            await asyncio.sleep(random.uniform(0, pause))
            pause = min(2 * pause, 1.0)


def _path(collection: str) -> str:
    return f"/v1/collections/{quote(collection, safe='')}"


def _error(text: bytes) -> dict[str, Any]:
    try:
        return dict(orjson.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return {"message": text[:200].decode(errors="replace")}


def _try_again(result: dict[str, Any]) -> bool:
    code = result.get("error", {}).get("code")
    return code in ("unavailable", "overloaded")
