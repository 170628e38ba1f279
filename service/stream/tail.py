"""The slots that a graph does not hold yet."""

from typing import Any

import numpy


class Tail:
    """Slots in the order of their coming. The event loop changes it, any thread reads.

    A search takes it when it begins and not when it was asked for: an item that is
    written over while the search waits for its turn would be in neither place else.
    """

    def __init__(self) -> None:
        self._slots: dict[int, None] = {}
        self._changes = 0
        self._kept: tuple[int, Any] = (0, numpy.empty(0, numpy.int64))
        self.ended = False
        """Whether its graph is gone: nobody changes it any more."""

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, slot: int) -> bool:
        return slot in self._slots

    def add(self, slot: int) -> None:
        """Takes a slot in."""
        self._slots[slot] = None
        self._changes += 1

    def discard(self, slot: int) -> None:
        """Leaves a slot out, if it is there."""
        self._slots.pop(slot, None)
        self._changes += 1

    def array(self) -> Any:
        """The slots of now, shape (n,); nobody changes what was returned."""
        changes, (of, array) = self._changes, self._kept
        if of != changes:
            # One step of the interpreter: no change comes in between. It is kept under
            # the number from before it: with too early a one it is only made again.
            array = numpy.array(list(self._slots), numpy.int64)
            self._kept = (changes, array)
        return array
