"""What is kept of a persistent stream, and what its owner knows of it."""

# ruff: noqa: RUF009 (the fields are made by functions that return `field()`)

import base64
import time
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy
from numpy.typing import NDArray

from service.contract import fields as f
from service.contract import parse
from service.contract.filters import plain
from service.log.change import START, Position, Positions

Floats = NDArray[numpy.float32]


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A definition as its home keeps it and as an owner's client may send it back."""

    collection: str = f.name()
    born: int = f.needed("Version of the collection: another one of its name differs.")
    definition_version: int = f.needed("Version of the query.", minimum=1)
    vector: str = f.needed("The first one, base64 of little-endian float32.")
    text: str | None = f.text()
    threshold: float = f.needed("The first one.")
    filter: dict[str, Any] | None = f.filtered()
    best: int | None = f.optional("As watched.", minimum=1, maximum=100)
    window_seconds: int | None = f.optional("As watched.", minimum=1, maximum=3600)
    priority: str = f.optional("As watched.", "normal", enum=f.PRIORITIES)
    learned: str | None = f.optional("What it has learned.", maxLength=100_000)
    learned_vector: str | None = f.optional("What it looks for since.")
    learned_threshold: float | None = f.optional("What reaches it since.")
    lease_seconds: int = f.optional(
        "As watched.",
        f.LEASE_SECONDS,
        minimum=f.MIN_LEASE_SECONDS,
        maximum=f.MAX_LEASE_SECONDS,
    )

    def shown(self) -> dict[str, Any]:
        """As JSON; what is absent is left out."""
        made = {k: v for k, v in asdict(self).items() if v is not None}
        if self.filter is not None:
            made["filter"] = plain(self.filter)  # type: ignore[arg-type]  # parsed
        return made


def read_stored(given: Any, where: str) -> Stored:
    """A definition from its JSON; fields of later revisions are left."""
    if isinstance(given, dict):
        given = {k: v for k, v in given.items() if k in Stored.__dataclass_fields__}
    return parse(Stored, given, where)


@dataclass(slots=True, eq=False)
class Kept:
    """A persistent stream in the hands of its owner."""

    id: str
    tenant: str
    owner: str
    """Of this attachment alone: an instance may own a stream twice in turn."""
    stored: Stored
    epoch: int
    """Of this owner; 0 while the home has not said so (`unfenced`)."""
    acked: Positions = field(default_factory=dict)
    """Up to here everything was dealt with."""
    told: Positions = field(default_factory=dict)
    """Where the last delivery stands."""
    saved: Positions | None = None
    """What of `acked` the home has."""
    defined: int = 0
    """Version of the definition that the home has."""
    turn: int = 0
    """Messages to the home, so that a late one undoes nothing."""
    renewed: float = field(default_factory=time.monotonic)
    """When the home last said that it is ours (monotonic seconds)."""
    released: bool = False
    """Whether its connection is gone: what is not saved is, then it is let go."""

    @property
    def home(self) -> str:
        """Hub that keeps it."""
        return home_of(self.id)

    @property
    def unfenced(self) -> bool:
        """Whether its home was away when it was attached."""
        return self.epoch == 0

    @property
    def quiet(self) -> bool:
        """Whether every delivery was acknowledged."""
        return all(self.acked.get(o, START) >= p for o, p in self.told.items())

    def acknowledge(self, positions: Positions) -> None:
        """Takes an acknowledgement; one that comes late undoes none before it."""
        # In the order of the given ones: the token of the result is then the same.
        self.acked = {
            origin: max(self.acked.get(origin, START), positions.get(origin, START))
            for origin in {**positions, **self.acked}
        }

    def set_back(self, origin: str, position: Position) -> None:
        """It goes on from a position before what was acknowledged: that never was."""
        for known in (self.acked, self.told):
            if known.get(origin, START) > position:
                known[origin] = position


def new_id(home: str) -> str:
    """An id that names its home and that nobody guesses."""
    return f"{home}.{uuid.uuid4().hex}"


def home_of(stream: str) -> str:
    """Hub that keeps a stream."""
    return stream.partition(".")[0]


def written(vector: Floats) -> str:
    """A vector as text."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
