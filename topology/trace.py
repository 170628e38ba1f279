"""Quantities that know where they come from: one evaluation gives value and chain.

A quantity is a function of `At`, the place it is worked out for. What the function
asks `At` for is kept as the inputs of its node, so that an explanation can never say
anything else than what was computed.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from topology import limits
from topology.catalogue import Catalogue
from topology.marks import Mark, Note
from topology.prices import PriceBook, price_book

WORLD = "world"
"""Place of the quantities that are no region's."""

Value = Any
"""A number, a text, or None where it is not known."""


class Per(StrEnum):
    """What a quantity is worked out for."""

    REGION = "region"
    WORLD = "world"


@dataclass(frozen=True, kw_only=True)
class Node:
    """One value with the values that it was made from."""

    name: str
    """Quantity, catalogue key, limit, fact or price."""
    place: str
    """Region, or `world`."""
    value: Value
    """None where it is not known."""
    unit: str
    """Empty where it has none."""
    formula: str
    """In words; empty for what is given."""
    mark: Mark
    """How much it is worth."""
    source: str = ""
    """Page, file or comment of a given value."""
    inputs: tuple["Node", ...] = ()
    """In the order they were asked for, each once."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One output of the model."""

    name: str
    """As `meridian plan --explain` takes it."""
    unit: str
    """Empty where it has none."""
    formula: str
    """In words."""
    per: Per
    """Region or world."""
    compute: Callable[["At"], Value]
    """Its value at a place."""


def regional(unit: str, formula: str) -> Callable[[Callable[["At"], Value]], Quantity]:
    """Make a function the quantity of its name, worked out for every region."""
    return lambda compute: _quantity(compute, unit, formula, Per.REGION)


def worldwide(unit: str, formula: str) -> Callable[[Callable[["At"], Value]], Quantity]:
    """Make a function the quantity of its name, worked out once."""
    return lambda compute: _quantity(compute, unit, formula, Per.WORLD)


def _quantity(
    compute: Callable[["At"], Value], unit: str, formula: str, per: Per
) -> Quantity:
    name = compute.__name__.rstrip("_")
    return Quantity(name=name, unit=unit, formula=formula, per=per, compute=compute)


@dataclass(kw_only=True)
class Model:
    """Every quantity of a catalogue, worked out when it is first asked for."""

    catalogue: Catalogue
    """What all of it is made from."""
    registry: Mapping[str, Quantity]
    """The quantities that there are."""
    notes: Mapping[str, Note] = field(default_factory=dict)
    """What the file says of its keys, by dotted path."""
    book: PriceBook = field(default_factory=price_book)
    """Prices."""
    _known: dict[tuple[str, str], Node] = field(
        default_factory=dict, repr=False, init=False
    )

    def value(self, name: str, place: str = WORLD) -> Value:
        """A value, without its chain."""
        return self.node(name, place).value

    def node(self, name: str, place: str = WORLD) -> Node:
        """A value with the chain of what it was made from.

        A quantity of the regions has a node of the world as well: their sum.
        """
        known = self._known.get((name, place))
        if known is None:
            known = self._known[name, place] = self._work_out(name, place)
        return known

    def _work_out(self, name: str, place: str) -> Node:
        quantity, at = self.registry[name], At(self, place)
        if quantity.per is Per.REGION and place == WORLD:
            value, formula = at.total(name), f"sum of the regions' {name}"
        else:
            value, formula = quantity.compute(at), quantity.formula
        return Node(
            name=name,
            place=place,
            value=value,
            unit=quantity.unit,
            formula=formula,
            mark=Mark.DERIVED,
            inputs=tuple(at.inputs.values()),
        )


class At:
    """Where a quantity is worked out, and what it asked for."""

    def __init__(self, model: Model, place: str) -> None:
        self.place = place
        self.catalogue = model.catalogue
        self.inputs: dict[tuple[str, str], Node] = {}
        self._model = model

    def value(self, name: str, place: str | None = None) -> Value:
        """Another quantity; of this place unless another is named."""
        return self._take(self._model.node(name, self._place_of(name, place)))

    def _place_of(self, name: str, place: str | None) -> str:
        if self._model.registry[name].per is Per.WORLD:
            return WORLD
        return place or self.place

    def total(self, name: str) -> Value:
        """Sum over the regions; what is not known counts nothing."""
        return sum(v for v in self.each(name).values() if v is not None)

    def each(self, name: str) -> dict[str, Value]:
        """The same quantity of every region."""
        return {region: self.value(name, region) for region in self.catalogue.regions}

    def key(self, path: str) -> Value:
        """A catalogue key by its dotted path."""
        value, metadata = lookup(self.catalogue, path)
        note = self._model.notes.get(path)
        source = note.text if note else metadata.get("source", "")
        given = Mark.SOURCED if metadata.get("source") else Mark.ASSUMED
        return self._take(
            Node(
                name=path,
                place=WORLD,
                value=value,
                unit=metadata.get("unit", ""),
                formula="",
                mark=note.mark if note else given,
                source=source or "the catalogue states it without a source",
            )
        )

    def own(self, name: str) -> Value:
        """A region's setting: its own, else its tier's; None where neither has it."""
        region = self.catalogue.regions[self.place]
        if getattr(region, name, None) is not None:
            return self.key(f"regions.{self.place}.{name}")
        tier = self.catalogue.tiers[region.tier]
        if getattr(tier, name, None) is None:
            return None
        return self.key(f"tiers.{region.tier}.{name}")

    def limit(self, name: str) -> Value:
        """A constant of `limits` with the sentence that says where it is from."""
        source = limits.sources()[name]
        assumed = "Assumption" in source
        return self._take(
            Node(
                name=name,
                place=WORLD,
                value=getattr(limits, name),
                unit="",
                formula="",
                mark=Mark.ASSUMED if assumed else Mark.SOURCED,
                source=source,
            )
        )

    def fact(self, name: str, value: Value, unit: str, source: str) -> Value:
        """Something of `data/` that is no price."""
        estimated = "estimated" in source
        return self._take(
            Node(
                name=name,
                place=self.place,
                value=value,
                unit=unit,
                formula="",
                mark=Mark.ASSUMED if estimated else Mark.SOURCED,
                source=source,
            )
        )

    def charge(self, amount: float, price: str, times: float = 1.0) -> Value:
        """What an amount costs here; None where the price is not known."""
        found = self._model.book.find(price, self.place)
        cost = None if found is None else found.cost(amount) * times
        self._take(
            Node(
                name=f"price {price}",
                place=self.place,
                value=found.tiers[0][1] if found else None,
                unit=f"USD a {found.unit}" if found else "",
                formula="" if found is None or len(found.tiers) == 1 else found.steps,
                mark=found.mark if found else Mark.ASSUMED,
                source=found.origin if found else "no price is known",
            )
        )
        return cost

    def _take(self, node: Node) -> Value:
        self.inputs[node.name, node.place] = node
        return node.value


def lookup(catalogue: Catalogue, path: str) -> tuple[Value, Mapping[str, Any]]:
    """Value of a dotted path, and the annotation of its key."""
    value: Any = catalogue
    metadata: Mapping[str, Any] = {}
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value[part]
        else:
            metadata = value.__dataclass_fields__[part].metadata
            value = getattr(value, part)
    return value, metadata


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it."""
    yield node
    for below in node.inputs:
        yield from walk(below)
