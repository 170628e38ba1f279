"""Metadata by field, so that a filter becomes a mask over slots without a loop."""

from typing import Any

import numpy
import orjson
from numpy.typing import NDArray

from service.contract.filters import MISSING, Condition, Filter, normal, reach

Mask = NDArray[numpy.bool_]
_ABSENT = -1
_COMPARE = {
    "gt": numpy.greater,
    "gte": numpy.greater_equal,
    "lt": numpy.less,
    "lte": numpy.less_equal,
}


class Column:
    """Values of one field by slot: a number for each distinct value, and numbers."""

    def __init__(self, field: str, capacity: int) -> None:
        self.field = field
        self.codes = numpy.full(capacity, _ABSENT, numpy.int32)
        self.numbers = numpy.full(capacity, numpy.nan)
        self._known: dict[Any, int] = {}

    def put(self, slot: int, metadata: dict[str, Any]) -> None:
        """Takes the metadata of an item."""
        if slot >= len(self.codes):
            self._grow(max(2 * len(self.codes), slot + 1))
        value = reach(metadata, self.field)
        if value is MISSING:
            self.codes[slot], self.numbers[slot] = _ABSENT, numpy.nan
            return
        self.codes[slot] = self._known.setdefault(normal(value), len(self._known))
        whole = isinstance(value, int | float) and not isinstance(value, bool)
        self.numbers[slot] = value if whole else numpy.nan

    def _grow(self, capacity: int) -> None:
        codes = numpy.full(capacity, _ABSENT, numpy.int32)
        codes[: len(self.codes)] = self.codes
        numbers = numpy.full(capacity, numpy.nan)
        numbers[: len(self.numbers)] = self.numbers
        self.codes, self.numbers = codes, numbers

    def mask(self, condition: Condition, used: int) -> Mask:
        """Slots below `used` of which a condition holds."""
        codes = self.codes[:used]
        if condition.kind == "exists":
            there: Mask = codes != _ABSENT
            passing: Mask = there == condition.value
            return passing
        if condition.kind == "in":
            wanted = [self._known[v] for v in condition.value if v in self._known]
            return numpy.isin(codes, wanted)
        numbers = self.numbers[:used]
        held = numpy.ones(used, numpy.bool_)
        for name, bound in condition.value:
            held &= _COMPARE[name](numbers, bound)
        return held


class Columns:
    """The fields that filters have asked for; each is made at its first use."""

    MOST = 32
    """Fields kept; the one that was asked for longest ago makes room."""

    def __init__(self) -> None:
        self._columns: dict[str, Column] = {}

    def __len__(self) -> int:
        return len(self._columns)

    def put(self, slot: int, metadata: str) -> None:
        """Takes the metadata of an item that was stored in a slot."""
        if self._columns:
            decoded = orjson.loads(metadata)
            for column in self._columns.values():
                column.put(slot, decoded)

    def missing(self, fields: set[str]) -> set[str]:
        """Those of the fields that have no column yet."""
        return fields - self._columns.keys()

    def make(self, fields: set[str], held: dict[int, str], capacity: int) -> None:
        """Makes columns from the metadata of every slot."""
        made = [Column(field, capacity) for field in sorted(fields)]
        for slot, metadata in held.items():
            decoded = orjson.loads(metadata)
            for column in made:
                column.put(slot, decoded)
        for column in made:
            while len(self._columns) >= self.MOST:
                del self._columns[next(iter(self._columns))]
            self._columns[column.field] = column

    def mask(self, filter_: Filter, used: int) -> Mask:
        """Slots below `used` that pass; every field must have its column."""
        if isinstance(filter_, Condition):
            column = self._columns.pop(filter_.field)
            self._columns[filter_.field] = column
            if len(column.codes) < used:
                column._grow(used)
            return column.mask(filter_, used)
        masks = [self.mask(part, used) for part in filter_.parts]
        if filter_.kind == "not":
            return ~masks[0]
        join = numpy.logical_and if filter_.kind == "and" else numpy.logical_or
        joined: Mask = join.reduce(masks)
        return joined
