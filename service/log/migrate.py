"""Brings the schema up to date, once, whoever comes first."""

import asyncio
import functools
from importlib.resources import files

import asyncpg

from service.log.change import LANES

_LOCK = 0x6D657269


@functools.cache
def _scripts() -> list[tuple[int, str]]:
    folder = files("service.log") / "migrations"
    names = sorted(e.name for e in folder.iterdir() if e.name.endswith(".sql"))
    return [(int(name.split("_")[0]), (folder / name).read_text()) for name in names]


async def migrate(connection: asyncpg.Connection, origin: str) -> str:
    """Applies what is missing to a hub's primary and lays its lanes out.

    Returns `current`, `succeeds` or `fenced`: see 0005_epochs.sql.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migration (version integer PRIMARY KEY)"
        )
        done = await connection.fetchval("SELECT max(version) FROM migration") or 0
        for version, script in _scripts():
            if version > done:
                await connection.execute(script)
                await connection.execute("INSERT INTO migration VALUES ($1)", version)
        state: str = await connection.fetchval(
            "SELECT take_lineage($1, $2)", origin, LANES
        )
        return state


async def is_migrated(connection: asyncpg.Connection) -> bool:
    """Whether this server has the newest schema (a replica: replayed it)."""
    try:
        version = await connection.fetchval("SELECT max(version) FROM migration")
    except asyncpg.UndefinedTableError:
        return False
    return bool(version is not None and version >= _scripts()[-1][0])


async def wait_migrated(pool: asyncpg.Pool) -> None:
    """Returns once the schema is there."""
    while True:
        async with pool.acquire() as connection:
            if await is_migrated(connection):
                return
        await asyncio.sleep(0.1)
