"""Limits, and the makers of fields whose rules stand in their metadata.

The rules are read by `validate.parse`, `schema`, `openapi` and `proto`, so that what
is documented is what is enforced.
"""

from dataclasses import dataclass, field
from typing import Any

MAX_TEXT = 8192
"""Longest sentence, in characters (the model reads its first 256 tokens)."""
MAX_K = 1000
"""Most hits of a search."""
WINDOW_SECONDS = 7200
"""How far back a stream may start: as long as the log is kept."""

METRICS = ("cosine", "dot", "l2")
ELEMENTS = ("f32", "f16")
WRITES = ("anywhere", "home")
DURABILITIES = ("zone", "region")
PRIORITIES = ("normal", "low")
CONSISTENCIES = ("local", "read_your_writes")
LEASE_SECONDS = 3600
"""How long a persistent stream outlives its last owner unless it says otherwise."""
MIN_LEASE_SECONDS = 60
MAX_LEASE_SECONDS = 7 * 86_400
"""The log is kept for less: who comes back after WINDOW_SECONDS hears of a gap."""
STREAM_PATTERN = r"^[a-z0-9-]{1,63}\.[0-9a-f]{32}$"
"""Id of a persistent stream: its home hub, a point, and a number nobody guesses."""
NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
ID_PATTERN = r"^[^\x00-\x1f\x7f]{1,512}$"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one request may hold; the values come from the plan."""

    max_body_bytes: int = 16 * 2**20
    max_batch_items: int = 1000
    max_dimension: int = 4096
    max_metadata_bytes: int = 16 * 2**10
    max_streams_per_connection: int = 1000
    max_collection_bytes: int = 2 * 2**30
    concurrency: int = 1000


def rule(doc: str, **keywords: Any) -> dict[str, Any]:
    """Field metadata: a sentence and JSON schema keywords."""
    return {"doc": doc, **keywords}


def needed(doc: str, **keywords: Any) -> Any:
    """A field that must be given."""
    return field(metadata=rule(doc, **keywords))


def optional(doc: str, default: Any = None, **keywords: Any) -> Any:
    """A field with a default."""
    return field(default=default, metadata=rule(doc, **keywords))


def vector(doc: str = "The vector.") -> Any:
    """A vector in one of its forms."""
    forms = "Numbers, or base64 of little-endian float32 or float16 (by its length)."
    return optional(f"{doc} {forms}", vector=True)


def text() -> Any:
    """A sentence."""
    return optional(
        "A sentence instead of a vector; needs the extra [text].",
        minLength=1,
        maxLength=MAX_TEXT,
    )


def name(doc: str = "Collection name.") -> Any:
    """Name of a collection."""
    return needed(doc, pattern=NAME_PATTERN)


def identifier(doc: str) -> Any:
    """An id that must be given."""
    return needed(doc, pattern=ID_PATTERN)


def stream_id() -> Any:
    """Id of a persistent stream."""
    return needed("Id of the persistent stream.", pattern=STREAM_PATTERN)


def event() -> Any:
    """An idempotency key."""
    return optional(
        "Idempotency key of this change; drawn from the request's id when absent.",
        pattern=ID_PATTERN,
    )


def condition() -> Any:
    """A version that an item must have."""
    return optional(
        "Stored only while the item has this version (0: while it is not there); "
        "for collections with writes: home.",
        minimum=0,
    )


def filtered() -> Any:
    """A filter on metadata."""
    return optional("Filter on metadata; see the grammar.", filter=True)


def metadata(doc: str) -> Any:
    """A free JSON object."""
    return optional(doc, json=True)
