"""Answers of the contract as typed records."""

# ruff: noqa: RUF009 (the fields are made by functions that return `field()`)

from dataclasses import dataclass
from typing import Any

from service.contract import fields as f


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why something was refused."""

    code: str = f.needed("Code; never renamed.")
    message: str = f.needed("A sentence: what was given, what is allowed.")
    request_id: str | None = f.optional("Of the request, where there is one.")
    details: dict[str, Any] | None = f.metadata("More, by code.")


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A collection as it is."""

    name: str = f.needed("Its name.")
    dimension: int = f.needed("Components of every vector.")
    metric: str = f.needed("How two vectors are scored.")
    score: str = f.needed("Which scores are nearer: always `higher is nearer`.")
    element_type: str = f.needed("What vectors are rounded to.")
    writes: str = f.needed("Where it is written.")
    home: str | None = f.optional("Hub that takes its writes, of `writes: home`.")
    durability: str = f.needed("What an acknowledged write survives.")
    retention_seconds: int = f.needed("Age at which items are gone; 0: never.")
    lane: int = f.needed("Lane of its changes.")
    count: int | None = f.optional("Items in this region.")
    public: bool = f.optional("Whether anybody may read its items.", False)


@dataclass(frozen=True, kw_only=True)
class Collections:
    """All collections of the tenant."""

    collections: list[Any] = f.needed("By name.", of=Collection)
    region: str = f.needed("Region that answered.")


@dataclass(frozen=True, kw_only=True)
class Counted:
    """How many items there are."""

    count: int = f.needed("Items.")
    region: str = f.needed("Region that answered.")


@dataclass(frozen=True, kw_only=True)
class Position:
    """Place in the log."""

    origin: str = f.needed("Hub that committed.")
    lane: int = f.needed("Lane.")
    epoch: int = f.needed("Rises when a primary is promoted or restored.")
    seq: int = f.needed("Number in the epoch.")


@dataclass(frozen=True, kw_only=True)
class Written:
    """Result of one item: stored, or why not."""

    id: str | None = f.optional("Item id.")
    event_id: str | None = f.optional("Idempotency key.")
    version: int | None = f.optional("Version of the item.")
    committed_at: int | None = f.optional("Milliseconds since 1970.")
    position: Any = f.optional("Where the change stands.", shape=Position)
    error: Any = f.optional("Why it was not stored.", shape=Problem)


@dataclass(frozen=True, kw_only=True)
class Writes:
    """Results in the order of the items."""

    results: list[Any] = f.needed("One each.", of=Written)
    stored: int = f.needed("How many were stored.")
    region: str = f.needed("Region that answered.")
    token: str | None = f.optional("For `read_your_writes`.")
    more: bool | None = f.optional("Of a delete by filter: whether more is there.")


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A found item."""

    id: str = f.needed("Item id.")
    score: float = f.needed("Higher is nearer.")
    version: int = f.needed("Version of the item.")
    metadata: dict[str, Any] | None = f.metadata("As it was stored.")


@dataclass(frozen=True, kw_only=True)
class Hits:
    """Hits of one vector."""

    hits: list[Any] = f.needed("Best first.", of=Hit)


@dataclass(frozen=True, kw_only=True)
class Found:
    """Hits; of several vectors in `results`, in their order."""

    hits: list[Any] | None = f.optional("Best first.", of=Hit)
    results: list[Any] | None = f.optional("One for each vector.", of=Hits)
    region: str = f.needed("Region that answered.")


@dataclass(frozen=True, kw_only=True)
class Item:
    """An item as it is stored."""

    id: str = f.needed("Item id.")
    vector: str = f.needed("Base64, in the collection's element type.")
    metadata: dict[str, Any] | None = f.metadata("As it was stored.")
    version: int = f.needed("Version of the item.")
    origin: str = f.needed("Hub that committed it.")


@dataclass(frozen=True, kw_only=True)
class Items:
    """Items; of a scroll with the cursor of the next page."""

    items: list[Any] = f.needed("Those that are there.", of=Item)
    cursor: str | None = f.optional("Of the next page; absent at the end.")
    region: str = f.needed("Region that answered.")


@dataclass(frozen=True, kw_only=True)
class SavedQuery:
    """A saved search."""

    collection: str = f.needed("Collection name.")
    name: str = f.needed("Its name.")
    text: str | None = f.optional("The sentence, where one was given.")
    k: int = f.needed("Most hits to return.")
    minimum_score: float | None = f.optional("Hits below it are left out.")
    filter: dict[str, Any] | None = f.metadata("Filter on metadata.")
    version: int = f.needed("Version of the query.")


@dataclass(frozen=True, kw_only=True)
class SavedQueries:
    """Saved searches of a collection."""

    queries: list[Any] = f.needed("By name.", of=SavedQuery)
    region: str = f.needed("Region that answered.")


@dataclass(frozen=True, kw_only=True)
class Previewed:
    """What a standing query would have matched."""

    threshold: float = f.needed("The given one, or the one for the wanted rate.")
    matches: int = f.needed("Changes that reach it.")
    judged: int = f.needed("Changes that passed the filter.")
    seconds: float = f.needed("Time that they cover.")
    rate_per_hour: float = f.needed("Matches an hour in that time.")
    truncated: bool = f.needed("Whether older changes were left out.")
    examples: list[Any] = f.needed("Best first.", of=Hit)
    region: str = f.needed("Region that answered.")


@dataclass(frozen=True, kw_only=True)
class Explained:
    """Why an item matches or does not."""

    matches: bool = f.needed("Whether it would be delivered.")
    score: float = f.needed("Score of the two.")
    threshold: float = f.needed("What the score must reach.")
    passes_filter: bool = f.needed("Whether the metadata passes.")
    filter: list[Any] | None = f.optional("Verdict of each condition.", of=dict)
    version: int = f.needed("Version of the item.")


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """Vectors in the order of the sentences."""

    vectors: list[Any] = f.needed("One each.", of="numbers")


@dataclass(frozen=True, kw_only=True)
class LimitsShown:
    """What one request may hold."""

    max_body_bytes: int = f.needed("Bytes of a body.")
    max_batch_items: int = f.needed("Items of a batch.")
    max_dimension: int = f.needed("Components of a vector.")
    max_metadata_bytes: int = f.needed("Bytes of an item's metadata.")
    max_streams_per_connection: int = f.needed("Streams of a connection.")
    max_collection_bytes: int = f.needed("Bytes of vectors an instance holds of one.")
    concurrency: int = f.needed("Requests and connections of an instance.")


@dataclass(frozen=True, kw_only=True)
class Free:
    """A JSON object."""

    value: dict[str, Any] | None = f.metadata("The object.")


@dataclass(frozen=True, kw_only=True)
class Done:
    """It is done."""

    done: bool = f.needed("True.")
    region: str = f.needed("Region that answered.")


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A key's text, which is kept nowhere."""

    id: str = f.needed("Id of the key.")
    key: str = f.needed("Send it as `Authorization: Bearer` or `x-api-key`.")


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key as its owner may see it."""

    id: str = f.needed("Id of the key.")
    tenant: str = f.needed("Its tenant.")
    scopes: list[Any] = f.needed("What it may do.", of=str)
    tier: str = f.needed("Who is refused first under overload.")
    origins: list[Any] = f.needed("Web origins that may use it.", of=str)
    revoked: float | None = f.optional("Since when it is refused (Unix seconds).")
    created: float = f.needed("When it was made (Unix seconds).")
    note: str = f.needed("For people.")


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Keys of a tenant."""

    keys: list[Any] = f.needed("By id.", of=Key)


@dataclass(frozen=True, kw_only=True)
class PersistentStream:
    """A stream whose definition and acknowledged position are kept."""

    id: str = f.needed("By this id it goes on anywhere.")
    home: str = f.needed("Hub that keeps it.")
    collection: str = f.needed("Collection name.")
    text: str | None = f.optional("First 160 characters of its sentence, if any.")
    threshold: float = f.needed("Scores at or above it match.")
    definition_version: int = f.needed("Version of the query.")
    epoch: int = f.needed("How many owners it has had.")
    owned: bool = f.needed("Whether an owner renewed it of late.")
    token: str = f.needed("Its acknowledged position.")
    lease_seconds: int = f.needed("It is forgotten when nobody has it for so long.")
    lease_until: float = f.needed("When that is (Unix seconds), unless renewed.")


@dataclass(frozen=True, kw_only=True)
class PersistentStreams:
    """The persistent streams of the tenant, those of absent hubs left out."""

    streams: list[Any] = f.needed("By id.", of=PersistentStream)
    away: list[Any] = f.needed("Hubs that did not answer.", of=str)
    region: str = f.needed("Region that answered.")


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """A single-use ticket."""

    ticket: str = f.needed("Open a WebSocket or EventSource with `?ticket=`.")
    seconds: int = f.needed("How long it holds.")


@dataclass(frozen=True, kw_only=True)
class QuotaShown:
    """What a tenant may hold; what is absent has no bound."""

    streams: int | None = f.optional("Standing queries at once.")
    items: int | None = f.optional("Items.")
    bytes: int | None = f.optional("Bytes of vectors and metadata.")
