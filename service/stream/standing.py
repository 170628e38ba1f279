"""Standing queries of one collection and who is told of their matches."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy
import orjson
from numpy.typing import NDArray

from service.contract import Filter
from service.kernel import Index, metric
from service.log.change import Change, Key, Position, Positions
from service.log.definition import Definition
from service.stream.kept import Kept
from service.stream.window import Window

Floats = NDArray[numpy.float32]
Told = list[tuple["Stream", float]]
"""Streams that a change reaches, and its scores."""


class Listener(Protocol):
    """The connection of a stream."""

    def deliver(
        self, stream: "Stream", change: Change, score: float, positions: Positions
    ) -> None:
        """Queues a match."""
        ...

    def ended(self, stream: "Stream", reason: str) -> None:
        """The stream hears nothing more: its collection is gone."""
        ...

    def missed(self, stream: "Stream", gap: dict[str, Any]) -> None:
        """The stream did not hear what the gap names, and will not."""
        ...

    @property
    def has_credit(self) -> bool:
        """Whether more may be queued."""
        ...


@dataclass(slots=True, eq=False)
class Stream:
    """One standing query."""

    id: str
    key: Key
    lane: int
    own_vector: Floats | None
    """In the collection's element type; None while its row holds it."""
    threshold: float
    definition_version: int
    listener: Listener
    filter: Filter | None = None
    credit: int | None = None
    """Matches that it may still send; None: no bound."""
    paused: bool = False
    window: Window | None = None
    """Where matches wait to be told together; None: each is told at once."""
    priority: str = "normal"
    """`normal` or `low`."""
    held: bool = False
    """Whether the service is too busy for its tier and priority."""
    positions: Positions = field(default_factory=dict)
    """Delivered up to here, while it is not live."""
    slot: int | None = None
    """Its row while it is live."""
    index: Index | None = None
    """Where that row is."""
    kept: Kept | None = None
    """Of a persistent stream what its home knows; None: it is stored nowhere."""

    @property
    def vector(self) -> Floats:
        """What it looks for, in the collection's element type."""
        if self.own_vector is not None:
            return self.own_vector
        assert self.index is not None and self.slot is not None
        return self.index.row(self.slot)

    @property
    def collection(self) -> str:
        """Name of its collection."""
        return self.key[1]

    @property
    def open(self) -> bool:
        """Whether it may be told of a match."""
        return not self.paused and not self.held and self.credit != 0

    @property
    def state(self) -> str:
        """In a word."""
        if self.paused:
            return "paused"
        if self.held:
            return "held"
        if self.credit == 0:
            return "no credit"
        return "replaying" if self.slot is None else "live"

    def shown(self, token: str) -> dict[str, Any]:
        """As a list of streams has it."""
        return {
            "stream": self.id,
            "collection": self.collection,
            "threshold": self.threshold,
            "definition_version": self.definition_version,
            "state": self.state,
            "credit": self.credit,
            "token": token,
            "id": self.kept.id if self.kept else None,
        }


class Standing:
    """The live streams of a collection."""

    def __init__(self, definition: Definition, index: Index) -> None:
        self._definition = definition
        self._index = index
        self._streams: dict[int, Stream] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, stream: Stream) -> None:
        """From here on the stream hears every change.

        Its vector is kept once, as the row; where it stands is where the lane stands.
        """
        stream.slot, stream.index = self.place(stream), self._index
        stream.own_vector, stream.positions = None, {}

    def place(self, stream: Stream) -> int:
        """Puts a stream's row without saying that it is live."""
        factor, bias = metric.standing(self._definition.metric, stream.vector)
        slot = self._index.add(stream.vector, stream.threshold, factor, bias)
        self._streams[slot] = stream
        return slot

    def remove(self, stream: Stream) -> None:
        """The stream hears nothing more from here."""
        if stream.slot is not None:
            stream.own_vector = stream.vector
            self._index.remove(stream.slot)
            del self._streams[stream.slot]
            stream.slot = stream.index = None

    def of(self, listener: Listener) -> list[Stream]:
        """The live streams of a connection."""
        return [s for s in self._streams.values() if s.listener is listener]

    def all(self) -> list[Stream]:
        """All live streams."""
        return list(self._streams.values())

    def match(self, changes: Iterable[Change]) -> dict[Position, Told]:
        """Streams that each change reaches and whose filter it passes."""
        upserts, rows, offsets = self._rows(changes)
        if not upserts:
            return {}
        matches = self._index.match(numpy.stack(rows), numpy.array(offsets))
        told: list[Told] = [[] for _ in upserts]
        read: dict[int, Any] = {}
        for n, slot, score in zip(
            matches.vectors.tolist(),
            matches.slots.tolist(),
            matches.scores.tolist(),
            strict=True,
        ):
            stream = self._streams[slot]
            if stream.filter is not None:
                if n not in read:
                    read[n] = orjson.loads(upserts[n].metadata)
                if not stream.filter.holds(read[n]):
                    continue
            told[n].append((stream, score))
        pairs = zip(upserts, told, strict=True)
        return {change.position: streams for change, streams in pairs if streams}

    def _rows(
        self, changes: Iterable[Change]
    ) -> tuple[list[Change], list[Floats], list[float]]:
        """The upserts of this collection among changes, as rows to be scored."""
        definition = self._definition
        upserts, rows, offsets = [], [], []
        for change in changes:
            if change.op != "upsert" or change.vector is None:
                continue
            row = definition.vector(change.vector)
            if row is None or change.at <= definition.at:
                continue
            query, offset = metric.written(definition.metric, row)
            upserts.append(change)
            rows.append(query)
            offsets.append(offset)
        return upserts, rows, offsets
