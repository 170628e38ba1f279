"""Writes: upsert, patch, delete. Items have results of their own."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson

from service.access.context import Context
from service.api.catching import catch_up
from service.api.holdings import Holdings
from service.contract import Filter, ServiceError, parse, parse_metadata, parse_vector
from service.contract.requests import (
    Delete,
    DeleteItem,
    Patch,
    PatchItem,
    Upsert,
    UpsertItem,
)
from service.log.change import Position
from service.log.commit import Committed
from service.log.definition import Definition
from service.log.writing import Outcome, Write
from service.stream.forward import PATIENCE
from service.stream.instance import Instance
from service.stream.token import write_token

Item = TypeVar("Item", UpsertItem, PatchItem, DeleteItem)
Prepared = list[Write | ServiceError]
"""What is sent to the hub that takes it, and what it is spared."""


class Writes:
    """Operations that change items."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._holdings = Holdings(instance)

    async def upsert(self, context: Context, request: Upsert) -> dict[str, Any]:
        """Stores items."""
        definition = await self._instance.definition(context, request.collection)
        items = self._instance.batch(request.items, "body.items")
        prepared = await self._upserts(definition, items, context.request_id)
        fitting = [p for p in prepared if isinstance(p, Write)]
        await self._holdings.check(definition, fitting)
        return await self._write(context, definition, "upsert", items, prepared)

    async def patch(self, context: Context, request: Patch) -> dict[str, Any]:
        """Merges metadata into items that are there."""
        definition = await self._instance.definition(context, request.collection)
        items = self._instance.batch(request.items, "body.items")
        prepared = self._patches(definition, items, context.request_id)
        return await self._write(
            context, definition, "patch", items, prepared, alone=False
        )

    async def delete(self, context: Context, request: Delete) -> dict[str, Any]:
        """Deletes named items, or at most a batch of those that a filter finds."""
        definition = await self._instance.definition(context, request.collection)
        if request.items is not None:
            items = self._instance.batch(request.items, "body.items")
            prepared = self._deletes(definition, items, context.request_id)
            return await self._write(context, definition, "delete", items, prepared)
        filter_: Filter | None = request.filter  # type: ignore[assignment]  # parsed
        found, items = await self._passing(context, definition, filter_)
        more = {"more": len(found) > len(items)}
        if not items:
            empty = {"results": [], "stored": 0}
            return empty | more | {"region": self._instance.settings.region}
        prepared = self._deletes(definition, items, context.request_id)
        answer = await self._write(context, definition, "delete", items, prepared)
        return answer | more

    async def _passing(
        self, context: Context, definition: Definition, filter_: Filter | None
    ) -> tuple[list[str], list[dict[str, Any]]]:
        """Ids that pass, and what deletes a batch of them.

        Where another hub writes, what this region holds must have come as far as the
        home, and an item that changes on the way there is not what was found.
        """
        away = self._hub(definition) != self._instance.settings.hub
        if away:
            home = definition.fields.home
            head = await self._instance.forward.head(definition, _patience(context))
            await catch_up(self._instance, definition, {home: head}, context)
        held = await self._instance.lanes.items(definition)
        found = held.passing(filter_)
        items: list[dict[str, Any]] = []
        for item in found[: self._instance.settings.limits.max_batch_items]:
            condition = {"if_version": held.version(item)} if away else {}
            items.append({"id": item} | condition)
        return found, items

    def _refuse_condition(self, definition: Definition, version: int | None) -> None:
        if version is not None and definition.fields.writes != "home":
            raise ServiceError(
                "not_supported",
                f"{definition.name} is written anywhere, where no hub can judge "
                "if_version: create a collection with writes: home.",
            )

    def _prepared(
        self,
        definition: Definition,
        kind: type[Item],
        items: list[Any],
        make: Callable[[int, Item], Write],
    ) -> Prepared:
        """Each entry as a write, or the error that it is refused with."""
        prepared: Prepared = []
        for n, entry in enumerate(items):
            try:
                one = parse(kind, entry, f"body.items[{n}]")
                self._refuse_condition(definition, one.if_version)
                prepared.append(make(n, one))
            except ServiceError as error:
                prepared.append(error)
        return prepared

    async def _upserts(
        self, definition: Definition, items: list[Any], request_id: str
    ) -> Prepared:
        texts: dict[int, str] = {}

        def make(n: int, one: UpsertItem) -> Write:
            write = self._upsert(definition, one, n, items[n], request_id)
            if one.text is not None:
                texts[n] = one.text
            return write

        prepared = self._prepared(definition, UpsertItem, items, make)
        vectors = await self._instance.embed_for(definition, list(texts.values()))
        for n, embedded in zip(texts, vectors, strict=True):
            write = prepared[n]
            if isinstance(write, Write):
                write.vector = definition.stored(embedded)
        return prepared

    def _upsert(
        self, definition: Definition, one: UpsertItem, n: int, entry: Any, request: str
    ) -> Write:
        where = f"body.items[{n}]"
        most = self._instance.settings.limits.max_metadata_bytes
        metadata = parse_metadata(one.metadata, most, f"{where}.metadata")
        vector = None
        if one.text is not None:
            self._instance.refuse_text(definition)
        else:
            row = parse_vector(
                one.vector,  # type: ignore[arg-type]  # one of both is given
                definition.dimension,
                f"{where}.vector",
                definition.element,
            )
            vector = definition.stored(row)
        return Write(
            n=n,
            event_id=one.event_id or event_id(request, n, entry),
            item_id=one.id,
            op="upsert",
            vector=vector,
            metadata=metadata,
            if_version=one.if_version,
        )

    def _patches(
        self, definition: Definition, items: list[Any], request: str
    ) -> Prepared:
        def make(n: int, one: PatchItem) -> Write:
            entry = {"id": one.id, "metadata": one.metadata}
            return Write(
                n=n,
                event_id=one.event_id or event_id(request, n, entry),
                item_id=one.id,
                op="patch",
                metadata=orjson.dumps(one.metadata or {}).decode(),
                if_version=one.if_version,
            )

        return self._prepared(definition, PatchItem, items, make)

    def _deletes(
        self, definition: Definition, items: list[Any], request: str
    ) -> Prepared:
        def make(n: int, one: DeleteItem) -> Write:
            return Write(
                n=n,
                event_id=one.event_id or event_id(request, n, items[n]),
                item_id=one.id,
                op="delete",
                if_version=one.if_version,
            )

        return self._prepared(definition, DeleteItem, items, make)

    async def _write(
        self,
        context: Context,
        definition: Definition,
        op: str,
        items: Sequence[Any],
        prepared: Prepared,
        *,
        alone: bool = True,
    ) -> dict[str, Any]:
        """Commits; `alone`: what fails as a whole is an error of the request."""
        writes = [p for p in prepared if isinstance(p, Write)]
        if not writes and alone:
            raise _all_refused(prepared)
        done = await self._commit(context, definition, writes) if writes else []
        failed = next((r for r in done if isinstance(r, ServiceError)), None)
        stored = [r for r in done if isinstance(r, Committed)]
        if alone and failed and len(writes) == len(prepared) and not stored:
            raise failed
        hub = self._hub(definition)
        outcomes = iter(done)
        results = [
            _result(entry, p, next(outcomes) if isinstance(p, Write) else p, hub)
            for entry, p in zip(items, prepared, strict=True)
        ]
        self._instance.metrics.writes.add(op, count=len(stored))
        answer: dict[str, Any] = {
            "results": results,
            "stored": len(stored),
            "region": self._instance.settings.region,
        }
        if stored:
            last: Position = max(r.position for r in stored)
            answer["token"] = write_token(definition.lane, {hub: last}, 0)
        return answer

    def _hub(self, definition: Definition) -> str:
        """Hub that takes the writes of a collection."""
        return definition.fields.home or self._instance.settings.hub

    async def _commit(
        self, context: Context, definition: Definition, writes: list[Write]
    ) -> list[Outcome]:
        if self._hub(definition) == self._instance.settings.hub:
            return await self._instance.writing.run(definition, writes)
        forward, patience = self._instance.forward, _patience(context)
        return await forward.run(definition, writes, patience)


def _patience(context: Context) -> float:
    """Seconds that a home may take for a message."""
    return min(PATIENCE, context.left(PATIENCE))


def _result(
    entry: Any, prepared: Write | ServiceError, outcome: Outcome, hub: str
) -> dict[str, Any]:
    if isinstance(outcome, ServiceError):
        given = entry.get("id") if isinstance(entry, dict) else None
        known = given if isinstance(given, str) else None
        return {"id": known, "error": outcome.item()}
    assert isinstance(prepared, Write)
    return {
        "id": prepared.item_id,
        "event_id": prepared.event_id,
        "version": outcome.at,
        "committed_at": outcome.committed,
        "position": {
            "origin": hub,
            "lane": outcome.lane,
            "epoch": outcome.position.epoch,
            "seq": outcome.position.seq,
        },
    }


def _all_refused(prepared: Prepared) -> ServiceError:
    errors = [p for p in prepared if isinstance(p, ServiceError)]
    first = errors[0]
    details = {**first.details, "results": [{"error": e.item()} for e in errors]}
    return ServiceError(
        first.code,
        first.message,
        details=details if len(errors) > 1 else first.details,
    )


def event_id(request_id: str, n: int, entry: Any) -> str:
    """The same for the same item of the same request, wherever it is sent again.

    A load balancer that tries another region keeps the request's id. The item is
    part of it, because some clients use one request id for everything.
    """
    content = orjson.dumps(entry, default=bytes.hex)
    digest = hashlib.blake2b(content, digest_size=16)
    digest.update(f"/{n}/{request_id}".encode())
    return digest.hexdigest()
