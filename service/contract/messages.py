"""Messages of a connection: what a client says of its streams."""

# ruff: noqa: RUF009 (the fields are made by functions that return `field()`)

from dataclasses import dataclass
from typing import Any, ClassVar

from service.contract import fields as f


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Starts a standing query: one of `vector` and `text`."""

    CHOICES: ClassVar = (("vector", "text"), ("threshold", "rate_per_hour"))

    type: str = f.needed("Message type.", enum=("watch",))
    stream: str = f.identifier("Id of the stream, unique on its connection.")
    collection: str = f.name()
    vector: list[float] | str | None = f.vector()
    text: str | None = f.text()
    threshold: float | None = f.optional("Scores at or above it match.")
    rate_per_hour: float | None = f.optional(
        "Wanted matches an hour instead of a threshold, judged by recent changes.",
        minimum=0.001,
        maximum=1e9,
    )
    filter: dict[str, Any] | None = f.filtered()
    from_: str | dict[str, Any] = f.optional(
        'Where to start: "now", {"token": t} or {"seconds": n}.', "now", origin=True
    )
    definition_version: int = f.optional("Version of the query.", 1, minimum=1)
    credit: int | None = f.optional(
        "Matches that may be sent until more credit is granted; absent: no bound.",
        minimum=0,
        maximum=1_000_000,
    )
    learned: str | None = f.optional(
        "What the stream had learned elsewhere: of the last `learned` event.",
        maxLength=100_000,
    )
    best: int | None = f.optional(
        "Tells only of the best so many of each window, together.",
        minimum=1,
        maximum=100,
    )
    window_seconds: int | None = f.optional(
        "Length of a window; it ends half a second late at most. With `best`.",
        minimum=1,
        maximum=3600,
    )
    priority: str = f.optional(
        "Under overload `low` is held at half of the pressure that holds its tier; "
        "it catches up later.",
        "normal",
        enum=f.PRIORITIES,
    )
    persistent: bool = f.optional(
        "Its definition and acknowledged position are kept at this region's hub; "
        "`attached` tells the id by which it goes on anywhere.",
        False,
    )
    lease_seconds: int | None = f.optional(
        f"A persistent stream that nobody has is forgotten after so long; "
        f"{f.LEASE_SECONDS:,} when absent.",
        minimum=f.MIN_LEASE_SECONDS,
        maximum=f.MAX_LEASE_SECONDS,
    )


@dataclass(frozen=True, kw_only=True)
class Attach:
    """Takes a persistent stream over: it goes on after what was acknowledged."""

    type: str = f.needed("Message type.", enum=("attach",))
    stream: str = f.identifier("Id of the stream on this connection.")
    id: str = f.stream_id()
    token: str | None = f.optional(
        "Of a delivery: acknowledges it, and the stream goes on after it.",
        maxLength=4096,
    )
    credit: int | None = f.optional(
        "Matches that may be sent until more credit is granted; absent: no bound.",
        minimum=0,
        maximum=1_000_000,
    )
    unfenced: bool = f.optional(
        "While the home hub is away: goes on by `token` and `definition`, and is "
        "taken over as soon as the hub is back.",
        False,
    )
    definition: dict[str, Any] | None = f.metadata(
        "As the last `attached` event held it; with `unfenced`."
    )


@dataclass(frozen=True, kw_only=True)
class Ack:
    """Everything of a persistent stream up to a delivery was dealt with."""

    type: str = f.needed("Message type.", enum=("ack",))
    stream: str = f.identifier("Id of the stream on this connection.")
    token: str = f.needed("Of the delivery.", maxLength=4096)
    epoch: int | None = f.optional(
        "Of the delivery: an older one is refused as `fenced`.", minimum=0
    )


@dataclass(frozen=True, kw_only=True)
class Drop:
    """Ends a standing query; a persistent one is forgotten."""

    type: str = f.needed("Message type.", enum=("drop",))
    stream: str = f.identifier("Id of the stream.")


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Stops a stream where it stands."""

    type: str = f.needed("Message type.", enum=("pause",))
    stream: str = f.identifier("Id of the stream.")


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Lets a paused stream go on from where it stands."""

    type: str = f.needed("Message type.", enum=("resume",))
    stream: str = f.identifier("Id of the stream.")


@dataclass(frozen=True, kw_only=True)
class Credit:
    """Lets a stream send more matches."""

    type: str = f.needed("Message type.", enum=("credit",))
    stream: str = f.identifier("Id of the stream.")
    credit: int = f.needed("Further matches.", minimum=1, maximum=1_000_000)


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """Says whether a delivered item was wanted; the stream learns from it."""

    type: str = f.needed("Message type.", enum=("feedback",))
    stream: str = f.identifier("Id of the stream.")
    item: str = f.identifier("Id of the delivered item.")
    good: bool = f.needed("Whether it was wanted.")


@dataclass(frozen=True, kw_only=True)
class Undo:
    """Puts a stream that learned back to its first definition."""

    type: str = f.needed("Message type.", enum=("undo",))
    stream: str = f.identifier("Id of the stream.")


@dataclass(frozen=True, kw_only=True)
class ListStreams:
    """Asks for the streams of the connection."""

    type: str = f.needed("Message type.", enum=("list",))


@dataclass(frozen=True, kw_only=True)
class Ping:
    """Asks for a heartbeat at once."""

    type: str = f.needed("Message type.", enum=("ping",))


@dataclass(frozen=True, kw_only=True)
class Call:
    """Runs an operation of the contract on this connection."""

    type: str = f.needed("Message type.", enum=("call",))
    id: str = f.identifier("Comes back with the answer.")
    operation: str = f.needed("Name of the operation.", maxLength=64)
    params: dict[str, Any] | None = f.metadata("The operation's request.")
    timeout_ms: int | None = f.optional(
        "How long the caller waits for the answer.", minimum=1, maximum=999_999_999
    )
    traceparent: str | None = f.optional(
        "The caller's span, by W3C Trace Context.", maxLength=128
    )


MESSAGES = (
    Watch,
    Drop,
    Pause,
    Resume,
    Credit,
    Feedback,
    Undo,
    ListStreams,
    Ping,
    Attach,
    Ack,
    Call,
)
TYPES = {m.__dataclass_fields__["type"].metadata["enum"][0]: m for m in MESSAGES}
"""Shape of each message by its type."""
