"""The price book: dated list prices in US dollars, from `data/prices.csv`."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from itertools import pairwise
from pathlib import Path

from topology.facts import DATA, places
from topology.marks import Mark

PATH = DATA / "prices.csv"
CURRENCY = "USD"

HOURS = 730
"""Hours of a billing month, as Google's calculator counts them."""

INDEXED = ("redis.", "sql.")
"""Prices that are known for one region only. Elsewhere they are estimated by
`index.managed`: the region's e2-standard-4 over us-central1's."""

BASE = "us-central1"
"""Region of the indexed prices."""


class Confidence(StrEnum):
    """How sure a price is."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    ESTIMATE = "estimate"


@dataclass(frozen=True, kw_only=True)
class Price:
    """One list price, graded by volume where it is."""

    id: str
    """What is paid for."""
    group: str
    """Region or group of regions that it holds in."""
    unit: str
    """What one of it is."""
    tiers: tuple[tuple[float, float], ...]
    """Pairs of (from this amount on, US dollars a unit), the first from 0."""
    source: str
    """Page or file."""
    date: str
    """When that was read, or what date it bears."""
    confidence: Confidence
    """How sure it is."""
    note: str = ""
    """What else must be known."""

    def cost(self, amount: float) -> float:
        """US dollars of an amount, every step at its own price."""
        ends = [start for start, _ in self.tiers[1:]] + [float("inf")]
        return sum(
            max(0.0, min(amount, end) - start) * usd
            for (start, usd), end in zip(self.tiers, ends, strict=True)
        )

    @property
    def steps(self) -> str:
        """The grades in words."""
        return ", then ".join(
            f"{usd:g} from {start:,.0f}" if start else f"{usd:g}"
            for start, usd in self.tiers
        )

    @property
    def mark(self) -> Mark:
        """`sourced`, or `assumed` where it is an estimate or from memory."""
        weak = {Confidence.LOW, Confidence.ESTIMATE}
        return Mark.ASSUMED if self.confidence in weak else Mark.SOURCED

    @property
    def origin(self) -> str:
        """Source, date and confidence in one line."""
        text = f"{self.source}, {self.date}, {self.confidence}, for {self.group}"
        return f"{text}; {self.note}" if self.note else text


@dataclass(frozen=True, kw_only=True)
class PriceBook:
    """Prices by what is paid for and where."""

    prices: Mapping[tuple[str, str], Price]
    """By id and group."""
    groups: Mapping[str, tuple[str, ...]]
    """Groups that a region belongs to, the narrowest first."""

    def find(self, id: str, place: str) -> Price | None:
        """The price of something in a place; None where it is not known."""
        for group in (place, *self.groups.get(place, ()), "global"):
            if (id, group) in self.prices:
                return self.prices[id, group]
        if id.startswith(INDEXED):
            return self._estimate(id, place)
        return None

    def without(self, id: str, group: str | None = None) -> "PriceBook":
        """The book less a price."""
        kept = {
            key: price
            for key, price in self.prices.items()
            if key[0] != id or group not in (None, key[1])
        }
        return replace(self, prices=kept)

    def _estimate(self, id: str, place: str) -> Price | None:
        base = self.prices.get((id, BASE))
        index = self.prices.get(("index.managed", place))
        if base is None or index is None:
            return None
        factor = index.tiers[0][1]
        return replace(
            base,
            group=place,
            tiers=tuple((start, usd * factor) for start, usd in base.tiers),
            confidence=Confidence.ESTIMATE,
            note=f"{BASE}'s price x {factor:g} ({index.source}, {index.date})",
        )


@cache
def price_book(path: Path = PATH) -> PriceBook:
    """The prices of the product."""
    rows: dict[tuple[str, str], list[dict[str, str]]] = {}
    groups: dict[str, tuple[str, ...]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            if row["id"] == "region":
                groups[row["group"]] = _groups(row["group"], row["note"])
            else:
                rows.setdefault((row["id"], row["group"]), []).append(row)
    return PriceBook(
        prices={key: _price(graded) for key, graded in rows.items()}, groups=groups
    )


def _groups(region: str, continent: str) -> tuple[str, ...]:
    place = places().get(region)
    return (*([f"tier-{place.price_tier}"] if place else []), continent)


def _price(rows: list[dict[str, str]]) -> Price:
    first = rows[0]
    tiers = tuple((float(row["from"]), float(row["usd"])) for row in rows)
    if tiers[0][0] != 0 or any(a[0] >= b[0] for a, b in pairwise(tiers)):
        raise ValueError(f"{first['id']}: grades do not rise from 0")
    return Price(
        id=first["id"],
        group=first["group"],
        unit=first["unit"],
        tiers=tiers,
        source=first["source"],
        date=first["date"],
        confidence=Confidence(first["confidence"]),
        note=first["note"],
    )
