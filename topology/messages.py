"""Form of the messages that Pub/Sub checks before it takes them."""

from typing import Any

_POSITION = {"type": "array", "items": "long"}
"""Epoch and sequence number."""

REPAIR: dict[str, Any] = {
    "type": "record",
    "name": "Repair",
    "fields": [
        {"name": "lane", "type": "int"},
        {"name": "first", "type": _POSITION},
        {"name": "last", "type": _POSITION},
        {"name": "question", "type": "string"},
    ],
}
"""A request to a hub's worker, in Avro: for missing changes of a lane, or, where
`question` is not empty, what else is asked, as JSON text. Every field is always there:
what Google takes for a field that is left out, or not declared, is in no document.

Changes themselves travel as frames with raw vectors in them: no schema language of
Pub/Sub describes these, so their topic has none.
"""
