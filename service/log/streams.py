"""What a home hub's database holds of persistent streams, asked by name, and how far
its log has come.

Parameters and rows are plain JSON, so that what an instance of another hub asks can
travel as a message (`service.stream.homes`). Every question may be asked twice.
"""

from typing import Any

import asyncpg

Row = dict[str, Any]
MOST = 1000
"""Streams of one list."""
_SHOWN = (
    "id, home, definition_version, epoch, lease_seconds, lease_until, acked AS token, "
    "definition::json ->> 'collection' AS collection, "
    "left(definition::json ->> 'text', 160) AS text, "
    "coalesce(definition::json ->> 'learned_threshold', "
    "definition::json ->> 'threshold')::double precision AS threshold, "
    "owner IS NOT NULL AND lease_until - lease_seconds > "
    "extract(epoch FROM clock_timestamp()) - $2::integer AS owned"
)
_ASKED = {
    "make": "SELECT * FROM make_stream($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    "look": "SELECT epoch FROM kept_stream WHERE id = $1 AND tenant = $2",
    "take": "SELECT * FROM take_stream($1, $2, $3, $4)",
    "keep": "SELECT * FROM keep_streams($1, $2, $3, $4)",
    "define": "SELECT * FROM define_stream($1, $2, $3, $4)",
    "drop": "SELECT * FROM drop_stream($1, $2, $3) AS id",
    "count": "SELECT count(*) FROM kept_stream WHERE tenant = $1",
    # Nothing of a server that does not lead the log, or not any more (ADR 0016).
    "heads": (
        "SELECT h.lane, h.epoch, h.seq FROM head h JOIN lineage l USING (origin) "
        "WHERE h.origin = $1 AND l.fenced IS NULL AND l.timeline = timeline()"
    ),
    "list": (
        f"SELECT {_SHOWN} FROM kept_stream WHERE tenant = $1 ORDER BY id LIMIT {MOST}"
    ),
}


async def ask(pool: asyncpg.Pool, question: str, params: list[Any]) -> list[Row]:
    """Rows that answer a question; raises KeyError for one that there is not."""
    rows = await pool.fetch(_ASKED[question], *params)
    return [dict(row) for row in rows]
