"""Connections to Postgres and what their failures mean."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from service.log.pooled import Borrowed
from service.settings import Settings

TokenSource = Callable[[], Awaitable[str | None]]

GONE: tuple[type[BaseException], ...] = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,
)
"""The server is away, starting, stopping, no primary any more, or has no room: of
disk, memory or connections."""
REFUSED = (asyncpg.ReadOnlySQLTransactionError, asyncpg.InsufficientResourcesError)
"""Of `GONE`: the server answered that nothing was done."""


def _arguments(settings: Settings, address: str, token: TokenSource) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    session = {"application_name": f"meridian-{settings.role}-{settings.region}"}
    arguments: dict[str, Any] = {
        "host": host,
        "port": int(port),
        "database": settings.database_name,
        "user": settings.database_user,
        "timeout": 3,
        "server_settings": session,
    }
    if settings.database_pooled:
        arguments |= {"connection_class": Borrowed, "statement_cache_size": 0}
    else:
        # Generic plans: the functions' plans do not depend on the values.
        session["jit"] = "off"
    if settings.metadata_host:
        # Called at every connect: an access token lives an hour at most.
        arguments["password"] = token
    return arguments


async def connect(
    settings: Settings, address: str, token: TokenSource, **session: str
) -> asyncpg.Connection:
    """One connection, with settings of its session; raises one of `GONE` when there is
    none to be had."""
    arguments = _arguments(settings, address, token)
    arguments["server_settings"] |= session
    return await asyncpg.connect(**arguments)


async def pool(
    settings: Settings,
    address: str,
    token: TokenSource,
    most: int = 4,
    idle: float = 60.0,
) -> asyncpg.Pool:
    """Connections made on demand and closed after `idle` seconds without use.

    Whoever borrows one leaves its session as it was: nothing is put back afterwards.
    """
    return await asyncpg.create_pool(
        **_arguments(settings, address, token),
        min_size=0,
        max_size=most,
        command_timeout=10,
        max_inactive_connection_lifetime=idle,
        reset=_leave,
    )


async def _leave(_: asyncpg.Connection) -> None:
    """Spares every query the round trip of a reset that has nothing to do."""


class Single:
    """One connection to the primary for statements of some parts, one at a time.

    It is made when it is used, and again after it failed. The plan counts connections
    to a primary, so small errands share one.
    """

    def __init__(self, settings: Settings, token: TokenSource) -> None:
        self._settings = settings
        self._token = token
        self._connection: asyncpg.Connection | None = None
        self._free = asyncio.Lock()

    async def fetchrow(self, query: str, *, seconds: float) -> asyncpg.Record | None:
        """The first row; raises one of `GONE` or a PostgresError."""
        async with self._free:
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await connect(
                        self._settings, self._settings.database_primary, self._token
                    )
                return await self._connection.fetchrow(query, timeout=seconds)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Ends the connection; the next statement makes another."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
