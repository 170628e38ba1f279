"""Connections through a pooler that lends its sessions for one transaction each."""

import secrets

import asyncpg


class Borrowed(asyncpg.Connection):  # type: ignore[misc]  # it has no types
    """Opened with `statement_cache_size=0`: what one session has prepared is not there
    in the next. asyncpg then sends the parts of a statement with one Sync at their
    end, and until then a pooler keeps the session for it.
    """

    def _get_unique_id(self, prefix: str) -> str:
        """Names for what cursors prepare: sessions are shared by processes that would
        all count from one, and find the name taken."""
        return f"__meridian_{prefix}_{secrets.token_hex(8)}__"
