"""Cloud SQL: one real Postgres 18 server each, primaries and streaming replicas.

Every server begins as a copy of one data folder (`postgres.py`). A replica goes on from
there with its primary's log; where that is not whole any more, by `pg_basebackup`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import signal
from pathlib import Path

import asyncpg

from localcloud.control.identity import Keys
from localcloud.control.store import Json, Row, Store
from localcloud.errors import WorldError
from localcloud.realise.postgres import (
    DATABASE,
    SPARE,
    DataTemplate,
    as_other_user,
    binaries,
    give,
    log_files,
    scram_verifier,
    secret_file,
    tool,
)
from localcloud.supervisor import Running, Supervisor
from localcloud.world import World

log = logging.getLogger("sql")
PORT = 5432
ADMIN, REPLICATOR, OWNER = "cloudsqladmin", "cloudsqlreplica", "cloudsqlsuperuser"
START_SECONDS = 60.0
RESTART_SECONDS = 0.2
DATABASE_TOKEN = "gcp:sql/database:Database"
USER_TOKEN = "gcp:sql/user:User"
SETTINGS = {
    "shared_buffers": "16MB",
    "max_connections": "100",
    "wal_level": "replica",
    "hot_standby": "on",
    "max_wal_senders": "10",
    "max_logical_replication_workers": "0",
    "wal_keep_size": "128MB",
    "max_wal_size": "256MB",
    "unix_socket_directories": "''",
    "password_encryption": "scram-sha-256",
    "hot_standby_feedback": "on",
    "max_parallel_workers": "0",
    "autovacuum_max_workers": "1",
    "io_method": "sync",
    "jit": "off",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
    "timezone": "UTC",
}
"""Small enough for fifteen servers on a laptop; durability (`fsync`) stays on.

A declared database flag of one of these names takes the place of the value here.
"""
ACCESS = """\
host all all 127.0.0.0/8 scram-sha-256
host replication all 127.0.0.0/8 scram-sha-256
"""


class Sql:
    """Realiser of instances, databases and users."""

    def __init__(
        self, world: World, store: Store, supervisor: Supervisor, keys: Keys
    ) -> None:
        self._world, self._store = world, store
        self._supervisor, self._keys = supervisor, keys
        self.template = DataTemplate(
            world.folder("sql", ".template"), ADMIN, keys.password(ADMIN)
        )
        """What new servers are copied from."""
        self.held: set[str] = set()
        """Instances that a fault keeps down."""

    def address(self, instance: str) -> str:
        """Loopback address of an instance; the port is always 5432."""
        return self._world.part_address(self._store.address(f"sql/{instance}"))

    async def ensure(self, row: Row) -> Json:
        if row.token == DATABASE_TOKEN:
            return await self._database(row)
        if row.token == USER_TOKEN:
            return await self._user(row)
        name = row.path.rsplit("/", 1)[-1]
        running = self._supervisor.adopt(f"sql/{name}", self._ended)
        if not running:
            master = row.body.get("masterInstanceName", "").rsplit(":", 1)[-1]
            await self._prepare(name, master or None)
        if self._configure(name, row.body) and running:
            await self._supervisor.stop(running, sign=signal.SIGINT)
        if f"sql/{name}" not in self._supervisor.running and name not in self.held:
            self._start(name)
        if name not in self.held:
            primary = not row.body.get("masterInstanceName")
            if primary and (self._folder(name) / "data" / "standby.signal").exists():
                await self._promote(name)
            await self._wait(name, primary=primary)
        address = {"type": "PRIVATE", "ipAddress": self.address(name)}
        return {"ipAddresses": [address], "state": "RUNNABLE"}

    async def remove(self, row: Row) -> None:
        name = row.path.rsplit("/", 1)[-1]
        if row.token == DATABASE_TOKEN:
            await self._admin(_instance(row), f'DROP DATABASE IF EXISTS "{name}"')
            return
        if row.token == USER_TOKEN:
            return
        await self.stop(name)
        shutil.rmtree(self._folder(name), ignore_errors=True)
        self._store.free_address(f"sql/{name}")

    async def stop(self, name: str) -> None:
        """Fast shutdown: sessions end, data is flushed."""
        running = self._supervisor.adopt(f"sql/{name}", self._ended)
        if running:
            await self._supervisor.stop(running, sign=signal.SIGINT)

    def _folder(self, name: str) -> Path:
        return self._world.home / "sql" / name

    async def _prepare(self, name: str, master: str | None) -> None:
        folder = self._folder(name)
        if (folder / "ready").exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        give(folder)
        data = folder / "data"
        template = await self.template.made()
        if master and not self._keeps_all_log(master, template):
            await self._base_backup(master, data)
        else:
            # Owners and all; shares blocks where the disk can.
            await tool("cp", "-a", "--reflink=auto", str(template), str(data))
            if master:
                self._follow(master, data)
        (folder / "ready").touch()

    def _keeps_all_log(self, master: str, template: Path) -> bool:
        """Whether a primary still has its log from the template on.

        A replica that starts as a copy of the same template then needs no base
        backup: replaying the log makes it the same server.
        """
        return log_files(template)[0] in log_files(self._folder(master) / "data")

    def _follow(self, master: str, data: Path) -> None:
        """Make a copied data folder a standby of a primary."""
        (data / "standby.signal").touch()
        line = f"primary_conninfo = '{self._connection(master, data)}'\n"
        with (data / "postgresql.auto.conf").open("a") as settings:
            settings.write(line)
        give(data / "standby.signal")

    def _connection(self, master: str, data: Path) -> str:
        """How a replica reaches its primary; the password lies in a file."""
        pass_file = data.parent / "pgpass"
        secret = self._keys.password(REPLICATOR)
        secret_file(pass_file, f"*:*:*:{REPLICATOR}:{secret}\n")
        return (
            f"host={self.address(master)} port={PORT} user={REPLICATOR} "
            f"passfile={pass_file} application_name={data.parent.name}"
        )

    async def _base_backup(self, master: str, data: Path) -> None:
        data.mkdir(mode=0o700)
        give(data)
        connection = self._connection(master, data)
        await tool(
            "pg_basebackup", "-D", str(data), "-d", connection, "-R", "-X", "stream",
            "-c", "fast", "--no-sync",
        )  # fmt: skip

    def _configure(self, name: str, body: Json) -> bool:
        """Write the server's settings; whether they have changed."""
        data = self._folder(name) / "data"
        flags = body.get("settings", {}).get("databaseFlags", ())
        declared = {f["name"]: f["value"] for f in flags if f["name"] in SETTINGS}
        address = {"listen_addresses": f"'{self.address(name)}'"}
        settings = {**SETTINGS, **declared, **address}
        lines = [f"{key} = {value}" for key, value in sorted(settings.items())]
        text = "\n".join(lines) + "\n"
        file = data / "postgresql.conf"
        if file.exists() and file.read_text() == text:
            return False
        file.write_text(text)
        access = data / "pg_hba.conf"
        access.write_text(ACCESS)
        give(file)
        give(access)
        return True

    def _start(self, name: str) -> None:
        data = self._folder(name) / "data"
        # Its number may be another program's by now. Sessions that outlive a killed
        # server are found by the shared memory, whose key comes from the folder.
        (data / "postmaster.pid").unlink(missing_ok=True)
        self._supervisor.start(
            f"sql/{name}",
            [*as_other_user(), str(binaries() / "postgres"), "-D", str(data)],
            log_file=self._world.home / "logs" / f"sql-{name}.log",
            on_exit=self._ended,
        )

    def _ended(self, running: Running) -> None:
        name = running.key.split("/", 1)[1]
        if not running.stopping and name not in self.held:
            log.warning("%s ended: started again on its data", name)
            asyncio.get_running_loop().call_later(RESTART_SECONDS, self.restart, name)

    def restart(self, name: str) -> None:
        """Start a stopped instance on its data folder."""
        key = f"sql/{name}"
        folder = self._folder(name)
        if key in self._supervisor.running or not (folder / "ready").exists():
            return
        self._start(name)

    async def _wait(self, name: str, *, primary: bool) -> None:
        """Until it answers; a primary then has the roles that every server has."""
        verifier = scram_verifier(self._keys.password(REPLICATOR))
        options = f"LOGIN REPLICATION PASSWORD '{verifier}'"
        roles = _role(REPLICATOR, options) + _role(OWNER, "NOLOGIN")
        # How far its standbys have come is part of what the role monitors.
        roles += f'GRANT pg_read_all_stats TO "{OWNER}";'
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while True:
            try:
                await self._admin(name, roles if primary else "SELECT 1")
                return
            except (OSError, asyncpg.PostgresError) as error:
                if asyncio.get_running_loop().time() > deadline:
                    log_file = self._world.home / "logs" / f"sql-{name}.log"
                    text = f"Postgres {name} does not answer: {error}; see {log_file}"
                    raise WorldError(text) from error
                await asyncio.sleep(0.03)

    async def _promote(self, name: str) -> None:
        """Makes a replica a primary of its own, on a new timeline."""
        await self._wait(name, primary=False)
        await self._admin(name, "SELECT pg_promote()")
        log.warning("%s was promoted", name)

    async def _database(self, row: Row) -> Json:
        name, instance = row.path.rsplit("/", 1)[-1], _instance(row)
        with contextlib.suppress(asyncpg.DuplicateDatabaseError):
            try:
                await self._admin(instance, _rename(SPARE, name))
            except asyncpg.InvalidCatalogNameError:
                sql = f'CREATE DATABASE "{name}" OWNER "{OWNER}" TEMPLATE "{DATABASE}"'
                await self._admin(instance, sql)
        return {}

    async def _user(self, row: Row) -> Json:
        """An IAM user's password is its access token, as Cloud SQL has it."""
        user, instance = row.path.rsplit("/", 1)[-1], _instance(row)
        verifier = scram_verifier(self._keys.token(f"{user}.gserviceaccount.com"))
        statements = (
            _role(user, f"LOGIN PASSWORD '{verifier}'"),
            f'GRANT "{OWNER}" TO "{user}";',
            f"ALTER ROLE \"{user}\" SET role = '{OWNER}';",
        )
        await self._admin(instance, "".join(statements))
        return {}

    async def _admin(self, instance: str, sql: str) -> None:
        connection = await asyncpg.connect(
            host=self.address(instance),
            port=PORT,
            user=ADMIN,
            password=self._keys.password(ADMIN),
            database=DATABASE,
            ssl=False,
            timeout=10,
        )
        try:
            await connection.execute(sql)
        finally:
            await connection.close()


def _role(name: str, options: str) -> str:
    """Statement that makes a role, or changes it where it exists."""
    return (
        f'DO $$ BEGIN CREATE ROLE "{name}" {options}; EXCEPTION WHEN '
        f'duplicate_object THEN ALTER ROLE "{name}" {options}; END $$;'
    )


def _rename(spare: str, name: str) -> str:
    """Statements that make an unused database the one that was declared."""
    return (
        f'ALTER DATABASE "{spare}" RENAME TO "{name}";'
        f'ALTER DATABASE "{name}" IS_TEMPLATE false;'
        f'ALTER DATABASE "{name}" OWNER TO "{OWNER}";'
        f'GRANT TEMPORARY ON DATABASE "{name}" TO PUBLIC;'
    )


def _instance(row: Row) -> str:
    parts = row.path.split("/")
    return parts[parts.index("instances") + 1]
