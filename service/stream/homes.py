"""Asks the home hub of a persistent stream, or of a log.

A region's own hub is asked through the connection that its writes take, another hub
through its worker: no instance has an address of another hub's database.
"""

import asyncio
from typing import Any

import asyncpg

from service.contract import ServiceError
from service.log.database import GONE
from service.log.streams import Row, ask
from service.settings import Settings
from service.stream.mail import GONE as UNREACHABLE
from service.stream.mail import Mail

PATIENCE = 4.0
"""Seconds after which a home that does not answer counts as away."""


class Homes:
    """The databases of all hubs, as far as `service.log.streams` asks them."""

    def __init__(
        self,
        settings: Settings,
        mail: Mail,
        local: asyncpg.Pool,
        primary: asyncpg.Pool,
    ) -> None:
        self._settings = settings
        self._local = local
        self._primary = primary
        self._mail = mail

    async def close(self) -> None:
        """Waits for no answer any more."""
        await self._mail.close()

    @property
    def own(self) -> str:
        """Home of the streams that are made here."""
        return self._settings.hub

    @property
    def every(self) -> tuple[str, ...]:
        """All homes that there are."""
        return self._settings.hubs

    async def count(self, tenant: str) -> int:
        """Streams of a tenant that this region's own server knows of."""
        (row,) = await ask(self._local, "count", [tenant])
        return int(row["count"])

    async def ask(self, home: str, question: str, params: list[Any]) -> list[Row]:
        """Rows of `service.log.streams`; raises ServiceError `home_away`."""
        try:
            if home != self.own:
                return await self._mail.ask(home, question, params, PATIENCE)
            async with asyncio.timeout(PATIENCE):
                return await ask(self._primary, question, params)
        except (*GONE, *UNREACHABLE, asyncpg.PostgresError) as error:
            raise away(home, type(error).__name__) from None


def away(home: str, why: str) -> ServiceError:
    """The error of what only a home hub can do."""
    return ServiceError(
        "home_away",
        f"The home hub {home} does not answer ({why}): try again; a stream that was "
        "attached before goes on by `attach` with `unfenced`, token and definition.",
        details={"home": home},
    )
