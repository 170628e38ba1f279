"""A graph beside the index of a collection's items, where it pays.

The index stays the truth. What the graph proposes is scored by it, what the graph
does not hold yet (the tail) is scored row by row, and what was removed has no score:
so writing and deleting take effect at once. Everything here runs in the event loop,
which alone changes the index, but for `Way.search` and what `Guides.run` is given.
"""

import asyncio
from collections import deque
from typing import Any, NamedTuple

import numpy

from service.kernel import Index
from service.kernel.graph import METRICS, Graph
from service.stream.choice import Choice
from service.stream.guides import Guides
from service.stream.tail import Tail
from service.stream.trial import Asked, tried
from service.telemetry import log

_STEP, _STEP_LIVE = 32, 4
"""Rows that are added at once; a search that goes by the graph waits for one step."""
_SAMPLE = 4096
_QUERIES = 64
"""Searches that are kept to try a new graph with: the last ones."""
_MOST_K = 100
_ROUNDS = 4
"""Passes over what is missing: each takes what was written during the one before."""
_WAITS, _IN = 1, 2


class Way(NamedTuple):
    """How one search is answered, taken in the event loop."""

    graph: Graph
    tail: Tail
    """Slots that the graph does not hold."""
    expansion: int

    def search(
        self, index: Index, query: Any, k: int, minimum: float, offset: float
    ) -> Any:
        """Slots and scores, or None: ask the kernel. Runs inside `reading()`."""
        # Before the graph is asked: what moves there meanwhile is found in both.
        tail = self.tail.array()
        if self.tail.ended:
            return None
        return self.graph.search(index, query, k, minimum, offset, self.expansion, tail)


class Guide:
    """The graph of one collection, while there is one."""

    def __init__(
        self, index: Index, metric: str, guides: Guides, choice: Choice | None = None
    ) -> None:
        self._index = index
        self._metric = metric
        self._guides = guides
        self.choice = choice or Choice(always=guides.mode == "always")
        self._able = metric in METRICS and guides.mode != "off"
        self._graph: Graph | None = None
        self._live = False
        self._state = numpy.zeros(0, numpy.uint8)
        self._tail = Tail()
        self._pending: set[int] = set()
        self._stale = 0
        self._bytes = 0
        self._asked: deque[Asked] = deque(maxlen=_QUERIES)
        self._task: asyncio.Task[None] | None = None

    @property
    def rows(self) -> int:
        """Rows that searches find by the graph."""
        if self._graph is None or not self._live:
            return 0
        return len(self._graph) - self._stale

    def added(self, slot: int) -> None:
        """A row was put into a slot."""
        if self._graph is None:
            return
        if slot >= len(self._state):
            more = numpy.zeros(max(len(self._state), slot + 1), numpy.uint8)
            self._state = numpy.concatenate([self._state, more])
        self._state[slot] = _WAITS
        self._tail.add(slot)

    def removed(self, slot: int) -> None:
        """The row in a slot was removed."""
        if self._graph is None:
            return
        if self._state[slot] == _IN:
            self._stale += 1
        else:
            self._tail.discard(slot)
        self._pending.discard(slot)
        self._state[slot] = 0

    def way(self, k: int, masked: bool, queries: int, share: float) -> Way | None:
        """How a search goes; None: by the kernel, as all with a filter do.

        share: of the usual expansion (the knob `search_width`).
        """
        if not self._live or self._graph is None or masked or queries > 1:
            return None
        missing = len(self._tail)
        if k > _MOST_K or not self.choice.walks(len(self._index), missing):
            return None
        return Way(self._graph, self._tail, max(1, int(self.choice.expansion * share)))

    def took(self, asked: Asked, way: Way | None, seconds: float) -> None:
        """A single search without filter took seconds of CPU; what follows of it."""
        rows = len(self._index)
        if not self._able or asked.k > _MOST_K:
            return
        # Of a small collection nothing is kept, and nothing is worked out.
        if self._graph is None and not self.choice.concerns(rows):
            return
        self._asked.append(asked)
        if way is None:
            self.choice.scanned(rows, seconds)
        else:
            self.choice.walked(len(way.tail), seconds)
        self._consider()

    def compared(self, found: int, wanted: int) -> None:
        """Of an answer by the graph so many of the wanted were right."""
        if self._live and not self.choice.compared(found, wanted):
            self._drop()

    def heed(self) -> None:
        """Gives the graph up where memory is short; called once a second."""
        if self._graph is not None and self._guides.tight:
            self._drop()

    def close(self) -> None:
        """The collection is gone."""
        self._able = False
        self._drop(failed=False)

    def _consider(self) -> None:
        if self._task is not None and not self._task.done():
            return
        rows = len(self._index)
        if self._graph is not None and not self.choice.keeps(rows, len(self._graph)):
            self._drop(failed=False)
        missing = rows if self._graph is None else len(self._tail)
        if self.choice.due(rows, missing):
            self._task = asyncio.create_task(self._build())

    def _drop(self, *, failed: bool = True) -> None:
        if failed:
            self.choice.failed()
        self._graph, self._live = None, False
        self._tail.ended = True
        self._tail = Tail()
        self._pending.clear()
        self._stale = 0
        self._guides.give_back(self._bytes)
        self._bytes = 0

    async def _build(self) -> None:
        """Adds what is missing; a new graph is tried before it is used."""
        try:
            begun = self._graph is not None
            if not (self._room(len(self._tail)) if begun else self._begin()):
                self.choice.failed()
                return
            graph = self._graph
            await self._catch_up()
            if graph is self._graph and not self._live:
                await self._try()
            self.choice.caught_up()
        except Exception as error:  # whatever it is: searches go on without it
            log("WARNING", "no graph", error=repr(error)[:200])
            self._drop()
            self._able = not isinstance(error, ImportError)

    def _room(self, rows: int) -> bool:
        taken = self._guides.take(rows, self._index.dimension)
        self._bytes += taken
        return taken > 0

    def _begin(self) -> bool:
        """An empty graph, and everything waits to be added; False: no memory."""
        slots = self._index.alive()
        if not self._room(len(slots)):
            return False
        some = slots[:: max(1, len(slots) // _SAMPLE)]
        self._graph = Graph(self._metric, self._index.rows(some))
        self._state = numpy.zeros(int(slots[-1]) + 1, numpy.uint8)
        self._state[slots] = _WAITS
        return True

    async def _catch_up(self) -> None:
        graph = self._graph
        waiting = numpy.flatnonzero(self._state == _WAITS)
        for _ in range(_ROUNDS):
            step = _STEP_LIVE if self._live else _STEP
            for at in range(0, len(waiting), step):
                if graph is None or graph is not self._graph:
                    return
                await self._add(graph, waiting[at : at + step])
            waiting = self._tail.array()
            if len(waiting) <= step:
                return

    async def _add(self, graph: Graph, slots: Any) -> None:
        """Adds those of the slots that still wait, and rests as long as it computed."""
        slots = slots[self._state[slots] == _WAITS]
        if not len(slots):
            return
        self._pending = set(slots.tolist())
        rows = self._index.rows(slots)
        seconds = await self._guides.run(lambda: graph.add(slots, rows))
        self.choice.added(len(slots), seconds)
        if graph is self._graph:
            self._settle(len(slots))
        await asyncio.sleep(seconds)

    def _settle(self, added: int) -> None:
        """What was added is in the graph, unless it was removed meanwhile."""
        for slot in self._pending:
            self._state[slot] = _IN
            self._tail.discard(slot)
        self._stale += added - len(self._pending)
        self._pending.clear()

    async def _try(self) -> None:
        """Uses the new graph if it finds enough for less."""
        graph, asked, tail = self._graph, list(self._asked), self._tail.array()
        assert graph is not None
        found: list[Any] = []
        with self._index.reading():
            await self._guides.run(
                lambda: found.extend(tried(self._index, graph, asked, tail))
            )
        if graph is not self._graph:
            return
        scan, walk, recall, self.choice.expansion = found
        if self.choice.tried(len(self._index), scan, walk, recall):
            self._live = True
        else:
            self._drop(failed=False)
        log(
            "INFO",
            "graph tried",
            used=self._live,
            rows=len(self._index),
            scan_us=round(scan * 1e6),
            graph_us=round(walk * 1e6),
            recall=recall,
            expansion=self.choice.expansion,
        )
