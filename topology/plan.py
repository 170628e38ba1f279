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

SUMMED = (
    "streams",
    "instances",
    "instances_max",
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
    workers: int
    """Instances of the worker pool."""
    vcpu: int
    """vCPU of warm instances and workers."""
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


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The whole world."""

    catalogue: Catalogue
    """What it was made from."""
    regions: Mapping[str, RegionPlan]
    """In the catalogue's order."""

    @cached_property
    def hubs(self) -> tuple[str, ...]:
        """Regions with a primary, in the catalogue's order."""
        return tuple(n for n, r in self.regions.items() if r.role is Role.HUB)

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
        return totals

    @property
    def verdict(self) -> str:
        """One line: possible, or what stands against it."""
        errors = self.errors
        if not errors:
            return "possible"
        places = len({finding.place for finding in errors})
        codes = ", ".join(sorted({finding.code for finding in errors}))
        return f"not possible as granted: {codes} in {places} places"

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
            "verdict": self.verdict,
        }


def make_plan(catalogue: Catalogue) -> Plan:
    """Turn a checked catalogue into a plan."""
    shares = capacity.shares(catalogue)
    regions = {
        name: _region(catalogue, name, shares[name]) for name in catalogue.regions
    }
    return Plan(catalogue=catalogue, regions=_with_connections(catalogue, regions))


def _region(catalogue: Catalogue, name: str, share: float) -> RegionPlan:
    settings, shape = catalogue.regions[name], catalogue.service
    count = capacity.instances(catalogue, name, share)
    workers = capacity.workers(catalogue, name)
    place = facts.places()[name]
    others = [n for n, region in catalogue.regions.items() if region.serving]
    failover = facts.nearest(name, others)
    trip = facts.round_trips()[name, failover[0]] if failover else None
    return RegionPlan(
        name=name,
        city=place.city,
        latitude=place.latitude,
        longitude=place.longitude,
        role=settings.tier,
        hub=settings.hub or name,
        serving=settings.serving,
        share=share,
        streams=round(catalogue.traffic.streams * share),
        instances=count.minimum,
        instances_max=count.maximum,
        workers=workers,
        vcpu=(count.minimum + workers) * shape.cpu,
        vcpu_max=(count.maximum + workers) * shape.cpu,
        memory_gib=(count.minimum + workers) * shape.memory_gib,
        memory_gib_max=(count.maximum + workers) * shape.memory_gib,
        addresses=capacity.addresses(count.minimum),
        addresses_max=capacity.addresses(count.maximum),
        addresses_rollout=capacity.addresses_rollout(count.maximum),
        subnet=settings.cidr,
        subnet_addresses=capacity.usable_addresses(settings.cidr),
        cache=CachePlan(
            tier="STANDARD_HA", memory_gib=capacity.cache_gib(catalogue, name)
        ),
        database=_database(catalogue, name),
        failover=tuple(failover),
        failover_ms=trip.milliseconds if trip else None,
        failover_measured=trip.measured if trip else True,
    )


def _database(catalogue: Catalogue, name: str) -> DatabasePlan:
    settings, tier = catalogue.regions[name], capacity.tier_of(catalogue, name)
    is_hub = settings.tier is Role.HUB
    return DatabasePlan(
        role="primary" if is_hub else "replica",
        instance=names.database(catalogue.prefix, name, catalogue.database.generation),
        replica_of=None if is_hub else settings.replica_of or settings.hub,
        cpu=tier.database_cpu,
        memory_gib=tier.database_memory_gib,
        disk_gib=tier.database_disk_gib,
        connections=0,
        connections_max=0,
        connections_limit=catalogue.database.max_connections,
    )


def _with_connections(
    catalogue: Catalogue, regions: Mapping[str, RegionPlan]
) -> Mapping[str, RegionPlan]:
    """Connections of each server: its writers' if it is a primary, its own readers'."""
    database = catalogue.database

    def count(server: RegionPlan, size: str) -> int:
        def users(region: RegionPlan) -> int:
            return int(getattr(region, size)) + region.workers

        writers = sum(users(r) for r in regions.values() if r.hub == server.name)
        return (
            writers * database.primary_connections
            + users(server) * database.local_connections
        )

    return {
        name: dataclasses.replace(
            region,
            database=dataclasses.replace(
                region.database,
                connections=count(region, "instances"),
                connections_max=count(region, "instances_max"),
            ),
        )
        for name, region in regions.items()
    }


def _plain(value: Any) -> Any:
    """Tuples as lists, so that a plan equals itself after a trip through JSON."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return value
