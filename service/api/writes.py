"""Writes: upsert, patch, delete. Items have results of their own."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

import orjson

from service.access.context import Context
from service.api.holdings import Holdings
from service.contract import ServiceError, parse, parse_metadata, parse_vector
from service.contract.requests import (
    Delete,
    DeleteItem,
    Patch,
    PatchItem,
    Upsert,
    UpsertItem,
)
from service.log.change import Position
from service.log.commit import Committed, Pending
from service.log.database import GONE
from service.log.definition import Definition
from service.log.patch import merged
from service.stream.instance import Instance
from service.stream.token import write_token

_ATTEMPTS = 5
"""Times a patch is tried again whose item was changed under it."""
Prepared = list[Pending | ServiceError]


class Writes:
    """Operations that change items."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._holdings = Holdings(instance)

    async def upsert(self, context: Context, request: Upsert) -> dict[str, Any]:
        """Stores items."""
        definition = await self._writable(context, request.collection)
        items = self._instance.batch(request.items, "body.items")
        prepared = await self._upserts(definition, items, context.request_id)
        fitting = [p for p in prepared if isinstance(p, Pending)]
        await self._holdings.check(definition, fitting)
        return await self._write(definition, "upsert", items, prepared)

    async def patch(self, context: Context, request: Patch) -> dict[str, Any]:
        """Merges metadata into items that are there."""
        definition = await self._writable(context, request.collection)
        items = self._instance.batch(request.items, "body.items")
        wanted: list[PatchItem | ServiceError] = []
        for n, entry in enumerate(items):
            try:
                one = parse(PatchItem, entry, f"body.items[{n}]")
                self._refuse_condition(definition, one.if_version)
                wanted.append(one)
            except ServiceError as error:
                wanted.append(error)
        results: dict[int, dict[str, Any]] = {}
        left = list(range(len(items)))
        answer: dict[str, Any] = {}
        for _ in range(_ATTEMPTS):
            some = [wanted[n] for n in left]
            prepared = await self._patches(definition, some, context.request_id, left)
            answer = await self._write(
                definition, "patch", [items[n] for n in left], prepared, alone=False
            )
            results |= dict(zip(left, answer["results"], strict=True))
            left = [n for n in left if _lost(wanted[n], results[n])]
            if not left:
                break
        answer["results"] = [results[n] for n in range(len(items))]
        answer["stored"] = sum("error" not in r for r in results.values())
        return answer

    async def delete(self, context: Context, request: Delete) -> dict[str, Any]:
        """Deletes named items, or at most a batch of those that a filter finds."""
        definition = await self._writable(context, request.collection)
        if request.items is not None:
            items = self._instance.batch(request.items, "body.items")
            prepared = self._deletes(definition, items, context.request_id)
            return await self._write(definition, "delete", items, prepared)
        held = await self._instance.lanes.items(definition)
        found = held.passing(request.filter)
        most = self._instance.settings.limits.max_batch_items
        items = [{"id": item} for item in found[:most]]
        more = {"more": len(found) > most}
        if not items:
            empty = {"results": [], "stored": 0}
            return empty | more | {"region": self._instance.settings.region}
        prepared = self._deletes(definition, items, context.request_id)
        return await self._write(definition, "delete", items, prepared) | more

    async def _writable(self, context: Context, name: str) -> Definition:
        definition = await self._instance.definition(context, name)
        home, hub = definition.fields.home, self._instance.settings.hub
        if home and home != hub:
            raise ServiceError(
                "not_home",
                f"{name} is written in {home} only, this region writes to {hub}: send "
                f"it to {home} or a region that writes there.",
                details={"home": home},
            )
        return definition

    def _refuse_condition(self, definition: Definition, version: int | None) -> None:
        if version is not None and definition.fields.writes != "home":
            raise ServiceError(
                "not_supported",
                f"{definition.name} is written anywhere, where no hub can judge "
                "if_version: create a collection with writes: home.",
            )

    async def _upserts(
        self, definition: Definition, items: list[Any], request_id: str
    ) -> Prepared:
        prepared: Prepared = []
        texts: dict[int, str] = {}
        for n, entry in enumerate(items):
            try:
                one = parse(UpsertItem, entry, f"body.items[{n}]")
                self._refuse_condition(definition, one.if_version)
                prepared.append(self._upsert(definition, one, n, entry, request_id))
                if one.text is not None:
                    texts[n] = one.text
            except ServiceError as error:
                prepared.append(error)
        vectors = await self._instance.embed_for(definition, list(texts.values()))
        for n, embedded in zip(texts, vectors, strict=True):
            pending = prepared[n]
            if isinstance(pending, Pending):
                pending.vector = definition.stored(embedded)
        return prepared

    def _upsert(
        self, definition: Definition, one: UpsertItem, n: int, entry: Any, request: str
    ) -> Pending:
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
        return Pending(
            one.event_id or event_id(request, n, entry),
            definition.name,
            one.id,
            "upsert",
            vector,
            metadata,
            tenant=definition.tenant,
            if_version=one.if_version,
        )

    async def _patches(
        self,
        definition: Definition,
        wanted: Sequence[PatchItem | ServiceError],
        request_id: str,
        numbers: list[int],
    ) -> Prepared:
        ids = [w.id for w in wanted if isinstance(w, PatchItem)]
        try:
            rows = await self._instance.primary_reader.some(definition, ids)
        except GONE as error:
            raise self._instance.primary_away(error) from None
        most = self._instance.settings.limits.max_metadata_bytes
        prepared: Prepared = []
        for n, one in zip(numbers, wanted, strict=True):
            if isinstance(one, ServiceError):
                prepared.append(one)
                continue
            row = rows.get(one.id)
            try:
                if row is None:
                    raise _no_item(definition, one.id)
                text = merged(row["metadata"], one.metadata or {})
                metadata = parse_metadata(
                    orjson.loads(text), most, f"body.items[{n}].metadata"
                )
                seen = row["at"] if one.if_version is None else one.if_version
                entry = {"id": one.id, "metadata": one.metadata}
                prepared.append(
                    Pending(
                        one.event_id or event_id(request_id, n, entry),
                        definition.name,
                        one.id,
                        "upsert",
                        row["vector"],
                        metadata,
                        tenant=definition.tenant,
                        if_version=seen,
                    )
                )
            except ServiceError as error:
                prepared.append(error)
        return prepared

    def _deletes(
        self, definition: Definition, items: list[Any], request_id: str
    ) -> Prepared:
        prepared: Prepared = []
        for n, entry in enumerate(items):
            try:
                one = parse(DeleteItem, entry, f"body.items[{n}]")
                self._refuse_condition(definition, one.if_version)
                event = one.event_id or event_id(request_id, n, entry)
                prepared.append(
                    Pending(
                        event,
                        definition.name,
                        one.id,
                        "delete",
                        None,
                        "{}",
                        tenant=definition.tenant,
                        if_version=one.if_version,
                    )
                )
            except ServiceError as error:
                prepared.append(error)
        return prepared

    async def _write(
        self,
        definition: Definition,
        op: str,
        items: Sequence[Any],
        prepared: Prepared,
        *,
        alone: bool = True,
    ) -> dict[str, Any]:
        """Commits; `alone`: what fails as a whole is an error of the request."""
        pending = [p for p in prepared if isinstance(p, Pending)]
        if not pending and alone:
            raise _all_refused(prepared)
        if pending:
            for one in pending:
                one.durability = definition.fields.durability
            self._instance.committer.submit(pending)
        done = await asyncio.gather(*(p.done for p in pending), return_exceptions=True)
        failed = next((r for r in done if isinstance(r, ServiceError)), None)
        if alone and failed and len(pending) == len(prepared) and _none_stored(done):
            raise failed
        answers = dict(zip(map(id, pending), done, strict=True))
        results = [
            self._result(entry, p, answers.get(id(p)))
            for entry, p in zip(items, prepared, strict=True)
        ]
        stored = [r for r in done if isinstance(r, Committed)]
        self._instance.metrics.writes.labels(op).inc(len(stored))
        answer: dict[str, Any] = {
            "results": results,
            "stored": len(stored),
            "region": self._instance.settings.region,
        }
        if stored:
            last: Position = max(r.position for r in stored)
            hub = self._instance.settings.hub
            answer["token"] = write_token(definition.lane, {hub: last}, 0)
        return answer

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
                "origin": self._instance.settings.hub,
                "lane": answer.lane,
                "epoch": answer.position.epoch,
                "seq": answer.position.seq,
            },
        }


def _none_stored(done: Sequence[Any]) -> bool:
    return not any(isinstance(r, Committed) for r in done)


def _lost(wanted: PatchItem | ServiceError, result: dict[str, Any]) -> bool:
    """Whether somebody else was faster than a patch without a condition."""
    code = result.get("error", {}).get("code")
    unconditional = isinstance(wanted, PatchItem) and wanted.if_version is None
    return unconditional and code == "version_conflict"


def _no_item(definition: Definition, item: str) -> ServiceError:
    return ServiceError(
        "unknown_item", f"{definition.name} holds no item {item!r}: upsert it."
    )


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
