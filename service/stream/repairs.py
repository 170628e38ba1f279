"""Takes into memory what this region's hub got by comparison with other hubs.

No feed carries it and no watcher is told: it is not new. The hub notes it in a table
(`repaired`), which this region's own server has together with the rows.
"""

from collections.abc import Mapping

from service.log.change import Key
from service.log.reader import Reader
from service.stream.lane import Collection, Lane

_MOST = 500
"""Repairs of one reading."""
_READINGS = 10
"""Readings in a row; the rest waits for the next second."""


class Repairs:
    """Reads what was noted after the last number seen."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._seen: int | None = None

    async def begin(self) -> None:
        """Comes before anything is read that is then kept in memory."""
        if self._seen is None:
            self._seen = await self._reader.last_repaired()

    async def take(self, lanes: Mapping[int, Lane]) -> set[Key]:
        """Puts items where they are held; returns collections made or dropped."""
        defined: set[Key] = set()
        for _ in range(_READINGS):
            if self._seen is None:
                break
            held = _held(lanes)
            found = await self._reader.repaired(self._seen, held, _MOST)
            for _, key, change in found:
                if change is None:
                    defined.add(key)
                    continue
                collection = held[key]
                if collection.loading is not None:
                    # What is being read may be from before it.
                    collection.loading.append(change)
                elif collection.items is not None:
                    collection.items.apply(change)
            if not found:
                break
            self._seen = found[-1][0]
        return defined


def _held(lanes: Mapping[int, Lane]) -> dict[Key, Collection]:
    return {
        key: collection
        for lane in lanes.values()
        for key, collection in lane.collections.items()
        if collection.items is not None or collection.loading is not None
    }
