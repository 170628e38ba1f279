"""Requests of the contract as typed records; one per operation."""

# ruff: noqa: RUF009 (the fields are made by functions that return `field()`)

from dataclasses import dataclass
from typing import Any, ClassVar

from service.contract import fields as f


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """A request that says everything by its name."""


@dataclass(frozen=True, kw_only=True)
class CreateCollection:
    """Creates a collection; the same fields again are answered alike."""

    name: str = f.name()
    dimension: int = f.needed("Components of every vector.", minimum=1, maximum=4096)
    metric: str = f.optional(
        "Score of two vectors, higher is nearer for each: cosine, inner product, or "
        "the negative squared Euclidean distance (l2).",
        "cosine",
        enum=f.METRICS,
    )
    element_type: str = f.optional(
        "Vectors are rounded to it once, at the write.", "f32", enum=f.ELEMENTS
    )
    writes: str = f.optional(
        "`anywhere`: every hub takes writes, the last writer wins; `home`: wherever "
        "they are sent, the hub where it was created commits them, which can judge "
        "conditions.",
        "anywhere",
        enum=f.WRITES,
    )
    durability: str = f.optional(
        "What an acknowledged write survives: the loss of a zone, or of the region of "
        "its primary, which costs the way to another region and back.",
        "zone",
        enum=f.DURABILITIES,
    )
    retention_seconds: int = f.optional(
        "Items older than this are gone; 0 keeps them.", 0, minimum=0, maximum=2**31
    )
    public: bool = f.optional(
        "Anybody may read its items at /v1/public/{tenant}/collections/{name}/items/"
        "{id}, and caches keep them for a minute.",
        False,
    )


@dataclass(frozen=True, kw_only=True)
class OneCollection:
    """Names a collection."""

    collection: str = f.name()


@dataclass(frozen=True, kw_only=True)
class Count:
    """Counts items."""

    collection: str = f.name()
    filter: dict[str, Any] | None = f.filtered()


@dataclass(frozen=True, kw_only=True)
class UpsertItem:
    """One item of an upsert: exactly one of `vector` and `text`."""

    CHOICES: ClassVar = (("vector", "text"),)

    id: str = f.identifier("Item id, unique in its collection.")
    vector: list[float] | str | None = f.vector()
    text: str | None = f.text()
    metadata: dict[str, Any] | None = f.metadata("Free JSON, kept with the item.")
    event_id: str | None = f.event()
    if_version: int | None = f.condition()


@dataclass(frozen=True, kw_only=True)
class Upsert:
    """Stores items; they fail one by one."""

    collection: str = f.name()
    items: list[Any] = f.needed("Items.", of=UpsertItem)


@dataclass(frozen=True, kw_only=True)
class PatchItem:
    """One item of a patch."""

    id: str = f.identifier("Item id.")
    metadata: dict[str, Any] | None = f.metadata(
        "Merged into the item's metadata (RFC 7396: null removes a key)."
    )
    event_id: str | None = f.event()
    if_version: int | None = f.condition()


@dataclass(frozen=True, kw_only=True)
class Patch:
    """Changes metadata of items that are there; they fail one by one."""

    collection: str = f.name()
    items: list[Any] = f.needed("Items.", of=PatchItem)


@dataclass(frozen=True, kw_only=True)
class DeleteItem:
    """One item of a delete; an absent item is deleted all the same."""

    id: str = f.identifier("Item id.")
    event_id: str | None = f.event()
    if_version: int | None = f.condition()


@dataclass(frozen=True, kw_only=True)
class Delete:
    """Deletes the named items, or those that a filter finds here."""

    CHOICES: ClassVar = (("items", "filter"),)

    collection: str = f.name()
    items: list[Any] | None = f.optional("Items.", of=DeleteItem)
    filter: dict[str, Any] | None = f.filtered()


@dataclass(frozen=True, kw_only=True)
class GetItem:
    """Names an item."""

    collection: str = f.name()
    id: str = f.identifier("Item id.")


@dataclass(frozen=True, kw_only=True)
class GetItems:
    """Names several items."""

    collection: str = f.name()
    ids: list[Any] = f.needed("Item ids.", of=str)


@dataclass(frozen=True, kw_only=True)
class Scroll:
    """Reads a collection in the order of ids."""

    collection: str = f.name()
    cursor: str | None = f.optional("The cursor of the page before.", maxLength=4096)
    limit: int = f.optional("Most items of a page.", 100, minimum=1, maximum=1000)
    filter: dict[str, Any] | None = f.filtered()


@dataclass(frozen=True, kw_only=True)
class Search:
    """The nearest items: one of `vector`, `text`, `vectors` and `query`."""

    CHOICES: ClassVar = (("vector", "text", "vectors", "query"),)

    collection: str = f.name()
    vector: list[float] | str | None = f.vector()
    text: str | None = f.text()
    vectors: list[Any] | None = f.optional("Several vectors.", of="vector")
    query: str | None = f.optional("Name of a saved query.", pattern=f.NAME_PATTERN)
    k: int = f.optional("Most hits to return.", 10, minimum=1, maximum=f.MAX_K)
    minimum_score: float | None = f.optional("Hits below it are left out.")
    filter: dict[str, Any] | None = f.filtered()
    consistency: str = f.optional(
        "`read_your_writes` waits until this region holds what `token` names.",
        "local",
        enum=f.CONSISTENCIES,
    )
    token: str | None = f.optional("The token that a write returned.", maxLength=4096)
    deadline_ms: int | None = f.optional(
        "Milliseconds after which the answer is of no use.", minimum=1, maximum=600_000
    )


@dataclass(frozen=True, kw_only=True)
class SaveQuery:
    """Saves a search under a name: one of `vector` and `text`."""

    CHOICES: ClassVar = (("vector", "text"),)

    collection: str = f.name()
    name: str = f.name("Name of the query.")
    vector: list[float] | str | None = f.vector()
    text: str | None = f.text()
    k: int = f.optional("Most hits to return.", 10, minimum=1, maximum=f.MAX_K)
    minimum_score: float | None = f.optional("Hits below it are left out.")
    filter: dict[str, Any] | None = f.filtered()


@dataclass(frozen=True, kw_only=True)
class OneQuery:
    """Names a saved query."""

    collection: str = f.name()
    name: str = f.name("Name of the query.")


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a standing query would have matched: one of `vector` and `text`."""

    CHOICES: ClassVar = (("vector", "text"), ("threshold", "rate_per_hour"))

    collection: str = f.name()
    vector: list[float] | str | None = f.vector()
    text: str | None = f.text()
    threshold: float | None = f.optional("Scores at or above it match.")
    rate_per_hour: float | None = f.optional(
        "Wanted matches an hour; the threshold for it is worked out.",
        minimum=0.001,
        maximum=1e9,
    )
    filter: dict[str, Any] | None = f.filtered()
    seconds: float = f.optional(
        "How far back to look.", 3600.0, minimum=1, maximum=f.WINDOW_SECONDS
    )
    k: int = f.optional("Most examples to return.", 10, minimum=1, maximum=100)


@dataclass(frozen=True, kw_only=True)
class Explain:
    """Why an item matches a query or does not: one of `vector` and `text`."""

    CHOICES: ClassVar = (("vector", "text"),)

    collection: str = f.name()
    id: str = f.identifier("Item id.")
    vector: list[float] | str | None = f.vector()
    text: str | None = f.text()
    threshold: float = f.needed("Scores at or above it match.")
    filter: dict[str, Any] | None = f.filtered()


@dataclass(frozen=True, kw_only=True)
class Embed:
    """Vectors of sentences."""

    texts: list[Any] = f.needed("Sentences.", of=str)


@dataclass(frozen=True, kw_only=True)
class CreateKey:
    """Makes an API key; its text is shown this once."""

    scopes: list[Any] = f.needed(
        "What it may do: read, write, watch, manage, keys, operate.", of=str
    )
    tier: str = f.optional("Who is refused first under overload.", "standard")
    tenant: str | None = f.optional("The caller's own when absent.", maxLength=63)
    origins: list[Any] | None = f.optional("Web origins that may use it.", of=str)
    note: str | None = f.optional("For people.", maxLength=200)


@dataclass(frozen=True, kw_only=True)
class OneKey:
    """Names a key."""

    id: str = f.identifier("Id of the key.")


@dataclass(frozen=True, kw_only=True)
class RotateKey:
    """Gives a key a new text."""

    id: str = f.identifier("Id of the key.")
    overlap_seconds: float = f.optional(
        "How long the old text goes on.", 3600.0, minimum=0, maximum=30 * 86_400
    )


@dataclass(frozen=True, kw_only=True)
class OneStream:
    """Names a persistent stream."""

    id: str = f.stream_id()


@dataclass(frozen=True, kw_only=True)
class OneTenant:
    """Names a tenant."""

    tenant: str | None = f.optional("The caller's own when absent.", maxLength=63)


@dataclass(frozen=True, kw_only=True)
class SetQuota:
    """Gives a tenant a quota; what is left out has no bound."""

    tenant: str = f.needed("The tenant.", maxLength=63)
    streams: int | None = f.optional("Standing queries at once.", minimum=0)
    items: int | None = f.optional("Items.", minimum=0)
    bytes: int | None = f.optional("Bytes of vectors and metadata.", minimum=0)


@dataclass(frozen=True, kw_only=True)
class TurnKnob:
    """Turns a value of all instances of the region, for a while."""

    name: str = f.needed("Name of the knob.", maxLength=64)
    value: float = f.needed("Its value.")
    seconds: float = f.needed("How long.", minimum=1, maximum=86_400)
