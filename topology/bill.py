"""A bill: priced lines, their total, and whether any price is missing."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from topology.marks import Mark
from topology.prices import CURRENCY, PriceBook
from topology.quantities_cost import LINES, WORLD_LINES
from topology.trace import WORLD, Model, Node, walk


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a bill."""

    service: str
    """What is paid for."""
    region: str
    """Region, or `world`."""
    amount: float | None
    """US dollars a month; None where a price is not known."""
    mark: Mark
    """`assumed` where an estimate is among its prices."""

    def to_json(self) -> dict[str, Any]:
        """As `meridian cost --json` prints it; `unknown`, never 0."""
        return {
            "service": self.service,
            "region": self.region,
            "amount": "unknown" if self.amount is None else round(self.amount, 2),
            "mark": str(self.mark),
        }


@dataclass(frozen=True, kw_only=True)
class Bill:
    """A month."""

    lines: tuple[Line, ...]
    """In the order of regions, the world's own last."""

    @property
    def total(self) -> float:
        """What is known; a lower bound when the bill is not complete."""
        return math.fsum(line.amount for line in self.lines if line.amount is not None)

    @property
    def complete(self) -> bool:
        """Whether every line has a price."""
        return all(line.amount is not None for line in self.lines)

    def by(self, key: str) -> Mapping[str, float]:
        """Known amounts by `service` or `region`, the largest first."""
        sums: dict[str, float] = {}
        for line in self.lines:
            place = getattr(line, key)
            sums[place] = sums.get(place, 0.0) + (line.amount or 0.0)
        return dict(sorted(sums.items(), key=lambda item: -item[1]))

    def to_json(self) -> dict[str, Any]:
        """As `meridian cost --json` prints it."""
        return {
            "currency": CURRENCY,
            "month": {"total": round(self.total, 2), "complete": self.complete},
            "lines": [line.to_json() for line in self.lines],
        }


def month(model: Model) -> Bill:
    """The bill of a plan."""
    regions = [
        _line(model, quantity, service, region)
        for region in model.catalogue.regions
        for quantity, service in LINES.items()
    ]
    world = [_line(model, q, service, WORLD) for q, service in WORLD_LINES.items()]
    return Bill(lines=(*regions, *world))


def _line(model: Model, quantity: str, service: str, place: str) -> Line:
    node = model.node(quantity, place)
    weak = any(price.mark is Mark.ASSUMED for price in prices_of(node))
    return Line(
        service=service,
        region=place,
        amount=node.value,
        mark=Mark.ASSUMED if weak else Mark.DERIVED,
    )


def prices_of(node: Node) -> list[Node]:
    """The prices that an amount was made from."""
    return [found for found in node.inputs if found.name.startswith("price ")]


def assumptions(model: Model) -> list[Node]:
    """What the month's price rests on without a source, each once."""
    nodes = walk(model.node("price_month"))
    weak = {n.name: n for n in nodes if n.mark is Mark.ASSUMED and not n.inputs}
    return [weak[name] for name in sorted(weak)]


def price_items(
    book: PriceBook, service: str, items: Iterable[Mapping[str, Any]]
) -> Line:
    """A line from a list of amounts, as data files have them."""
    costs: list[float | None] = []
    for item in items:
        if "usd" in item:
            costs.append(float(item["usd"]))
            continue
        price = book.find(item["price"], item["place"])
        costs.append(None if price is None else price.cost(_product(item["amount"])))
    unknown = any(cost is None for cost in costs)
    known = [cost for cost in costs if cost is not None]
    return Line(
        service=service,
        region=WORLD,
        amount=None if unknown else math.fsum(known),
        mark=Mark.DERIVED,
    )


def _product(factors: Sequence[float]) -> float:
    return math.prod(factors)
