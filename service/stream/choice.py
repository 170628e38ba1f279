"""Whether a collection's searches go by the kernel's scan or by a graph beside it.

Figures at d 384 are from `python -m benchmarks.crossover` (docs/adr/0018); they are
only where an instance begins. What it measures of its own searches replaces them.

Each search that a full graph would have answered more cheaply adds the difference to
what is owed. Once that is as much as adding the missing rows costs, they are added:
whatever comes after, at most twice the least possible was spent. A collection that is
written to more than it is searched never gets there.
"""

from collections import deque

from service.stream.recall import interval

CROSSOVER = 400_000
"""Rows below which no graph is built: between 200,000, where the scan took half of
the graph's time at recall .995, and 500,000, where it took 1.2 times as long."""
ADD_SECONDS = 650e-6
"""CPU to add a row to a graph that grows to 500,000."""
TAIL_SECONDS = 0.15e-6
"""CPU to score a row that is not in the graph yet."""
RECALL = 0.998
"""What a graph must find of what the scan finds, else it is not used."""
FLOOR = 0.995
"""Recall in service below which, surely, the graph looks at more or is given up."""
EXPANSIONS = (64, 96, 128, 192, 256, 384, 512)
_WEIGHT = 0.05
"""Of a new figure in a moving mean."""
_JUMP = 4.0
"""A new figure counts as at most so many times the mean: a cold cache is no verdict."""
_DOUBT = 1.25
"""A graph in use is left only when it is surely dearer: it cost much to build."""
_COMPARED = 100
_PAUSES = 8
"""Doublings of what must be owed after graphs that were not worth it, at most."""


class Choice:
    """The rule, as plain arithmetic on seconds of CPU; no clock of its own."""

    def __init__(self, *, always: bool = False, least: int = CROSSOVER) -> None:
        self._always = always
        self._least = least
        self.expansion = EXPANSIONS[2]
        """Candidates that a search of the graph keeps."""
        self._owed = 0.0
        self._add = ADD_SECONDS
        self._scan: float | None = None
        """Seconds of the kernel a row and search."""
        self._walk: float | None = None
        """Seconds of a search of the graph, its tail left out."""
        self._failures = 0
        self._compared: deque[tuple[int, int]] = deque(maxlen=_COMPARED)

    def scanned(self, rows: int, seconds: float) -> None:
        """The kernel answered a search that a graph could have."""
        if not rows:
            return
        self._scan = _mean(self._scan, seconds / rows)
        # Not measured yet: as if the graph's cost stood still from the crossover on.
        walk = self._walk if self._walk is not None else seconds * self._least / rows
        self._owed = max(0.0, self._owed + seconds - walk)

    def walked(self, tail: int, seconds: float) -> None:
        """The graph answered, with `tail` rows scored beside it."""
        extra = tail * TAIL_SECONDS
        self._walk = _mean(self._walk, max(0.0, seconds - extra))
        self._owed += min(extra, seconds)

    def added(self, rows: int, seconds: float) -> None:
        """Rows were added to the graph."""
        self._add = _mean(self._add, seconds / rows)

    def concerns(self, rows: int) -> bool:
        """Whether so many rows may ever have a graph."""
        return self._always or rows >= self._least

    def due(self, rows: int, missing: int) -> bool:
        """Whether the rows that are missing in the graph shall be added now."""
        if self._always:
            return missing > 0
        if not self.concerns(rows) or not missing:
            return False
        return self._owed >= missing * self._add * 2.0**self._failures

    def walks(self, rows: int, tail: int) -> bool:
        """Whether the next search goes by the graph."""
        if self._always or self._scan is None or self._walk is None:
            return True
        return self._walk + tail * TAIL_SECONDS < _DOUBT * self._scan * rows

    def keeps(self, rows: int, nodes: int) -> bool:
        """Whether a graph is worth its memory; nodes: those of removed rows, too."""
        if nodes - rows > nodes // 4:
            return False
        return self._always or (rows >= self._least // 2 and self.walks(rows, 0))

    def tried(self, rows: int, scan: float, walk: float, recall: float) -> bool:
        """Whether a new graph is used, by its trial: seconds a search, and recall."""
        self._owed = 0.0
        self._scan, self._walk = scan / max(1, rows), walk
        self._compared.clear()
        if self._always or (recall >= RECALL and walk < scan):
            self._failures = 0
            return True
        self.failed()
        return False

    def caught_up(self) -> None:
        """What was owed has been spent."""
        self._owed = 0.0

    def failed(self) -> None:
        """A graph was not worth it: more must be owed before the next one."""
        self._owed, self._walk = 0.0, None
        self._failures = min(self._failures + 1, _PAUSES)

    def compared(self, found: int, wanted: int) -> bool:
        """Takes a comparison with an exact answer; False: the graph is given up."""
        self._compared.append((found, wanted))
        hits, of = (sum(column) for column in zip(*self._compared, strict=True))
        if interval(hits, of)[1] >= FLOOR:
            return True
        self._compared.clear()
        wider = [e for e in EXPANSIONS if e > self.expansion]
        if wider:
            self.expansion = wider[0]
        return bool(wider) or self._always


def _mean(known: float | None, new: float) -> float:
    if known is None:
        return new
    return known + _WEIGHT * (min(new, _JUMP * known) - known)
