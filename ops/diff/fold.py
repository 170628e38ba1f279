"""The same change over many regions, said once, with the regions where it differs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ops.diff.change import Change, Risk, Value

HERE = "{region}"


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Changes that are alike but for their region."""

    changes: tuple[Change, ...]
    """In the order of their regions."""

    @property
    def first(self) -> Change:
        """What the others are like."""
        return self.changes[0]

    @property
    def risk(self) -> Risk:
        """The same for all."""
        return self.first.risk

    @property
    def name(self) -> str:
        """Logical name, the region left open where there are several."""
        return _open(self.first, self.first.name) if self.is_folded else self.first.name

    @property
    def is_folded(self) -> bool:
        """Whether several regions change alike."""
        return len(self.changes) > 1

    @property
    def regions(self) -> tuple[str, ...]:
        """Regions touched."""
        return tuple(c.region for c in self.changes if c.region)

    @property
    def values(self) -> tuple[Value, ...]:
        """Values as most regions have them."""
        common = self._common()
        return next(c.values for c in self.changes if _key(c) == common)

    @property
    def exceptions(self) -> list[tuple[Change, ...]]:
        """Changes whose values differ from most; those that differ alike together."""
        common = self._common()
        groups: dict[str, list[Change]] = {}
        for change in self.changes:
            groups.setdefault(_key(change), []).append(change)
        return [tuple(group) for key, group in groups.items() if key != common]

    def _common(self) -> str:
        return Counter(_key(change) for change in self.changes).most_common(1)[0][0]


def fold(found: Iterable[Change]) -> list[Fold]:
    """Group changes of one kind over regions; the worst first, then the widest."""
    groups: dict[tuple[Any, ...], list[Change]] = {}
    for change in found:
        groups.setdefault(_signature(change), []).append(change)
    folds = [Fold(changes=tuple(_ordered(group))) for group in groups.values()]
    return sorted(folds, key=lambda f: (f.risk, -len(f.changes), f.first.path))


def _signature(change: Change) -> tuple[Any, ...]:
    """What must be equal for two changes to be one."""
    paths = tuple(value.path for value in change.values)
    own = _open(change, change.path)
    kept = change.protected
    return (change.risk, change.op, change.token, own, paths, change.because, kept)


def _key(change: Change) -> str:
    """Values of a change, its own region left open."""
    plain = [(v.path, v.before, v.after) for v in change.values]
    return _open(change, json.dumps(plain, sort_keys=True, default=str))


def _open(change: Change, text: str) -> str:
    return text.replace(change.region, HERE) if change.region else text


def _ordered(group: Sequence[Change]) -> list[Change]:
    return sorted(group, key=lambda change: change.region or "")
