"""Checks messages against the schema that their topic declares, as Pub/Sub does.

JSON of Avro records alone: what is declared here. Stricter than Google may be: a field
that the schema does not name, or that is left out, is refused.
"""

from __future__ import annotations

import base64
import json
from functools import lru_cache
from io import BytesIO
from typing import Any

from localcloud.control.store import Json, Store

REFUSED = "Invalid data in message: Message failed schema validation."


def misfit(store: Store, api: str, topic: Json, messages: list[Json]) -> str:
    """Why Pub/Sub would refuse one of the messages; empty when it would not."""
    form = (topic.get("schemaSettings") or {}).get("schema")
    row = store.get(api, f"v1/{form}") if form else None
    if row is None or row.body.get("type") != "AVRO":
        return ""
    return next(
        filter(None, (_misfit(row.body["definition"], m) for m in messages)), ""
    )


def _misfit(definition: str, message: Json) -> str:
    # Loaded where it is needed: most worlds publish nothing that has a schema at first.
    from fastavro import schemaless_writer

    try:
        data = json.loads(base64.b64decode(message.get("data", ""), validate=True))
        # Of fastavro's ways to check, writing alone refuses what is not declared.
        schemaless_writer(BytesIO(), _parsed(definition), data, strict=True)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        return f"{REFUSED} {str(error)[:200]}"
    return ""


@lru_cache(maxsize=16)
def _parsed(definition: str) -> Any:
    from fastavro.schema import parse_schema

    return parse_schema(json.loads(definition))
