"""Feedback of a watcher: the stream's definition moves, and moves back."""

import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any

import numpy
from numpy.typing import NDArray

from service.api.trials import judge, scores
from service.contract import ServiceError, parse_vector
from service.learning import MOST_DISTANCE, State, calibrated
from service.log.definition import Definition
from service.stream.instance import Instance
from service.stream.kept import Stored, written
from service.stream.standing import Stream

Floats = NDArray[numpy.float32]
MOST_MARKS = 1000
"""Marked items a connection remembers, so that one is not counted twice."""
_RECENT_SECONDS = 3600.0
_KEPT_SECONDS = 30.0


@dataclass
class Learning:
    """What one stream has learned on this connection."""

    state: State
    threshold: float
    """The first one."""
    marked: "OrderedDict[str, tuple[Floats, bool]]" = field(default_factory=OrderedDict)

    def mark(self, item: str, vector: Floats, *, good: bool) -> None:
        """Counts a mark; of an item that was marked before it replaces the old one."""
        known = self.marked.pop(item, None)
        if known is not None:
            self.state = self.state.mark(known[0], good=known[1], count=-1)
        self.state = self.state.mark(vector, good=good)
        self.marked[item] = (vector, good)
        if len(self.marked) > MOST_MARKS:
            self.marked.popitem(last=False)


class Learner:
    """Learning of the streams of one connection."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._learning: dict[str, Learning] = {}
        self._recent: dict[tuple[str, str], tuple[float, Floats]] = {}

    def forget(self, stream: Stream) -> None:
        """The stream is gone."""
        self._learning.pop(stream.id, None)

    async def begin(
        self, stream: Stream, definition: Definition, given: str | None
    ) -> None:
        """Takes a new stream, with what it had learned elsewhere."""
        _refuse(definition)
        state = State(stream.vector)
        if given is not None:
            try:
                state = State.read(given, definition.dimension)
            except ValueError as error:
                raise _bad_learned(str(error)) from None
            if not numpy.array_equal(state.first, stream.vector):
                raise _bad_learned("it belongs to another vector")
        self._learning[stream.id] = Learning(state, stream.threshold)
        if given is not None:
            await self._move(stream, definition)

    def restore(self, stream: Stream, definition: Definition, stored: Stored) -> None:
        """Gives a stream back what is stored of it; raises ServiceError for nonsense.

        Nothing is worked out again: recent changes would move it elsewhere.
        """
        if stored.learned is None or stored.learned_vector is None:
            return
        try:
            state = State.read(stored.learned, definition.dimension)
        except ValueError as error:
            raise _bad_learned(str(error)) from None
        self._learning[stream.id] = Learning(state, stored.threshold)
        where = "message.definition.learned_vector"
        stream.own_vector = parse_vector(
            stored.learned_vector, definition.dimension, where, definition.element
        )
        if stored.learned_threshold is not None:
            stream.threshold = stored.learned_threshold

    def first(self, stream: Stream) -> tuple[Floats, float]:
        """Vector and threshold before it learned."""
        learning = self._learning.get(stream.id)
        if learning is None:
            return stream.vector, stream.threshold
        return learning.state.first, learning.threshold

    def stored(self, stream: Stream, before: Stored) -> Stored:
        """What is to be stored of a stream that learned or forgot."""
        learning = self._learning.get(stream.id)
        return replace(
            before,
            definition_version=stream.definition_version,
            learned=learning.state.text() if learning else None,
            learned_vector=written(stream.vector) if learning else None,
            learned_threshold=stream.threshold if learning else None,
        )

    async def feedback(
        self, stream: Stream, definition: Definition, item: str, *, good: bool
    ) -> dict[str, Any]:
        """Counts a mark and moves the stream; the event that says so."""
        if stream.id not in self._learning:
            await self.begin(stream, definition, None)
        rows = await self._instance.reader.some(definition, [item])
        vector = definition.vector(rows[item]["vector"]) if item in rows else None
        if vector is None:
            raise ServiceError(
                "unknown_item",
                f"{definition.name} holds no item {item!r} in "
                f"{self._instance.settings.region}: it cannot be learned from.",
            )
        self._learning[stream.id].mark(item, vector, good=good)
        await self._move(stream, definition)
        return self.event(stream)

    def undo(self, stream: Stream) -> dict[str, Any]:
        """Puts a stream back to its first definition, exactly."""
        learning = self._learning.pop(stream.id, None)
        if learning is not None:
            self._put(stream, learning.state.first, learning.threshold)
        return self.event(stream)

    def event(self, stream: Stream) -> dict[str, Any]:
        """What a stream looks for now."""
        learning = self._learning.get(stream.id)
        state = learning.state if learning else State(stream.vector)
        return {
            "type": "learned",
            "stream": stream.id,
            "definition_version": stream.definition_version,
            "vector": written(stream.vector),
            "threshold": stream.threshold,
            "distance": state.distance(stream.vector),
            "most_distance": MOST_DISTANCE,
            "marks": state.marks,
            "learned": state.text(),
        }

    async def _move(self, stream: Stream, definition: Definition) -> None:
        learning = self._learning[stream.id]
        rows = await self._rows(definition)
        state = learning.state
        centre = _units(rows).mean(axis=0) if len(rows) else None
        vector = parse_vector(
            state.vector(centre).astype("<f4").tobytes(),
            definition.dimension,
            "vector",
            definition.element,
        )
        # Rounding must not carry it over the bound.
        if state.distance(vector) > MOST_DISTANCE:
            vector = stream.vector
        before = scores(definition, state.first, rows)
        after = scores(definition, vector, rows)
        threshold = calibrated(learning.threshold, before, after, state.good, state.bad)
        self._put(stream, vector, threshold)

    def _put(self, stream: Stream, vector: Floats, threshold: float) -> None:
        """Changes a definition where the stream stands; nothing is awaited."""
        live = stream.slot is not None
        lane = self._instance.lanes.followed[stream.lane]
        standing = lane.collections[stream.key].standing if live else None
        if standing is not None:
            standing.remove(stream)
        stream.own_vector, stream.threshold = vector, threshold
        stream.definition_version += 1
        if standing is not None:
            standing.add(stream)

    async def _rows(self, definition: Definition) -> Floats:
        """Vectors of recent changes, shape (n, dimension), read twice a minute."""
        until, rows = self._recent.get(definition.key, (0.0, None))
        if rows is None or until < time.monotonic():
            zero = numpy.zeros(definition.dimension, numpy.float32)
            judged = await judge(
                self._instance, definition, zero, None, _RECENT_SECONDS
            )
            found = [definition.vector(c.vector or b"") for c in judged.changes]
            rows = (
                numpy.stack([r for r in found if r is not None])
                if found
                else numpy.zeros((0, definition.dimension), numpy.float32)
            )
            self._recent[definition.key] = (time.monotonic() + _KEPT_SECONDS, rows)
        return rows


def _units(rows: Floats) -> Floats:
    lengths = numpy.linalg.norm(rows.astype(numpy.float64), axis=1, keepdims=True)
    lengths[lengths == 0] = 1.0
    units: Floats = (rows / lengths).astype(numpy.float32)
    return units


def _refuse(definition: Definition) -> None:
    if definition.metric == "l2":
        raise ServiceError(
            "not_supported",
            f"{definition.name} is scored by l2: learning turns directions, which only "
            "cosine and dot score.",
        )


def _bad_learned(wrong: str) -> ServiceError:
    return ServiceError(
        "learning_failed",
        f"message.learned cannot be used here ({wrong}): send what the last `learned` "
        "event of the same query held, or leave it out.",
    )
