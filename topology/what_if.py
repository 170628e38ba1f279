"""The same plan under other terms: billing models, commitments, bytes a stream."""

import dataclasses
from collections.abc import Mapping

from topology.blocks import Commitment
from topology.catalogue import Catalogue
from topology.trace import Model

SWEEP = (0.5, 1.0, 2.0, 5.0, 10.0, 13.0, 20.0, 30.0, 50.0, 85.7, 120.0)
"""Bytes a stream and second; the peer's own figures among them."""


def billing_models(model: Model) -> Mapping[str, float | None]:
    """A month of the warm instances under every way to pay for them."""
    found: dict[str, float | None] = {}
    for terms in Commitment:
        name = "instance-based" + (f", {terms} commitment" if terms != "none" else "")
        found[name] = _instances(model, terms)
    active = _total(model, "cost_instances_request")
    found["request-based, with requests"] = active
    found["request-based, commitment"] = _committed(model, active)
    return found


def _committed(model: Model, active: float | None) -> float | None:
    """The discount is on the instances, not on the requests."""
    off = model.book.find("run.discount.request", "world")
    fee = model.book.find("run.requests", "world")
    if active is None or off is None or fee is None:
        return None
    requests = fee.cost(model.value("requests_million"))
    return (active - requests) * (1 - off.tiers[0][1]) + requests


def _instances(model: Model, terms: Commitment) -> float | None:
    budget = dataclasses.replace(model.catalogue.budget, commitment=terms)
    changed = dataclasses.replace(model.catalogue, budget=budget)
    return _total(dataclasses.replace(model, catalogue=changed), "cost_instances")


def _total(model: Model, line: str) -> float | None:
    values = [model.value(line, region) for region in model.catalogue.regions]
    return None if any(value is None for value in values) else sum(values)


def with_bytes(model: Model, amount: float) -> Model:
    """The same plan with other bytes a stream and second."""
    changed = with_traffic(model.catalogue, bytes_per_stream_second=amount)
    return dataclasses.replace(model, catalogue=changed)


def with_traffic(catalogue: Catalogue, **keys: float) -> Catalogue:
    """The same catalogue with other demand."""
    traffic = dataclasses.replace(catalogue.traffic, **keys)  # type: ignore[arg-type]
    return dataclasses.replace(catalogue, traffic=traffic)


def sweep_bytes(model: Model) -> Mapping[float, float]:
    """Price of a month for each of some bytes a stream and second."""
    own = model.catalogue.traffic.bytes_per_stream_second
    points = sorted({*SWEEP, own})
    return {point: with_bytes(model, point).value("price_month") for point in points}


def most_bytes(model: Model, budget: float) -> float | None:
    """Bytes a stream and second that a monthly budget pays; None where it pays none."""
    low, high = 0.0, 1e6
    if with_bytes(model, low).value("price_month") > budget:
        return None
    for _ in range(40):
        middle = (low + high) / 2
        fits = with_bytes(model, middle).value("price_month") <= budget
        low, high = (middle, high) if fits else (low, middle)
    return low
