"""What the control plane knows, in SQLite: every change is on disk before it is
answered.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

LAYOUT = 2
"""Counts the layouts of the operation table."""
KEEP_OPERATIONS_SECONDS = 3600
SCHEMA = """
CREATE TABLE IF NOT EXISTS resource (
  api TEXT, path TEXT, token TEXT, body TEXT, created REAL,
  PRIMARY KEY (api, path));
CREATE TABLE IF NOT EXISTS policy (api TEXT, path TEXT, version INT, body TEXT,
  PRIMARY KEY (api, path));
CREATE TABLE IF NOT EXISTS operation (name TEXT PRIMARY KEY, api TEXT, path TEXT,
  verb TEXT, body TEXT, done INT, created REAL);
CREATE TABLE IF NOT EXISTS process (key TEXT PRIMARY KEY, pid INT, started INT,
  data TEXT);
CREATE TABLE IF NOT EXISTS address (key TEXT PRIMARY KEY, number INT UNIQUE);
CREATE TABLE IF NOT EXISTS secret_version (secret TEXT, number INT, sealed BLOB,
  state TEXT, created REAL, PRIMARY KEY (secret, number));
CREATE TABLE IF NOT EXISTS hold (target TEXT PRIMARY KEY, how TEXT, until REAL);
"""


@dataclass(frozen=True)
class Row:
    """One declared resource."""

    api: str
    path: str
    token: str
    body: Json


class Store:
    """SQLite in write-ahead mode; survives `kill -9` of its process."""

    def __init__(self, file: Path) -> None:
        self.db = sqlite3.connect(file, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")
        self._renew_transient()
        self.db.executescript(SCHEMA)
        sql = "DELETE FROM operation WHERE done AND created < unixepoch() - ?"
        self.db.execute(sql, (KEEP_OPERATIONS_SECONDS,))

    def _renew_transient(self) -> None:
        """Operations of an older layout are of no use; resources keep theirs."""
        (version,) = self.db.execute("PRAGMA user_version").fetchone()
        if version != LAYOUT:
            self.db.execute("DROP TABLE IF EXISTS operation")
            self.db.execute(f"PRAGMA user_version = {LAYOUT}")

    def get(self, api: str, path: str) -> Row | None:
        sql = "SELECT token, body FROM resource WHERE api=? AND path=?"
        found = self.db.execute(sql, (api, path)).fetchone()
        if not found:
            return None
        token, body = found
        return Row(api, path, token, json.loads(body))

    def put(self, row: Row) -> None:
        sql = (
            "INSERT INTO resource VALUES (?,?,?,?,?) "
            "ON CONFLICT (api, path) DO UPDATE SET body=excluded.body"
        )
        values = (row.api, row.path, row.token, json.dumps(row.body), time.time())
        self.db.execute(sql, values)

    def remove(self, api: str, path: str) -> None:
        """Forget a resource and what lies below it: databases go with their server."""
        inside = f"{path}/"
        for table in ("resource", "policy"):
            self.db.execute(
                f"DELETE FROM {table} "
                "WHERE api=? AND (path=? OR substr(path, 1, ?) = ?)",
                (api, path, len(inside), inside),
            )

    def all(self, token: str | None = None) -> Iterator[Row]:
        """Resources in the order of their creation, of one type or of all."""
        sql = "SELECT api, path, token, body FROM resource"
        where, values = (" WHERE token=?", (token,)) if token else ("", ())
        found = self.db.execute(f"{sql}{where} ORDER BY created, rowid", values)
        for api, path, kind, body in found.fetchall():
            yield Row(api, path, kind, json.loads(body))

    def below(self, api: str, collection: str) -> list[Row]:
        """Members of one collection."""
        return [
            row
            for row in self.all()
            if row.api == api and row.path.rsplit("/", 1)[0] == collection
        ]

    def policy(self, api: str, path: str) -> tuple[int, Json]:
        """(version, policy) of a resource; version 0 when there is none yet."""
        sql = "SELECT version, body FROM policy WHERE api=? AND path=?"
        found = self.db.execute(sql, (api, path)).fetchone()
        return (found[0], json.loads(found[1])) if found else (0, {})

    def set_policy(self, api: str, path: str, version: int, policy: Json) -> None:
        sql = "INSERT OR REPLACE INTO policy VALUES (?,?,?,?)"
        self.db.execute(sql, (api, path, version, json.dumps(policy)))

    def start_operation(self, name: str, row: Row, verb: str, body: Json) -> None:
        """Remember an operation, with what it takes to go on after a restart."""
        sql = "INSERT INTO operation VALUES (?,?,?,?,?,0,unixepoch())"
        self.db.execute(sql, (name, row.api, row.path, verb, json.dumps(body)))

    def end_operation(self, name: str, body: Json) -> None:
        sql = "UPDATE operation SET body=?, done=1 WHERE name=?"
        self.db.execute(sql, (json.dumps(body), name))

    def operation(self, name: str) -> Json | None:
        sql = "SELECT body FROM operation WHERE name=?"
        found = self.db.execute(sql, (name,)).fetchone()
        return json.loads(found[0]) if found else None

    def open_operations(self) -> list[tuple[str, str, str, str, Json]]:
        """(name, api, path, verb, body) of what a killed control plane left open."""
        sql = "SELECT name, api, path, verb, body FROM operation WHERE NOT done"
        found = self.db.execute(sql).fetchall()
        return [(n, a, p, v, json.loads(body)) for n, a, p, v, body in found]

    def address(self, key: str) -> int:
        """Number of a part's loopback address, drawn at the first call."""
        sql = "SELECT number FROM address WHERE key=?"
        found = self.db.execute(sql, (key,)).fetchone()
        if found:
            return int(found[0])
        taken = {n for (n,) in self.db.execute("SELECT number FROM address")}
        number = next(n for n in range(1000) if n not in taken)
        self.db.execute("INSERT INTO address VALUES (?,?)", (key, number))
        return number

    def free_address(self, key: str) -> None:
        self.db.execute("DELETE FROM address WHERE key=?", (key,))
