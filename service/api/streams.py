"""Persistent streams of a tenant, by their ids: listed and dropped."""

import asyncio
from typing import Any

import orjson

from service.access.context import Context
from service.contract import ServiceError
from service.contract.requests import Nothing, OneStream
from service.log.streams import Row
from service.stream.instance import Instance
from service.stream.keeper import OWNER_SECONDS
from service.stream.kept import home_of, read_stored


class Streams:
    """Operations on what homes keep of streams; an owner learns of them by itself."""

    def __init__(self, instance: Instance) -> None:
        self._keeper = instance.keeper
        self._region = instance.settings.region

    async def every(self, context: Context, request: Nothing) -> dict[str, Any]:
        """The tenant's persistent streams; hubs that do not answer are named."""
        homes = self._keeper.homes.every
        asked = [self._of(home, context.caller.tenant) for home in homes]
        found: list[dict[str, Any]] = []
        away = []
        for home, rows in zip(homes, await asyncio.gather(*asked), strict=True):
            if rows is None:
                away.append(home)
            else:
                found += map(_shown, rows)
        found.sort(key=lambda stream: stream["id"])
        return {"streams": found, "away": away, "region": self._region}

    async def drop(self, context: Context, request: OneStream) -> dict[str, Any]:
        """Forgets a stream at once."""
        await self._keeper.drop(context.caller.tenant, request.id)
        return {"done": True, "region": self._region}

    async def _of(self, home: str, tenant: str) -> list[Row] | None:
        params = [tenant, int(OWNER_SECONDS)]
        try:
            return await self._keeper.homes.ask(home, "list", params)
        except ServiceError:
            return None


def _shown(row: Row) -> dict[str, Any]:
    stored = read_stored(orjson.loads(row["definition"]), "the stored definition")
    learned = stored.learned_threshold
    return {
        "id": row["id"],
        "home": home_of(row["id"]),
        "collection": stored.collection,
        "text": stored.text,
        "threshold": stored.threshold if learned is None else learned,
        "definition_version": row["definition_version"],
        "epoch": row["epoch"],
        "owned": row["owned"],
        "token": row["acked"],
        "lease_seconds": row["lease_seconds"],
        "lease_until": row["lease_until"],
    }
