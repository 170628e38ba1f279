"""Answers kept for a short while, by everything that made them."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson


class _Kept(NamedTuple):
    until: float
    version: int
    answer: dict[str, Any]


class Cache:
    """Least recently used answers go first; none outlives `seconds`, read or not.

    The key is the whole request and who asks. A write through the client makes all
    answers of its collection stale at once.
    """

    def __init__(
        self, entries: int, seconds: float, clock: Callable[[], float]
    ) -> None:
        self._entries = entries
        self._seconds = seconds
        self._clock = clock
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._versions: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._kept)

    @staticmethod
    def key(who: str, operation: str, params: dict[str, Any]) -> bytes:
        """All of a request; the order of its keys does not matter."""
        return orjson.dumps(
            [who, operation, params], default=_plain, option=orjson.OPT_SORT_KEYS
        )

    def get(self, key: bytes, collection: str) -> dict[str, Any] | None:
        """A fresh answer, or None."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.until <= self._clock() or kept.version != self.version(collection):
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return kept.answer

    def version(self, collection: str) -> int:
        """Rises with every write; ask before a request, give it to `put`."""
        return self._versions.get(collection, 0)

    def put(self, key: bytes, version: int, answer: dict[str, Any]) -> None:
        """Keeps an answer that was asked for at `version`."""
        if not self._entries:
            return
        self._kept[key] = _Kept(self._clock() + self._seconds, version, answer)
        self._kept.move_to_end(key)
        while len(self._kept) > self._entries:
            self._kept.popitem(last=False)

    def changed(self, collection: str) -> None:
        """A collection was written."""
        self._versions[collection] = self.version(collection) + 1


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else list(value)
