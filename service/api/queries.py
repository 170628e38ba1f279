"""Saved searches: kept as items without a vector, so they spread as items do."""

import base64
import dataclasses
from typing import Any

import orjson

from service.access.context import Context
from service.api.writes import event_id
from service.contract import ServiceError, parse, parse_vector
from service.contract.filters import plain
from service.contract.requests import OneCollection, OneQuery, SaveQuery, Search
from service.log.commit import Pending
from service.log.definition import Definition
from service.stream.instance import Instance

_MOST = 1000
"""Saved searches of a collection."""


class Queries:
    """Operations on saved searches."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    async def save(self, context: Context, request: SaveQuery) -> dict[str, Any]:
        """Saves a search; the same name again replaces it."""
        definition = await self._instance.definition(context, request.collection)
        if request.vector is not None:
            parse_vector(
                request.vector,
                definition.dimension,
                "body.vector",
                definition.element,
            )
        else:
            self._instance.refuse_text(definition)
        kept = await self._rows(definition)
        if len(kept) >= _MOST and request.name not in {r["id"] for r in kept}:
            raise ServiceError(
                "quota_exceeded",
                f"{definition.name} has {_MOST} saved queries, its most: drop one.",
                details={"allowed": _MOST},
            )
        given = {
            key: value
            for key in ("vector", "text", "k", "minimum_score")
            if (value := getattr(request, key)) is not None
        }
        if request.filter is not None:
            given["filter"] = plain(request.filter)  # type: ignore[arg-type]  # parsed
        text = orjson.dumps(given, default=_base64).decode()
        version = await self._write(context, definition, request.name, "upsert", text)
        return _shown(definition.name, request.name, given, version)

    async def every(self, context: Context, request: OneCollection) -> dict[str, Any]:
        """Saved searches by name."""
        definition = await self._instance.definition(context, request.collection)
        rows = await self._rows(definition)
        shown = [
            _shown(definition.name, r["id"], orjson.loads(r["metadata"]), r["at"])
            for r in rows
        ]
        return {"queries": shown, "region": self._instance.settings.region}

    async def drop(self, context: Context, request: OneQuery) -> dict[str, Any]:
        """Drops a saved search."""
        definition = await self._instance.definition(context, request.collection)
        await self._get(definition, request.name)
        await self._write(context, definition, request.name, "delete", "{}")
        return {"done": True, "region": self._instance.settings.region}

    async def resolve(self, definition: Definition, request: Search) -> Search:
        """A search by name with what was saved; what the request says goes first."""
        assert request.query is not None
        saved = await self._get(definition, request.query)
        merged = {"collection": definition.name, **saved}
        made = parse(Search, merged, "the saved query")
        return dataclasses.replace(
            made,
            filter=request.filter or made.filter,
            consistency=request.consistency,
            token=request.token,
            deadline_ms=request.deadline_ms,
        )

    async def _get(self, definition: Definition, name: str) -> dict[str, Any]:
        found = await self._instance.reader.some(_kept_in(definition), [name])
        if name not in found:
            raise ServiceError(
                "unknown_query",
                f"{definition.name} has no saved query {name!r} in "
                f"{self._instance.settings.region}.",
            )
        return dict(orjson.loads(found[name]["metadata"]))

    async def _rows(self, definition: Definition) -> list[Any]:
        return await self._instance.reader.page(_kept_in(definition), "", _MOST)

    async def _write(
        self, context: Context, definition: Definition, name: str, op: str, text: str
    ) -> int:
        kept = _kept_in(definition)
        event = event_id(context.request_id, 0, {"query": name, "op": op, "as": text})
        pending = Pending(
            event, kept.name, name, op, None, text, tenant=definition.tenant
        )
        self._instance.committer.submit([pending])
        return (await pending.done).at


def _kept_in(definition: Definition) -> Definition:
    """Where the queries of a collection are kept; they are gone when it is dropped."""
    fields = dataclasses.replace(definition.fields, retention_seconds=0)
    name = f"~queries.{definition.name}"
    return dataclasses.replace(definition, name=name, fields=fields)


def _shown(
    collection: str, name: str, given: dict[str, Any], version: int
) -> dict[str, Any]:
    shown = {key: v for key, v in given.items() if key != "vector"}
    return {"collection": collection, "name": name, **shown, "version": version}


def _base64(value: Any) -> str:
    return base64.b64encode(value).decode()
