"""Persistent streams of a tenant, by their ids: listed and dropped."""

import asyncio
from typing import Any

from service.access.context import Context
from service.contract import ServiceError
from service.contract.requests import Nothing, OneStream
from service.log.streams import Row
from service.stream.instance import Instance
from service.stream.keeper import OWNER_SECONDS


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
                found += rows
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
