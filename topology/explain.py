"""An output of the plan as the tree of what it was made from."""

import difflib
from collections.abc import Iterator
from typing import Any

from topology.trace import WORLD, Model, Node, Value


class UnknownQuantityError(LookupError):
    """A name that is no output of the plan; the message has near ones."""


def find(model: Model, name: str) -> Node:
    """The node of `REGION.QUANTITY`, or of the world's `QUANTITY`."""
    place, _, quantity = name.rpartition(".")
    place = place or WORLD
    places = [WORLD, *model.catalogue.regions]
    if place not in places:
        raise UnknownQuantityError(f"{name}: {_unknown('region', place, places)}")
    if quantity not in model.registry:
        raise UnknownQuantityError(
            f"{name}: {_unknown('quantity', quantity, sorted(model.registry))}"
        )
    return model.node(quantity, place)


def _unknown(kind: str, given: str, known: list[str]) -> str:
    close = difflib.get_close_matches(given, known, n=3, cutoff=0.5)
    near = f"did you mean {' or '.join(close)}?" if close else "there is none like it:"
    return f"there is no {kind} {given!r}; {near}" + (
        "" if close else f" use one of {', '.join(known)}"
    )


def lines(node: Node) -> Iterator[str]:
    """The tree as text; what was told once is not told again."""
    yield _line(node)
    yield from _below(node, "", {_key(node)})


def _below(node: Node, indent: str, told: set[tuple[str, str]]) -> Iterator[str]:
    inputs = node.inputs
    for position, below in enumerate(inputs):
        last = position == len(inputs) - 1
        again = _key(below) in told and bool(below.inputs)
        yield f"{indent}{'└─' if last else '├─'} {_line(below)}{' ↑' * again}"
        if again or node.formula.startswith("sum of the regions'"):
            continue
        told.add(_key(below))
        yield from _below(below, indent + ("   " if last else "│  "), told)


def _key(node: Node) -> tuple[str, str]:
    return node.name, node.place


def _line(node: Node) -> str:
    place = "" if node.place == WORLD else f"{node.place}."
    unit = f" {node.unit}" if node.unit else ""
    text = f"{place}{node.name} = {shown(node.value)}{unit} [{node.mark}]"
    why = ": ".join(part for part in (node.formula, node.source) if part)
    return f"{text} {why}" if why else text


def shown(value: Value) -> str:
    """A value as people read it."""
    if value is None:
        return "unknown"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or value == int(value):
        return f"{value:,.0f}"
    return f"{value:,.6g}" if abs(value) < 1000 else f"{value:,.0f}"


def to_json(node: Node) -> dict[str, Any]:
    """The tree as `meridian plan --explain NAME --json` prints it."""
    return {
        "name": node.name,
        "place": node.place,
        "value": node.value,
        "unit": node.unit,
        "formula": node.formula,
        "mark": str(node.mark),
        "source": node.source,
        "inputs": [to_json(below) for below in node.inputs],
    }
