"""What an event costs: the instances and bytes that it adds to the baseline."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from topology import limits
from topology.blocks import EventSettings
from topology.trace import Model

FORM = "%Y-%m-%dT%H:%MZ"
BILLINGS = ("instance", "request")


@dataclass(frozen=True, kw_only=True)
class RegionNeed:
    """A region during an event."""

    region: str
    """Google's name."""
    multiplier: float
    """Demand over the baseline."""
    wanted: int
    """Instances that the demand asks for."""
    ceiling: int
    """Instances that it may have."""
    extra: int
    """Instances above the warm ones: what is wanted or the ceiling allows."""


@dataclass(frozen=True, kw_only=True)
class EventBill:
    """Cost of an event above the baseline, in US dollars."""

    regions: tuple[RegionNeed, ...]
    """Every region of the plan."""
    hours: float
    """Paid hours of the extra instances: the event and the warm-up before it."""
    compute: dict[str, float | None]
    """Extra instances, by billing model; None where a price is not known."""
    network: float | None
    """Extra bytes to clients: internet egress and the balancer's data."""
    baseline_hour: float
    """An hour of the baseline."""

    @property
    def extra(self) -> int:
        """Extra instances of the world."""
        return sum(need.extra for need in self.regions)

    @property
    def total(self) -> float | None:
        """Extra instances by instance-based billing, and network."""
        compute = self.compute["instance"]
        if compute is None or self.network is None:
            return None
        return compute + self.network

    @property
    def hour(self) -> float:
        """One hour of the event, the baseline included; a lower bound."""
        return self.baseline_hour + (self.total or 0.0) / self.hours


def bill(model: Model, event: EventSettings) -> EventBill:
    """Price an event of the catalogue, or one made up."""
    needs = tuple(_need(model, event, name) for name in model.catalogue.regions)
    hours = event.hours + event.warm_minutes / 60
    return EventBill(
        regions=needs,
        hours=hours,
        compute={kind: _compute(model, needs, hours, kind) for kind in BILLINGS},
        network=_network(model, needs, event.hours),
        baseline_hour=model.value("price_month") / limits.HOURS_PER_MONTH,
    )


def warm_from(event: EventSettings) -> str:
    """When the extra instances must have been ordered, UTC."""
    start = datetime.strptime(event.start, FORM)
    return (start - timedelta(minutes=event.warm_minutes)).strftime(FORM)


def _need(model: Model, event: EventSettings, region: str) -> RegionNeed:
    times = (event.regions or {}).get(region, event.multiplier)
    warm = model.value("instances", region)
    ceiling = model.value("instances_max", region)
    wanted = math.ceil(model.value("instances_needed", region) * times)
    return RegionNeed(
        region=region,
        multiplier=times,
        wanted=wanted,
        ceiling=ceiling,
        extra=max(0, min(wanted, ceiling) - warm),
    )


def _compute(
    model: Model, needs: tuple[RegionNeed, ...], hours: float, billing: str
) -> float | None:
    shape, total = model.catalogue.service, 0.0
    for need in needs:
        amount = need.extra * hours * 3600
        for part, size in (("cpu", shape.cpu), ("memory", shape.memory_gib)):
            price = model.book.find(f"run.{billing}.{part}", need.region)
            if price is None:
                return None
            total += price.cost(amount * size)
    return total


def _network(model: Model, needs: tuple[RegionNeed, ...], hours: float) -> float | None:
    """At the price of the last byte: the baseline has used up the dearer steps."""
    total = 0.0
    for need in needs:
        month = model.value("internet_gib", need.region)
        amount = month / limits.HOURS_PER_MONTH * hours * (need.multiplier - 1)
        for id in ("egress.internet", "lb.outbound"):
            price = model.book.find(id, need.region)
            if price is None:
                return None
            total += price.cost(month + amount) - price.cost(month)
    return total
