"""What an instance does, apart from how it is asked."""

import asyncio
import base64
import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import numpy
import orjson

from service.contract import (
    CreateCollection,
    Delete,
    DeleteItem,
    Search,
    ServiceError,
    Upsert,
    UpsertItem,
    parse,
    parse_metadata,
    parse_vector,
)
from service.google import Google
from service.kernel import Kernel
from service.kernel.interface import unit
from service.log.change import TENANT, lane_of
from service.log.commit import Committed, Committer, Pending
from service.log.database import GONE, connect, pool
from service.log.reader import Definition, Reader
from service.settings import Settings
from service.stream.lanes import Lanes
from service.telemetry import Metrics
from service.text.embed import Embedder

_IN_LOOP = 2_000_000
"""Multiplications up to which a search is cheaper than a change of thread."""


class Instance:
    """Collections, writes, searches and what they need."""

    def __init__(
        self,
        settings: Settings,
        google: Google,
        database: asyncpg.Pool,
        kernel: Kernel,
        embedder: Embedder,
    ) -> None:
        self.settings = settings
        self.google = google
        self.kernel = kernel
        self.embedder = embedder
        self.metrics = Metrics()
        self.metrics.kernel.labels(kernel.name).set(1)
        self.reader = Reader(database)
        self.lanes = Lanes(settings, self.reader, google, kernel, self.metrics)
        self.committer = Committer(settings, google.token, self.metrics)
        self._threads = ThreadPoolExecutor(2, "search")

    @classmethod
    async def open(
        cls, settings: Settings, kernel: Kernel, embedder: Embedder
    ) -> "Instance":
        """An instance with its connections, which are made when used."""
        google = Google(settings)
        database = await pool(settings, settings.database_local, google.token)
        return cls(settings, google, database, kernel, embedder)

    async def close(self) -> None:
        """Ends following and closes connections."""
        self.lanes.close()
        self._threads.shutdown(wait=False)
        self.reader.pool.terminate()
        await self.google.close()

    async def create(self, given: object) -> dict[str, Any]:
        """Creates a collection, or answers what it is when it is the same."""
        wanted = parse(CreateCollection, given)
        if wanted.dimension > self.settings.limits.max_dimension:
            raise ServiceError(
                "out_of_range",
                f"body.dimension is {wanted.dimension}; allowed: 1 to "
                f"{self.settings.limits.max_dimension}.",
            )
        known = await self.reader.definition(wanted.name)
        if known is None:
            known = await self._create(wanted)
        for key in ("dimension", "metric"):
            if getattr(known, key) != getattr(wanted, key):
                raise ServiceError(
                    "immutable_field",
                    f"{wanted.name} exists with {key} {getattr(known, key)}, "
                    f"{getattr(wanted, key)} given: {key} never changes; use "
                    "another name.",
                    details={"key": key},
                )
        self.lanes.learn(known)
        return known.shown()

    async def _create(self, wanted: CreateCollection) -> Definition:
        fields = {"dimension": wanted.dimension, "metric": wanted.metric}
        text = orjson.dumps(fields).decode()
        event = f"collection/{wanted.name}"
        pending = Pending(event, wanted.name, "", "collection", None, text)
        self.committer.submit([pending])
        await pending.done
        self.metrics.writes.labels("collection").inc()
        return await self._primary_definition(wanted.name)

    async def _primary_definition(self, name: str) -> Definition:
        """As the primary has it: somebody else may have been first."""
        settings = self.settings
        try:
            connection = await connect(
                settings, settings.database_primary, self.google.token
            )
            try:
                found = await Reader(connection).definition(name)
            finally:
                await connection.close()
        except GONE as error:
            raise ServiceError(
                "unavailable",
                f"The primary in {settings.hub} does not answer "
                f"({type(error).__name__}): create it again.",
                elsewhere=True,
            ) from None
        if found is None:
            raise ServiceError("internal", f"{name} was not created.")
        return found

    async def definition(self, name: str) -> Definition:
        """A collection; a replica may lag, so the primary is asked too."""
        try:
            return await self.lanes.definition(name)
        except ServiceError as error:
            if error.code != "unknown_collection" or self.settings.is_hub:
                raise
        try:
            found = await self._primary_definition(name)
        except ServiceError:
            return await self.lanes.definition(name)
        self.lanes.learn(found)
        return found

    async def upsert(self, name: str, given: object, request_id: str) -> dict[str, Any]:
        """Stores items; each has its own result."""
        definition = await self.definition(name)
        items = self._items(parse(Upsert, given).items)
        prepared = await self._prepare(definition, items, request_id)
        return await self._write(name, "upsert", items, prepared)

    async def delete(self, name: str, given: object, request_id: str) -> dict[str, Any]:
        """Deletes items; each has its own result."""
        await self.definition(name)
        items = self._items(parse(Delete, given).items)
        prepared: list[Pending | ServiceError] = []
        for n, entry in enumerate(items):
            try:
                one = parse(DeleteItem, entry, f"body.items[{n}]")
                event = one.event_id or _event_id(request_id, n, entry)
                prepared.append(Pending(event, name, one.id, "delete", None, "{}"))
            except ServiceError as error:
                prepared.append(error)
        return await self._write(name, "delete", items, prepared)

    def _items(self, items: list[Any]) -> list[Any]:
        most = self.settings.limits.max_batch_items
        if not items:
            raise ServiceError("batch_empty", f"body.items is empty: send 1 to {most}.")
        if len(items) > most:
            raise ServiceError(
                "batch_too_large",
                f"body.items has {len(items)} items; at most {most}: send several.",
                details={"given": len(items), "allowed": most},
            )
        return items

    async def _prepare(
        self, definition: Definition, items: list[Any], request_id: str
    ) -> list[Pending | ServiceError]:
        prepared: list[Pending | ServiceError] = []
        texts: dict[int, str] = {}
        for n, entry in enumerate(items):
            where = f"body.items[{n}]"
            try:
                one = parse(UpsertItem, entry, where)
                metadata = parse_metadata(
                    one.metadata,
                    self.settings.limits.max_metadata_bytes,
                    f"{where}.metadata",
                )
                vector = None
                if one.text is not None:
                    self._refuse_text(definition)
                    texts[n] = one.text
                elif one.vector is not None:
                    vector = parse_vector(
                        one.vector, definition.dimension, f"{where}.vector"
                    ).tobytes()
                event = one.event_id or _event_id(request_id, n, entry)
                prepared.append(
                    Pending(event, definition.name, one.id, "upsert", vector, metadata)
                )
            except ServiceError as error:
                prepared.append(error)
        vectors = await self.embedder.embed(list(texts.values())) if texts else []
        for n, embedded in zip(texts, vectors, strict=True):
            pending = prepared[n]
            if isinstance(pending, Pending):
                pending.vector = embedded.tobytes()
        return prepared

    def _refuse_text(self, definition: Definition) -> None:
        if self.embedder.available and definition.dimension != 384:
            raise ServiceError(
                "wrong_dimension",
                f"Sentences have 384 components, {definition.name} has "
                f"{definition.dimension}: send a vector.",
                details={"given": 384, "allowed": definition.dimension},
            )
        if not self.embedder.available:
            raise ServiceError(
                "text_unavailable",
                "This service runs without the extra [text]: send a vector.",
            )

    async def _write(
        self,
        name: str,
        op: str,
        items: Sequence[Any],
        prepared: list[Pending | ServiceError],
    ) -> dict[str, Any]:
        pending = [p for p in prepared if isinstance(p, Pending)]
        if not pending:
            raise self._all_refused(prepared)
        self.committer.submit(pending)
        done = await asyncio.gather(*(p.done for p in pending), return_exceptions=True)
        failed = next((r for r in done if isinstance(r, ServiceError)), None)
        if failed and not any(isinstance(r, Committed) for r in done):
            raise failed
        answers = dict(zip(map(id, pending), done, strict=True))
        results = [
            self._result(entry, p, answers.get(id(p)))
            for entry, p in zip(items, prepared, strict=True)
        ]
        stored = sum("error" not in r for r in results)
        self.metrics.writes.labels(op).inc(stored)
        return {"results": results, "stored": stored, "region": self.settings.region}

    @staticmethod
    def _all_refused(prepared: list[Pending | ServiceError]) -> ServiceError:
        errors = [p for p in prepared if isinstance(p, ServiceError)]
        first = errors[0]
        details = {**first.details, "results": [{"error": e.item()} for e in errors]}
        return ServiceError(
            first.code,
            first.message,
            details=details if len(errors) > 1 else first.details,
        )

    def _result(
        self, entry: Any, prepared: Pending | ServiceError, answer: Any
    ) -> dict[str, Any]:
        refused = prepared if isinstance(prepared, ServiceError) else answer
        if isinstance(refused, BaseException):
            given = entry.get("id") if isinstance(entry, dict) else None
            error = (
                refused.item()
                if isinstance(refused, ServiceError)
                else {"code": "internal", "message": "The write failed."}
            )
            return {"id": given if isinstance(given, str) else None, "error": error}
        assert isinstance(prepared, Pending)
        return {
            "id": prepared.item_id,
            "event_id": prepared.event_id,
            "version": answer.at,
            "committed_at": answer.committed,
            "position": {
                "origin": self.settings.hub,
                "lane": answer.lane,
                "epoch": answer.position.epoch,
                "seq": answer.position.seq,
            },
        }

    async def query_vector(
        self, definition: Definition, vector: Any, text: str | None, where: str
    ) -> Any:
        """A query as the collection's metric scores it, shape (dimension,)."""
        if text is not None:
            self._refuse_text(definition)
            (row,) = await self.embedder.embed([text])
            return row
        row = parse_vector(vector, definition.dimension, where)
        return unit(row) if definition.metric == "cosine" else row

    async def search(self, name: str, given: object) -> dict[str, Any]:
        """The nearest items."""
        definition = await self.definition(name)
        wanted = parse(Search, given)
        query = await self.query_vector(
            definition, wanted.vector, wanted.text, "body.vector"
        )
        items = await self.lanes.items(name)
        low = -numpy.inf if wanted.minimum_score is None else wanted.minimum_score
        started = time.perf_counter()
        index = items.index
        with index.reading():
            if len(index) * definition.dimension <= _IN_LOOP:
                slots, scores = index.search(query, wanted.k, low)
            else:
                slots, scores = await asyncio.get_running_loop().run_in_executor(
                    self._threads, index.search, query, wanted.k, low
                )
            self.metrics.search_seconds.observe(time.perf_counter() - started)
            return {"hits": items.hits(slots, scores), "region": self.settings.region}

    async def item(self, name: str, item: str) -> dict[str, Any]:
        """One item as this region's database has it."""
        await self.definition(name)
        row = await self.reader.item(TENANT, name, item)
        if row is None:
            raise ServiceError(
                "unknown_item",
                f"{name} holds no item {item!r} in {self.settings.region}.",
            )
        return {
            "id": item,
            "vector": base64.b64encode(row["vector"]).decode(),
            "metadata": orjson.Fragment(row["metadata"]),
            "version": row["at"],
            "origin": row["origin"],
        }

    async def describe(self, name: str) -> dict[str, Any]:
        """A collection and how many items it has here."""
        definition = await self.definition(name)
        return self._described(definition, await self.reader.count(name))

    async def collections(self) -> dict[str, Any]:
        """All collections."""
        found = await self.reader.definitions()
        counts = [await self.reader.count(d.name) for d in found]
        described = map(self._described, found, counts)
        return {"collections": list(described), "region": self.settings.region}

    @staticmethod
    def _described(definition: Definition, count: int) -> dict[str, Any]:
        lane = lane_of(TENANT, definition.name)
        return {**definition.shown(), "count": count, "lane": lane}

    async def embed(self, texts: list[Any]) -> dict[str, Any]:
        """Vectors of sentences."""
        self._items(texts)
        for n, text in enumerate(texts):
            if not isinstance(text, str) or not text:
                raise ServiceError("wrong_type", f"body.texts[{n}]: send a sentence.")
        vectors = await self.embedder.embed(texts)
        return {"vectors": [v.tolist() for v in vectors]}


def _event_id(request_id: str, n: int, entry: Any) -> str:
    """The same for the same item of the same request, wherever it is sent again.

    A load balancer that tries another region keeps the request's id. The item is
    part of it, because some clients use one request id for everything.
    """
    digest = hashlib.blake2b(orjson.dumps(entry), digest_size=16)
    digest.update(f"/{n}/{request_id}".encode())
    return digest.hexdigest()
