"""The records that a catalogue file is bound to, one class per block of the file."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from topology.blocks import (
    CIDR,
    PROJECT,
    BudgetSettings,
    CacheSettings,
    DatabaseSettings,
    EdgeSettings,
    EventSettings,
    ImageSettings,
    LimitSettings,
    MessagingSettings,
    NetworkSettings,
    ObjectiveSettings,
    ProjectSettings,
    QuotaSettings,
    RolloutSettings,
    ScalingSettings,
    ServiceSettings,
    StorageSettings,
    TelemetrySettings,
    TrafficSettings,
)
from topology.callers import CallerSettings
from topology.settings import setting

PREFIX = r"[a-z][a-z0-9-]{0,11}"
DOMAIN = r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,}"


SCHEMA_VERSION = 1
"""Form of catalogue files that this release reads."""


class Role(StrEnum):
    """Size class and database role of a region."""

    HUB = "hub"
    REGIONAL = "regional"


class Layout(StrEnum):
    """Which stacks own an environment."""

    WHOLE = "whole"
    SLICED = "sliced"


class Durability(StrEnum):
    """How hard it is to delete data: one dial over all four layers of protection."""

    EPHEMERAL = "ephemeral"
    GUARDED = "guarded"
    SEALED = "sealed"


class ScalingOwner(StrEnum):
    """Who sets the service-level minimum of instances at run time."""

    PULUMI = "pulumi"
    BURST = "burst"


@dataclass(frozen=True, kw_only=True)
class TierSettings:
    """Size class: defaults of every region of a role."""

    traffic_share: float | None = setting(default=None, minimum=0, maximum=1)
    """Share of the world's streams that one region of this tier carries."""
    min_instances: int | None = setting(default=None, minimum=1, unit="instances")
    """Warm instances; derived from the streams when left out."""
    max_instances: int | None = setting(default=None, minimum=1, unit="instances")
    """Ceiling; the minimum times the burst multiplier when left out."""
    workers: int = setting(minimum=1, maximum=100, unit="workers")
    """Instances of the worker pool: one does the work, the others stand by."""
    cache_gib: int = setting(minimum=1, maximum=300, unit="GiB")
    """Memory of the region's Redis."""
    database_cpu: int = setting(minimum=1, maximum=96, unit="vCPU")
    """vCPU of the region's database server."""
    database_memory_gib: int = setting(minimum=1, maximum=624, unit="GiB")
    """Memory of the region's database server."""
    database_disk_gib: int = setting(minimum=10, maximum=64_000, unit="GiB")
    """Disk at creation; it grows by itself."""


@dataclass(frozen=True, kw_only=True)
class RegionSettings:
    """One region: where it is in the topology, and what differs from its tier."""

    tier: Role
    """`hub` or `regional`."""
    cidr: str = setting(pattern=CIDR, hint="an IPv4 range such as 100.64.0.0/20")
    """Subnet of the region's instances."""
    hub: str | None = setting(default=None)
    """Hub whose primary takes this region's writes; required of a regional region."""
    replica_of: str | None = setting(default=None)
    """Hub whose database is copied here; the write hub when left out."""
    origin: str | None = setting(default=None)
    """Hub that was lost and whose log this one leads since its replica was promoted;
    `meridian promote` sets it."""
    database_generation: int | None = setting(default=None, minimum=1, maximum=99)
    """Overrides the database's: a server that is made anew needs another name."""
    failover: str | None = setting(default=None)
    """Region that stands in first; the nearest when left out. The balancer knows only
    the nearest: waves and findings go by this key, and clients that are told."""
    serving: bool = setting(default=True)
    """Whether the load balancer sends traffic here."""
    traffic_share: float | None = setting(default=None, minimum=0, maximum=1)
    """Overrides the tier's share."""
    min_instances: int | None = setting(default=None, minimum=1, unit="instances")
    """Overrides the tier's minimum."""
    max_instances: int | None = setting(default=None, minimum=1, unit="instances")
    """Overrides the tier's maximum."""
    workers: int | None = setting(default=None, minimum=1, maximum=100)
    """Overrides the tier's workers."""
    cache_gib: int | None = setting(default=None, minimum=1, maximum=300, unit="GiB")
    """Overrides the tier's cache."""
    quota: QuotaSettings | None = setting(default=None)
    """Overrides the granted quota."""
    project: str | None = setting(default=None, pattern=PROJECT)
    """Overrides the project of the cells."""


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """One environment: every number that the platform is made from."""

    schema_version: int = setting(minimum=SCHEMA_VERSION, maximum=SCHEMA_VERSION)
    """Version of this file's form."""
    environment: str = setting(pattern=r"[a-z][a-z0-9-]{0,19}")
    """Name of the world; the file's name."""
    project: str = setting(pattern=PROJECT)
    """Google Cloud project."""
    projects: ProjectSettings = setting(default=ProjectSettings())
    """Projects by layer."""
    project_number: str = setting(pattern=r"[0-9]{6,20}", hint="digits in quotes")
    """Its number; budgets and service agents are named by it."""
    prefix: str = setting(pattern=PREFIX)
    """Start of every physical name."""
    domain: str = setting(pattern=DOMAIN, hint="a host name such as stream.example.com")
    """Name that clients connect to."""
    layout: Layout
    """Which stacks own the environment."""
    durability: Durability
    """Protection of stateful resources."""
    scaling_owner: ScalingOwner
    """Who sets the minimum of instances at run time."""
    image: ImageSettings
    """Container image."""
    network: NetworkSettings
    """Address space."""
    traffic: TrafficSettings
    """Demand."""
    service: ServiceSettings
    """Shape of an instance."""
    callers: CallerSettings = setting(default=CallerSettings())
    """Rates and issuers of tokens."""
    scaling: ScalingSettings = setting(default=ScalingSettings())
    """Pace of starts."""
    limits: LimitSettings
    """What clients may ask."""
    database: DatabaseSettings
    """Database servers."""
    cache: CacheSettings
    """Redis."""
    messaging: MessagingSettings
    """Pub/Sub."""
    storage: StorageSettings
    """Snapshots."""
    telemetry: TelemetrySettings
    """Metrics."""
    edge: EdgeSettings
    """Load balancer."""
    budget: BudgetSettings
    """Billing budget."""
    objectives: ObjectiveSettings
    """Thresholds."""
    quota: QuotaSettings
    """Granted quota, where a region does not say otherwise."""
    rollout: RolloutSettings
    """Order and pace of an `apply`."""
    events: Mapping[str, EventSettings] | None = setting(default=None)
    """Days of extra demand, by name."""
    tiers: Mapping[Role, TierSettings]
    """Size classes by role."""
    regions: Mapping[str, RegionSettings]
    """Regions by Google's name."""

    def project_of(self, layer: str, region: str | None = None) -> str:
        """Project of `foundation`, `edge`, or of a region's cell."""
        if region is not None and self.regions[region].project is not None:
            return str(self.regions[region].project)
        key = "cells" if region is not None or layer == "cell" else layer
        return getattr(self.projects, key) or self.project

    def projects_besides(self, layer: str) -> tuple[str, ...]:
        """Every project that is not this layer's, each once."""
        cells = [self.project_of("cells", name) for name in self.regions]
        ends = [self.project_of(end) for end in ("foundation", "edge")]
        every = dict.fromkeys((*cells, *ends))
        return tuple(name for name in every if name != self.project_of(layer))
