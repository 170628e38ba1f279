"""Reads of stored items: one, some, all in order, how many."""

import binascii
from typing import Any

import orjson
import pybase64

from service.access.context import Context
from service.contract import Filter, ServiceError
from service.contract.requests import Count, GetItem, GetItems, Scroll
from service.stream.instance import Instance


class Reads:
    """Operations that read this region's database."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    async def count(self, context: Context, request: Count) -> dict[str, Any]:
        """Items of a collection, or those of them that pass a filter."""
        instance = self._instance
        definition = await instance.definition(context, request.collection)
        if request.filter is None:
            count = await instance.reader.count(definition)
        else:
            items = await instance.lanes.items(definition)
            count = len(items.passing(request.filter))  # type: ignore[arg-type]  # parsed
        return {"count": count, "region": instance.settings.region}

    async def item(self, context: Context, request: GetItem) -> dict[str, Any]:
        """One item."""
        instance = self._instance
        definition = await instance.definition(context, request.collection)
        found = await instance.reader.some(definition, [request.id])
        if request.id not in found:
            raise ServiceError(
                "unknown_item",
                f"{request.collection} holds no item {request.id!r} in "
                f"{instance.settings.region}.",
            )
        return shown(found[request.id])

    async def items(self, context: Context, request: GetItems) -> dict[str, Any]:
        """Those of the named items that are there, in the order of their names."""
        instance = self._instance
        definition = await instance.definition(context, request.collection)
        ids = instance.batch(request.ids, "body.ids")
        for n, item in enumerate(ids):
            if not isinstance(item, str):
                raise ServiceError("wrong_type", f"body.ids[{n}]: send a string.")
        found = await instance.reader.some(definition, ids)
        items = [shown(found[i]) for i in dict.fromkeys(ids) if i in found]
        return {"items": items, "region": instance.settings.region}

    async def scroll(self, context: Context, request: Scroll) -> dict[str, Any]:
        """A page in the order of ids; its cursor works in every region."""
        instance = self._instance
        definition = await instance.definition(context, request.collection)
        after = _after(request.cursor)
        found: list[Any] = []
        filter_: Filter | None = request.filter  # type: ignore[assignment]  # parsed
        while len(found) <= request.limit:
            wanted = request.limit + 1
            rows = await instance.reader.page(definition, after, wanted)
            found += [r for r in rows if _passes(filter_, r)]
            if len(rows) < wanted:
                break
            after = rows[-1]["id"]
            context.left(1)
        page = found[: request.limit]
        answer = {"items": list(map(shown, page)), "region": instance.settings.region}
        if len(found) > request.limit:
            answer["cursor"] = _cursor(page[-1]["id"])
        return answer


def _passes(filter_: Filter | None, row: Any) -> bool:
    return filter_ is None or filter_.holds(orjson.loads(row["metadata"]))


def _cursor(item: str) -> str:
    return pybase64.urlsafe_b64encode(b"1" + item.encode()).decode()


def _after(cursor: str | None) -> str:
    if cursor is None:
        return ""
    try:
        data = pybase64.b64decode(cursor, b"-_", validate=True)
        if data[:1] != b"1":
            raise ValueError
        item = data[1:].decode()
        if "\x00" in item:
            raise ValueError
        return item
    except (binascii.Error, ValueError):
        raise ServiceError(
            "bad_cursor",
            "body.cursor is none that this service gave: begin without one.",
        ) from None


def shown(row: Any) -> dict[str, Any]:
    """A row as the contract shows it."""
    return {
        "id": row["id"],
        "vector": pybase64.b64encode_as_string(row["vector"]),
        "metadata": orjson.Fragment(row["metadata"]),
        "version": row["at"],
        "origin": row["origin"],
    }
