"""What share of the true nearest searches find: reported, not assumed."""

import math
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from service.telemetry import Metrics

SECONDS = 5.0
"""Least time between two comparisons: a pass over every row costs processor time."""
SHARE = 0.05
"""Of the searches that come when one is due, so that the first of a burst is not
always the one."""
KEPT = 500
"""Comparisons that the estimate is made of."""


def interval(found: int, wanted: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson): right at 1.0 too, where others are empty."""
    if not wanted:
        return 0.0, 1.0
    z, share = 1.96, found / wanted
    below = 1 + z * z / wanted
    middle = (share + z * z / (2 * wanted)) / below
    half = share * (1 - share) / wanted + z * z / (4 * wanted * wanted)
    away = z * math.sqrt(half) / below
    return max(0.0, middle - away), min(1.0, middle + away)


def agreeing(scores: Any, exact: Any) -> tuple[int, int]:
    """How many of the exact answer's hits were found, of how many; best first.

    By score, not by slot: of equals any may be found.
    """
    if not len(exact):
        return 0, 0
    return min(int((scores >= exact[-1]).sum()), len(exact)), len(exact)


class Recall:
    """Compares some answers with exact ones and exports the estimate."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._metrics = metrics
        self._clock = clock
        self._next = 0.0
        self._seen: deque[tuple[int, int]] = deque(maxlen=KEPT)

    def due(self) -> bool:
        """Whether this answer shall be compared."""
        if self._clock() < self._next or random.random() >= SHARE:
            return False
        self._next = self._clock() + SECONDS
        return True

    def compare(self, scores: Any, exact: Any) -> tuple[int, int]:
        """Takes the scores of an answer and those of the exact one, best first.

        Returns how many were found, of how many.
        """
        found = agreeing(scores, exact)
        if not found[1]:
            return found
        self._seen.append(found)
        hits, wanted = (sum(column) for column in zip(*self._seen, strict=True))
        low, high = interval(hits, wanted)
        self._metrics.recall.labels("estimate").set(hits / wanted)
        self._metrics.recall.labels("low").set(low)
        self._metrics.recall.labels("high").set(high)
        self._metrics.recall_compared.inc()
        return found
