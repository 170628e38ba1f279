"""The plan: what a catalogue comes to, region by region, with what cannot be done."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from topology import capacity, facts, names
from topology.catalogue import Catalogue, Role
from topology.findings import Finding, Level, find
from topology.marks import Note
from topology.prices import PriceBook, price_book
from topology.quantities import registry
from topology.trace import Model
from topology.verdict import verdict

SUMMED = (
    "streams",
    "instances",
    "instances_max",
    "grpc_instances",
    "grpc_instances_max",
    "workers",
    "vcpu",
    "vcpu_max",
    "memory_gib",
    "memory_gib_max",
    "addresses",
    "addresses_max",
    "addresses_rollout",
)
"""Figures of a region that add up to the world's."""


FIGURES = (
    "share",
    *SUMMED,
    "subnet_addresses",
    "failover_ms",
    "binding",
    "seconds_to_ceiling",
    "internet_gib",
    "price",
)
"""Figures of a region that are quantities of the model, under the same names."""


@dataclass(frozen=True, kw_only=True)
class DatabasePlan:
    """A region's database server."""

    role: str
    """`primary` or `replica`."""
    instance: str
    """Cloud SQL instance name."""
    replica_of: str | None
    """Region of the primary; None for a primary."""
    cpu: int
    """vCPU."""
    memory_gib: int
    """Memory."""
    disk_gib: int
    """Disk at creation."""
    connections: int
    """Connections at the minimum of instances."""
    connections_max: int
    """Connections at the maximum of instances."""
    connections_limit: int
    """Flag `max_connections`."""


@dataclass(frozen=True, kw_only=True)
class CachePlan:
    """A region's Redis."""

    tier: str
    """Memorystore tier."""
    memory_gib: int
    """Usable memory."""


@dataclass(frozen=True, kw_only=True)
class RegionPlan:
    """What one region is made of."""

    name: str
    """Google's name."""
    city: str
    """Where it is."""
    latitude: float
    """Degrees north."""
    longitude: float
    """Degrees east."""
    role: Role
    """`hub` or `regional`."""
    hub: str
    """Hub that takes its writes; itself in a hub."""
    origin: str
    """Hub whose log its writes go to: the write hub, or one that was lost and whose
    log that hub leads now."""
    serving: bool
    """Whether the load balancer sends traffic here."""
    share: float
    """Share of the world's streams."""
    streams: int
    """Standing queries at baseline."""
    instances: int
    """Warm instances."""
    instances_max: int
    """Ceiling."""
    grpc_instances: int
    """Warm instances of the service that speaks gRPC."""
    grpc_instances_max: int
    """Ceiling of that service; 0: the region does not speak gRPC."""
    workers: int
    """Instances of the worker pool."""
    vcpu: int
    """vCPU of warm instances of both services and of workers."""
    vcpu_max: int
    """vCPU at the ceiling: what the quota must hold."""
    memory_gib: int
    """Memory of warm instances and workers."""
    memory_gib_max: int
    """Memory at the ceiling."""
    addresses: int
    """Direct VPC addresses in steady state, warm instances."""
    addresses_max: int
    """The same at the ceiling."""
    addresses_rollout: int
    """The same at the ceiling while a revision rolls out."""
    subnet: str
    """Range of the instances."""
    subnet_addresses: int
    """Addresses that instances can take from it."""
    cache: CachePlan
    """Redis."""
    database: DatabasePlan
    """Cloud SQL."""
    failover: tuple[str, ...]
    """Other serving regions, the nearest first."""
    failover_ms: float | None
    """Round trip to the first of them; None when there is no other."""
    failover_measured: bool
    """False where that round trip is estimated."""
    binding: str
    """What the number of instances follows: connections, memory, queries, bandwidth."""
    seconds_to_ceiling: float
    """From the warm instances to the ceiling."""
    internet_gib: float
    """A month's bytes to clients."""
    price: float
    """US dollars a month, without the world's own lines; a lower bound."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The whole world."""

    catalogue: Catalogue
    """What it was made from."""
    regions: Mapping[str, RegionPlan]
    """In the catalogue's order."""
    model: Model
    """Every quantity with its chain."""

    @cached_property
    def hubs(self) -> tuple[str, ...]:
        """Regions with a primary, in the catalogue's order."""
        return tuple(n for n, r in self.regions.items() if r.role is Role.HUB)

    @cached_property
    def origins(self) -> tuple[str, ...]:
        """Whose logs are followed: of every hub its own, or the one it leads."""
        return tuple(self.regions[hub].origin for hub in self.hubs)

    @cached_property
    def creation_order(self) -> tuple[RegionPlan, ...]:
        """Hubs first: a replica takes its primary's name from its hub."""
        return tuple(
            sorted(self.regions.values(), key=lambda r: r.role is not Role.HUB)
        )

    @cached_property
    def serving(self) -> tuple[str, ...]:
        """Regions that the load balancer sends traffic to."""
        return tuple(name for name, region in self.regions.items() if region.serving)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What cannot or should not be done, errors first."""
        return tuple(sorted(find(self), key=lambda finding: finding.level.rank))

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that refuse an `up`."""
        return tuple(f for f in self.findings if f.level is Level.ERROR)

    @property
    def totals(self) -> dict[str, int]:
        """Sums over the regions."""
        totals = {
            key: sum(getattr(region, key) for region in self.regions.values())
            for key in SUMMED
        }
        totals["cache_gib"] = sum(r.cache.memory_gib for r in self.regions.values())
        totals["regions"] = len(self.regions)
        totals["primaries"] = len(self.hubs)
        totals["replicas"] = len(self.regions) - len(self.hubs)
        totals["negs"] = len(self.serving)
        totals["price"] = round(self.model.value("price_month"))
        return totals

    @cached_property
    def verdict(self) -> str:
        """One line: possible, after which requests, or why not."""
        return verdict(self.findings)

    @cached_property
    def verdicts(self) -> Mapping[str, str]:
        """The same for each region."""
        return {
            name: verdict(f for f in self.findings if f.place == name)
            for name in self.regions
        }

    def service_limits(self) -> str:
        """What a service process is told about its limits, as JSON."""
        settings = dataclasses.asdict(self.catalogue.limits)
        settings["max_streams_per_connection"] = (
            self.catalogue.traffic.streams_per_connection
        )
        settings["concurrency"] = self.catalogue.service.concurrency
        return json.dumps(settings, sort_keys=True, separators=(",", ":"))

    def to_json(self) -> dict[str, Any]:
        """The plan as `meridian plan --json` prints it."""
        return {
            "environment": self.catalogue.environment,
            "regions": {
                name: _plain(dataclasses.asdict(region))
                for name, region in self.regions.items()
            },
            "totals": self.totals,
            "findings": [finding.to_json() for finding in self.findings],
            "verdicts": dict(self.verdicts),
            "verdict": self.verdict,
        }


def make_plan(
    catalogue: Catalogue,
    book: PriceBook | None = None,
    notes: Mapping[str, Note] | None = None,
) -> Plan:
    """Turn a checked catalogue into a plan; notes are for its explanations."""
    model = Model(
        catalogue=catalogue,
        registry=registry(),
        notes=notes or {},
        book=book or price_book(),
    )
    regions = {name: _region(model, name) for name in catalogue.regions}
    return Plan(catalogue=catalogue, regions=regions, model=model)


def _region(model: Model, name: str) -> RegionPlan:
    settings = model.catalogue.regions[name]
    place = facts.places()[name]
    serving = [n for n, region in model.catalogue.regions.items() if region.serving]
    first = settings.failover
    others = [other for other in facts.nearest(name, serving) if other != first]
    failover = [first, *others] if first else others
    trip = facts.round_trips()[name, failover[0]] if failover else None
    figures: dict[str, Any] = {key: model.value(key, name) for key in FIGURES}
    return RegionPlan(
        name=name,
        city=place.city,
        latitude=place.latitude,
        longitude=place.longitude,
        role=settings.tier,
        hub=settings.hub or name,
        origin=_origin(model.catalogue, settings.hub or name),
        serving=settings.serving,
        subnet=settings.cidr,
        cache=CachePlan(tier="STANDARD_HA", memory_gib=model.value("cache_gib", name)),
        database=_database(model, name),
        failover=tuple(failover),
        failover_measured=trip.measured if trip else True,
        **figures,
    )


def _origin(catalogue: Catalogue, hub: str) -> str:
    return catalogue.regions[hub].origin or hub


def _database(model: Model, name: str) -> DatabasePlan:
    catalogue = model.catalogue
    settings, tier = catalogue.regions[name], capacity.tier_of(catalogue, name)
    is_hub = settings.tier is Role.HUB
    return DatabasePlan(
        role="primary" if is_hub else "replica",
        instance=names.database(
            catalogue.prefix,
            name,
            settings.database_generation or catalogue.database.generation,
        ),
        replica_of=None if is_hub else settings.replica_of or settings.hub,
        cpu=tier.database_cpu,
        memory_gib=tier.database_memory_gib,
        disk_gib=tier.database_disk_gib,
        connections=model.value("sql_connections", name),
        connections_max=model.value("sql_connections_max", name),
        connections_limit=model.value("sql_connections_limit", name),
    )


def _plain(value: Any) -> Any:
    """Tuples as lists, so that a plan equals itself after a trip through JSON."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return value
