"""Messages of a connection: what the service says of its streams."""

# ruff: noqa: RUF009 (the fields are made by functions that return `field()`)

from dataclasses import dataclass
from typing import Any

from service.contract import fields as f
from service.contract.answers import Position, Problem


def _epoch() -> Any:
    return f.optional("Of a persistent stream: its owner's epoch; 0 while unfenced.")


@dataclass(frozen=True, kw_only=True)
class Watching:
    """A stream runs: from here nothing is missed."""

    type: str = f.needed("Message type.", enum=("watching",))
    stream: str = f.needed("Id of the stream.")
    collection: str = f.needed("Collection name.")
    threshold: float = f.needed("Scores at or above it match.")
    token: str = f.needed("Resumes the stream from here, in any region.")
    region: str = f.needed("Region that watches.")


@dataclass(frozen=True, kw_only=True)
class MatchedItem:
    """The item that matched."""

    id: str = f.needed("Item id.")
    metadata: dict[str, Any] | None = f.metadata("As it was written.")
    version: int = f.needed("Version of the item.")


@dataclass(frozen=True, kw_only=True)
class Match:
    """A change reached the threshold of a stream."""

    type: str = f.needed("Message type.", enum=("match",))
    stream: str = f.needed("Id of the stream.")
    collection: str = f.needed("Collection name.")
    event_id: str = f.needed("Id of the change; a stream hears of it once.")
    op: str = f.needed("What the change did.")
    item: Any = f.needed("The item.", shape=MatchedItem)
    score: float = f.needed("Its score.")
    threshold: float = f.needed("What it reached.")
    definition_version: int = f.needed("Version of the query that it reached.")
    position: Any = f.needed("Where the change stands.", shape=Position)
    token: str = f.needed("Resumes the stream after this match.")
    written_in: str = f.needed("Region that took the write.")
    written_at: int = f.needed("Milliseconds since 1970.")
    committed_at: int = f.needed("Milliseconds since 1970.")
    notified_at: int = f.needed("Milliseconds since 1970.")
    region: str = f.needed("Region that tells.")
    epoch: int | None = _epoch()


@dataclass(frozen=True, kw_only=True)
class BestMatch:
    """One of the best of a window."""

    event_id: str = f.needed("Id of the change; a stream hears of it once.")
    op: str = f.needed("What the change did.")
    item: Any = f.needed("The item.", shape=MatchedItem)
    score: float = f.needed("Its score.")
    position: Any = f.needed("Where the change stands.", shape=Position)
    written_in: str = f.needed("Region that took the write.")
    written_at: int = f.needed("Milliseconds since 1970.")
    committed_at: int = f.needed("Milliseconds since 1970.")


@dataclass(frozen=True, kw_only=True)
class Best:
    """A window of a stream is over, in which something reached its threshold."""

    type: str = f.needed("Message type.", enum=("best",))
    stream: str = f.needed("Id of the stream.")
    collection: str = f.needed("Collection name.")
    matches: list[Any] = f.needed("The best first.", of=BestMatch)
    matched: int = f.needed("How many reached the threshold.")
    since: float = f.needed("Begin of the window, seconds since 1970.")
    until: float = f.needed("Its end, seconds since 1970.")
    threshold: float = f.needed("What they reached.")
    definition_version: int = f.needed("Version of the query that they reached.")
    token: str = f.needed("Resumes the stream after this window.")
    notified_at: int = f.needed("Milliseconds since 1970.")
    region: str = f.needed("Region that tells.")
    epoch: int | None = _epoch()


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Changes that the log does not hold: search for what they may have been."""

    type: str = f.needed("Message type.", enum=("gap",))
    stream: str = f.needed("Id of the stream.")
    origin: str = f.needed("Hub whose changes are missing.")
    after: list[Any] = f.needed("Epoch and number of the last one heard.", of=int)
    before: list[Any] = f.needed(
        "Epoch and number of the next one; not above `after` where the token was ahead "
        "of all that the hub ever had: its log was set back.",
        of=int,
    )


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """Sent every 15 s with what each stream has reached."""

    type: str = f.needed("Message type.", enum=("heartbeat",))
    tokens: dict[str, str] = f.needed("Token of each stream.", map=True)
    at: float = f.needed("Seconds since 1970.")


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A message was refused."""

    type: str = f.needed("Message type.", enum=("error",))
    stream: str | None = f.optional("Id of the stream, where one was named.")
    error: Any = f.needed("Why.", shape=Problem)


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """A stream ended."""

    type: str = f.needed("Message type.", enum=("dropped",))
    stream: str = f.needed("Id of the stream.")
    reason: str | None = f.optional("Why, where the client did not ask for it.")
    code: str | None = f.optional(
        "Of a persistent stream: `fenced`, `not_found` or `home_away`."
    )


@dataclass(frozen=True, kw_only=True)
class Paused:
    """A stream stands."""

    type: str = f.needed("Message type.", enum=("paused",))
    stream: str = f.needed("Id of the stream.")
    token: str = f.needed("Where it stands.")


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """A stream goes on."""

    type: str = f.needed("Message type.", enum=("resumed",))
    stream: str = f.needed("Id of the stream.")


@dataclass(frozen=True, kw_only=True)
class Credited:
    """A stream may send more."""

    type: str = f.needed("Message type.", enum=("credited",))
    stream: str = f.needed("Id of the stream.")
    credit: int = f.needed("Matches that it may send now.")


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a stream looks for now."""

    type: str = f.needed("Message type.", enum=("learned",))
    stream: str = f.needed("Id of the stream.")
    definition_version: int = f.needed("Version of the query.")
    vector: str = f.needed("Base64 of little-endian float32.")
    threshold: float = f.needed("Scores at or above it match.")
    distance: float = f.needed("Cosine distance from the first definition.")
    most_distance: float = f.needed("It never goes beyond.")
    marks: int = f.needed("Marks that it learned from.")
    learned: str = f.needed("Send it with the same query to go on elsewhere.")


@dataclass(frozen=True, kw_only=True)
class StreamState:
    """One stream of a connection."""

    stream: str = f.needed("Id of the stream.")
    collection: str = f.needed("Collection name.")
    threshold: float = f.needed("Scores at or above it match.")
    definition_version: int = f.needed("Version of the query.")
    state: str = f.needed("`live`, `replaying`, `paused`, `held` or `no credit`.")
    credit: int | None = f.optional("Matches that it may send; absent: no bound.")
    token: str = f.needed("Where it stands.")
    id: str | None = f.optional("Id of a persistent stream.")


@dataclass(frozen=True, kw_only=True)
class Streams:
    """The streams of the connection."""

    type: str = f.needed("Message type.", enum=("streams",))
    streams: list[Any] = f.needed("By their order.", of=StreamState)


@dataclass(frozen=True, kw_only=True)
class GoAway:
    """Resume elsewhere: the connection closes soon."""

    type: str = f.needed("Message type.", enum=("goaway",))
    reason: str = f.needed("`draining`, `age` or `revoked`.")
    seconds: float = f.needed("Until it closes.")


@dataclass(frozen=True, kw_only=True)
class Attached:
    """A persistent stream is owned by this connection."""

    type: str = f.needed("Message type.", enum=("attached",))
    stream: str = f.needed("Id of the stream on this connection.")
    id: str = f.needed("By this id it goes on anywhere.")
    home: str = f.needed("Hub that keeps it.")
    epoch: int = f.needed("Rises with every owner; 0 while unfenced.")
    unfenced: bool = f.needed("Whether its home is away: nothing is kept till then.")
    lease_seconds: int = f.needed("It is forgotten when nobody has it for so long.")
    definition_version: int = f.needed("Version of the query.")
    definition: dict[str, Any] | None = f.metadata(
        "What is kept of it; an `attach` with `unfenced` sends it back."
    )


@dataclass(frozen=True, kw_only=True)
class Acked:
    """An acknowledged position is kept: nothing before it comes again."""

    type: str = f.needed("Message type.", enum=("acked",))
    stream: str = f.needed("Id of the stream on this connection.")
    token: str = f.needed("The position.")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Answer of a call: `result` or `error`."""

    type: str = f.needed("Message type.", enum=("answer",))
    id: str = f.needed("Id of the call.")
    result: dict[str, Any] | None = f.metadata("The operation's answer.")
    error: Any = f.optional("Why it was refused.", shape=Problem)


EVENTS = (
    Watching,
    Match,
    Gap,
    Heartbeat,
    Refused,
    Dropped,
    Paused,
    Resumed,
    Credited,
    Learned,
    Streams,
    GoAway,
    Best,
    Attached,
    Acked,
    Answer,
)
KINDS = {e.__dataclass_fields__["type"].metadata["enum"][0]: e for e in EVENTS}
"""Shape of each event by its type."""
