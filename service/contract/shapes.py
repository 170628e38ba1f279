"""Requests of the contract as typed records.

The rules stand in each field's metadata and are read by `validate.parse` and by
`schema.json_schema`, so that what is documented is what is enforced.
"""

# ruff: noqa: RUF009 (the fields are made by functions that return `field()`)

from dataclasses import dataclass, field
from typing import Any

MAX_ID = 512
"""Longest item, event or stream id, in characters."""
MAX_COLLECTION_NAME = 64
"""Longest collection name, in characters."""
MAX_TEXT = 8192
"""Longest sentence, in characters (the model reads its first 256 tokens)."""

METRICS = ("cosine", "dot")
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


def _vector() -> Any:
    return field(
        default=None,
        metadata=rule("Numbers, or base64 of little-endian float32.", vector=True),
    )


def _text() -> Any:
    return field(
        default=None,
        metadata=rule(
            "A sentence instead of a vector; needs the extra [text].",
            minLength=1,
            maxLength=MAX_TEXT,
        ),
    )


def _name() -> Any:
    return field(metadata=rule("Collection name.", pattern=NAME_PATTERN))


def _id(doc: str) -> Any:
    return field(metadata=rule(doc, pattern=ID_PATTERN))


def _event() -> Any:
    return field(
        default=None,
        metadata=rule(
            "Idempotency key of this change; drawn by the service when absent.",
            pattern=ID_PATTERN,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class CreateCollection:
    """Creates a collection; the same fields again are answered alike."""

    name: str = _name()
    dimension: int = field(
        metadata=rule("Components of every vector.", minimum=1, maximum=4096)
    )
    metric: str = field(
        default="cosine",
        metadata=rule("Score of two vectors; higher is nearer.", enum=METRICS),
    )


@dataclass(frozen=True, kw_only=True)
class UpsertItem:
    """One item of an upsert: exactly one of `vector` and `text`."""

    id: str = _id("Item id, unique in its collection.")
    vector: list[float] | str | None = _vector()
    text: str | None = _text()
    metadata: dict[str, Any] | None = field(
        default=None, metadata=rule("Free JSON object, kept with the item.")
    )
    event_id: str | None = _event()


@dataclass(frozen=True, kw_only=True)
class Upsert:
    """Body of `items:upsert`. Items fail one by one."""

    items: list[Any] = field(metadata=rule("Items.", of=UpsertItem))


@dataclass(frozen=True, kw_only=True)
class DeleteItem:
    """One item of a delete; an absent item is deleted all the same."""

    id: str = _id("Item id.")
    event_id: str | None = _event()


@dataclass(frozen=True, kw_only=True)
class Delete:
    """Body of `items:delete`. Items fail one by one."""

    items: list[Any] = field(metadata=rule("Items.", of=DeleteItem))


@dataclass(frozen=True, kw_only=True)
class Search:
    """Body of `:search`: exactly one of `vector` and `text`."""

    vector: list[float] | str | None = _vector()
    text: str | None = _text()
    k: int = field(
        default=10, metadata=rule("Most hits to return.", minimum=1, maximum=1000)
    )
    minimum_score: float | None = field(
        default=None, metadata=rule("Hits below this score are left out.")
    )


@dataclass(frozen=True, kw_only=True)
class Embed:
    """Body of `/v1/embed`."""

    texts: list[Any] = field(metadata=rule("Sentences.", of=str))


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Starts a standing query on a connection."""

    type: str = field(metadata=rule("Message type.", enum=("watch",)))
    stream: str = _id("Id of the stream, unique on its connection.")
    collection: str = _name()
    vector: list[float] | str | None = _vector()
    text: str | None = _text()
    threshold: float = field(metadata=rule("Scores at or above it match."))
    from_: str | dict[str, Any] = field(
        default="now",
        metadata=rule(
            'Where to start: "now", {"token": t} or {"seconds": n}.', origin=True
        ),
    )
    definition_version: int = field(
        default=1, metadata=rule("Version of the query.", minimum=1)
    )


@dataclass(frozen=True, kw_only=True)
class Drop:
    """Ends a standing query."""

    type: str = field(metadata=rule("Message type.", enum=("drop",)))
    stream: str = _id("Id of the stream.")


@dataclass(frozen=True, kw_only=True)
class Ping:
    """Asks for a heartbeat at once."""

    type: str = field(metadata=rule("Message type.", enum=("ping",)))
