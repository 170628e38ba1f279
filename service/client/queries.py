"""What is watched, and what is told of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Query:
    """A standing query: one of `vector` and `text`."""

    stream: str
    collection: str
    threshold: float | None = None
    rate_per_hour: float | None = None
    """Instead of a threshold: one that gives about so many matches an hour."""
    vector: Sequence[float] | bytes | str | None = None
    text: str | None = None
    filter: dict[str, Any] | None = None
    credit: int | None = None
    """Matches until `Watching.credit` grants more; None: no bound."""
    best: int | None = None
    """With `window_seconds`: only the best so many of each window, at its end."""
    window_seconds: int | None = None
    priority: str = "normal"
    """`low`: under overload it waits first, and catches up later."""
    start: str | dict[str, Any] = "now"
    """`"now"`, `{"token": t}` or `{"seconds": n}`."""
    persistent: bool = False
    """Kept at its home hub: `Watching.ids` has the id to attach by."""
    lease_seconds: int | None = None
    """How long a persistent stream that nobody has is kept; None: an hour."""

    def message(
        self, token: str | None, learned: str | None, threshold: float | None
    ) -> dict[str, Any]:
        """What asks for it, from a token on and with what it became elsewhere."""
        given = {
            "threshold": self.threshold,
            "rate_per_hour": self.rate_per_hour,
            "text": self.text,
            "vector": self.vector,
            "filter": self.filter,
            "credit": self.credit,
            "best": self.best,
            "window_seconds": self.window_seconds,
            # Left out where it says nothing: an older service does not know it.
            "priority": self.priority if self.priority != "normal" else None,
            "persistent": self.persistent or None,
            "lease_seconds": self.lease_seconds,
            "learned": learned,
        }
        if threshold is not None and self.rate_per_hour is not None:
            # The threshold was worked out once; a resume keeps it.
            given |= {"threshold": threshold, "rate_per_hour": None}
        return {
            "type": "watch",
            "stream": self.stream,
            "collection": self.collection,
            "from": {"token": token} if token else self.start,
        } | {key: value for key, value in given.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A persistent stream that is taken over by its id."""

    id: str
    """As `Watching.ids` had it, in whatever process."""
    stream: str
    """Its name on this connection."""
    credit: int | None = None
    """Matches until `Watching.credit` grants more; None: no bound."""
    persistent: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Match:
    """An item that reached the threshold of a stream."""

    stream: str
    collection: str
    event_id: str
    id: str
    metadata: dict[str, Any]
    score: float
    written_in: str
    """Region that took the write."""
    region: str
    """Region that told of it."""
    written_at: int
    committed_at: int
    notified_at: int
    """All three in ms since 1970."""
    token: str
    """Resumes the stream after this match, in any region."""
    position: dict[str, Any]
    window: tuple[float, float] | None = None
    """Begin and end (s since 1970) of the window of whose best it is one."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes of an origin that the log no longer holds for a stream."""

    stream: str
    origin: str
    after: tuple[int, int]
    before: tuple[int, int]
