"""Connections through a pooler that lends its sessions for one transaction each."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg


class Borrowed(asyncpg.Connection):  # type: ignore[misc]  # it has no types
    """Puts every statement with arguments into a transaction.

    asyncpg sends such a statement in two parts, and after each of them a pooler may
    lend the session to somebody else. To be opened with `statement_cache_size=0`: what
    one session has prepared is not there in the next. Two more round trips for each
    statement: ADR 24.
    """

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        async with self._lent(options.get("timeout")):
            return await super().fetch(query, *args, **options)

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        async with self._lent(options.get("timeout")):
            return await super().fetchrow(query, *args, **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        async with self._lent(options.get("timeout")):
            return await super().fetchval(query, *args, **options)

    async def executemany(self, command: str, args: Any, **options: Any) -> None:
        async with self._lent(options.get("timeout")):
            await super().executemany(command, args, **options)

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        if not args:  # one message, whatever it holds
            return str(await super().execute(query, **options))
        async with self._lent(options.get("timeout")):
            return str(await super().execute(query, *args, **options))

    @asynccontextmanager
    async def _lent(self, seconds: float | None) -> AsyncIterator[None]:
        """A session for what is done inside: begun, and committed or rolled back."""
        if self.is_in_transaction():
            yield
            return
        # A pooler takes no such setting when a connection is made.
        await self.execute("BEGIN; SET LOCAL jit = off", timeout=seconds)
        try:
            yield
        except asyncpg.PostgresError:
            await self.execute("ROLLBACK", timeout=seconds)
            raise
        except BaseException:
            # Given up in its middle: nobody else may get it as it is.
            self.terminate()
            raise
        await self.execute("COMMIT", timeout=seconds)

    def _get_unique_id(self, prefix: str) -> str:
        """Names for the statements of cursors: sessions are shared by processes that
        would all count from one."""
        return f"__meridian_{prefix}_{secrets.token_hex(8)}__"
