"""Servers of Cloud SQL, run for real: databases, roles, replicas."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from localcloud.control.identity import Keys
from localcloud.control.store import Row, Store
from localcloud.realise.postgres import log_files
from localcloud.realise.sql import ADMIN, DATABASE_TOKEN, OWNER, PORT, Sql
from localcloud.supervisor import Supervisor
from localcloud.world import World, open_world

API = "sqladmin.googleapis.com"
INSTANCE = "gcp:sql/databaseInstance:DatabaseInstance"


class Servers:
    """A realiser with a world of its own."""

    def __init__(self, root: Path) -> None:
        self.world: World = open_world(root)
        self.store = Store(self.world.folder("state") / "control.sqlite")
        self.supervisor = Supervisor(self.store)
        self.keys = Keys(self.world.home / "keys")
        self.sql = Sql(self.world, self.store, self.supervisor, self.keys)

    async def instance(self, name: str, master: str | None = None) -> None:
        body: dict[str, Any] = {"masterInstanceName": f"p:{master}"} if master else {}
        path = f"v1/projects/p/instances/{name}"
        await self.sql.ensure(Row(API, path, INSTANCE, body))

    def database(self, instance: str, name: str) -> Row:
        path = f"v1/projects/p/instances/{instance}/databases/{name}"
        return Row(API, path, DATABASE_TOKEN, {})

    async def ask(self, instance: str, query: str, database: str = "postgres") -> Any:
        connection = await asyncpg.connect(
            host=self.sql.address(instance),
            port=PORT,
            user=ADMIN,
            password=self.keys.password(ADMIN),
            database=database,
        )
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    async def until(self, instance: str, query: str, wanted: Any) -> None:
        """Returns once a replica has replayed what the answer needs."""
        async with asyncio.timeout(60):
            while await self.ask(instance, query) != wanted:
                await asyncio.sleep(0.02)


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    made = Servers(tmp_path)
    yield made
    for name in ("replica", "primary"):
        await made.sql.stop(name)


DATABASES = (
    "SELECT datname, rolname FROM pg_database d JOIN pg_roles r ON r.oid = datdba"
)


async def test_declared_databases_are_made_once_and_owned_alike(
    servers: Servers,
) -> None:
    await servers.instance("primary")
    for name in ("first", "second", "first"):
        await servers.sql.ensure(servers.database("primary", name))
    found = await servers.ask("primary", DATABASES)
    assert sorted(found) == [("first", OWNER), ("postgres", ADMIN), ("second", OWNER)]
    rights = "SELECT has_database_privilege('public', '{}', 'TEMPORARY')"
    for name in ("first", "second"):
        assert await servers.ask("primary", rights.format(name)) == [(True,)]


async def test_a_removed_database_is_gone_and_can_be_declared_again(
    servers: Servers,
) -> None:
    await servers.instance("primary")
    row = servers.database("primary", "data")
    await servers.sql.ensure(row)
    await servers.sql.remove(row)
    assert await servers.ask("primary", DATABASES) == [("postgres", ADMIN)]
    await servers.sql.ensure(row)
    assert ("data", OWNER) in await servers.ask("primary", DATABASES)


async def test_a_replica_made_from_the_template_streams_from_its_primary(
    servers: Servers,
) -> None:
    await servers.instance("primary")
    await servers.instance("replica", master="primary")
    await servers.sql.ensure(servers.database("primary", "data"))
    query = "SELECT datname FROM pg_database WHERE datname = 'data'"
    await servers.until("replica", query, [("data",)])
    assert await servers.ask("replica", "SELECT pg_is_in_recovery()") == [(True,)]


async def test_a_replica_of_a_primary_that_dropped_its_log_streams_too(
    servers: Servers,
) -> None:
    await servers.instance("primary")
    await servers.sql.ensure(servers.database("primary", "data"))
    template = await servers.sql.template.made()
    first = servers.world.home / "sql" / "primary" / "data" / "pg_wal"
    await servers.ask("primary", "SELECT pg_switch_wal()")
    await servers.ask("primary", "CHECKPOINT")
    (first / log_files(template)[0]).unlink()
    await servers.instance("replica", master="primary")
    query = "SELECT datname FROM pg_database WHERE datname = 'data'"
    await servers.until("replica", query, [("data",)])
    assert await servers.ask("replica", "SELECT pg_is_in_recovery()") == [(True,)]


async def test_copies_of_the_template_carry_one_file_of_the_log(
    servers: Servers,
) -> None:
    assert len(log_files(await servers.sql.template.made())) == 1


async def test_a_killed_server_waits_for_the_end_of_its_last_sessions(
    servers: Servers,
) -> None:
    await servers.instance("primary")
    session = await asyncpg.connect(
        host=servers.sql.address("primary"),
        port=PORT,
        user=ADMIN,
        password=servers.keys.password(ADMIN),
        database="postgres",
    )
    backend = int(await session.fetchval("SELECT pg_backend_pid()"))
    log_file = servers.world.home / "logs" / "sql-primary.log"
    os.kill(backend, signal.SIGSTOP)
    try:
        os.kill(servers.supervisor.running["sql/primary"].pid, signal.SIGKILL)
        async with asyncio.timeout(30):
            while "pre-existing shared memory block" not in log_file.read_text():
                await asyncio.sleep(0.02)
        with pytest.raises(OSError):
            await servers.ask("primary", "SELECT 1")
    finally:
        os.kill(backend, signal.SIGCONT)
        session.terminate()
    await servers.instance("primary")
    assert await servers.ask("primary", "SELECT 1") == [(1,)]


async def test_a_lock_whose_number_another_program_has_is_no_hindrance(
    servers: Servers,
) -> None:
    await servers.instance("primary")
    lock = servers.world.home / "sql" / "primary" / "data" / "postmaster.pid"
    lines = lock.read_text().splitlines()
    await servers.sql.stop("primary")
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    await servers.instance("primary")
    assert await servers.ask("primary", "SELECT 1") == [(1,)]
