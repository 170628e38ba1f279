"""`meridian put`, `search`, `watch`: write and read through a region's front door."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from ops import world
from ops.errors import BAD_INPUT, FAILED, CommandError
from service.client import Client, ClientError, Query, Watching

Json = dict[str, Any]
TEXT_DIMENSION = 384


def address(region: str | None) -> str:
    """Front door of a region; of the first one by default."""
    regions = {r["name"]: r["url"] for r in world.call("/console/world")["regions"]}
    name = region or next(iter(regions), None)
    if name not in regions or not regions[name]:
        text = (
            f"region {name!r} is not here: {', '.join(sorted(regions)) or 'none yet'}"
        )
        raise CommandError(text, BAD_INPUT)
    return str(regions[name])


def finish(work: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end; a refusal of the service becomes an error of the command."""
    try:
        return asyncio.run(work)
    except ClientError as error:
        code = BAD_INPUT if 400 <= error.status < 500 else FAILED
        # What refuses a stream answers a message, which has no request's id.
        request = f", request {error.request_id}" if error.request_id else ""
        text = f"{error} ({error.code}{request})"
        if error.code == "unknown_collection":
            text += "\n`meridian put COLLECTION --create` makes one and writes to it."
        raise CommandError(text, code) from error


async def put(
    url: str, collection: str, items: list[Json], create: bool, over: str = "http"
) -> list[Json]:
    """Write items; with `create`, the collection is made when it is missing."""
    async with Client(url, over=over) as client:
        if create:
            vector = items[0].get("vector")
            dimension = len(vector) if vector else TEXT_DIMENSION
            await client.create(collection, dimension=dimension)
        return await client.put(collection, items)


def items_from(text: str | None, item_id: str | None) -> list[Json]:
    """One item of `--text`, else JSON lines from standard input."""
    if text:
        return [
            {
                "id": item_id or uuid.uuid4().hex,
                "text": text,
                "metadata": {"text": text},
            }
        ]
    items = []
    for number, line in enumerate(sys.stdin, 1):
        if line.strip():
            try:
                items.append(json.loads(line))
            except ValueError as error:
                text = f"standard input, line {number}: {error}: one JSON item a line"
                raise CommandError(text, BAD_INPUT) from error
    if not items:
        raise CommandError("nothing to write: give --text or JSON lines", BAD_INPUT)
    return items


async def search(
    url: str, collection: str, text: str, options: Json, over: str = "http"
) -> list[Json]:
    """The nearest items of a sentence."""
    given = {key: value for key, value in options.items() if value is not None}
    async with Client(url, over=over) as client:
        return await client.search(collection, text=text, **given)


async def streams(url: str) -> Json:
    """All persistent streams, and the hubs that did not answer."""
    async with Client(url) as client:
        return await client.call("list_streams")


async def drop_stream(url: str, stream: str) -> None:
    """Forget a persistent stream."""
    async with Client(url) as client:
        await client.drop_stream(stream)


async def collections(url: str) -> list[Json]:
    """All collections."""
    async with Client(url) as client:
        return await client.collections()


async def describe(url: str, collection: str) -> Json:
    """One collection."""
    async with Client(url) as client:
        return await client.describe(collection)


async def drop(url: str, collection: str) -> None:
    """Drop a collection."""
    async with Client(url) as client:
        await client.drop(collection)


async def watch(
    url: str,
    collection: str,
    text: str,
    options: Json,
    tell: Callable[[Json], None],
    over: str = "websocket",
) -> None:
    """Follow one standing query until interrupted."""
    query = Query(stream=text, collection=collection, text=text, **options)
    async with Client(url) as client:
        watching = client.watch([query], over)
        await watching.ready()
        for stream in watching.ids.values():
            print(f"persistent: --attach {stream}", file=sys.stderr, flush=True)
        await _follow(watching, tell)


async def attach(
    url: str, stream: str, tell: Callable[[Json], None], over: str = "websocket"
) -> None:
    """Follow a persistent stream by its id until interrupted."""
    async with Client(url) as client:
        await _follow(client.attach(stream, over), tell)


async def _follow(watching: Watching, tell: Callable[[Json], None]) -> None:
    async for match in watching:
        tell(
            {
                "id": match.id,
                "score": round(match.score, 4),
                "written_in": match.written_in,
                "region": match.region,
                "metadata": match.metadata,
            }
        )
