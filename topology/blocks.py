"""Blocks of a catalogue file that hold for the whole platform."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from topology.limits import SCRAPE_SECONDS
from topology.settings import setting

PROJECT = r"[a-z][a-z0-9-]{4,28}[a-z0-9]"
CIDR = r"\d{1,3}(\.\d{1,3}){3}/\d{1,2}"
DIGEST = r"sha256:[0-9a-f]{64}"
RUN = "Cloud Run quotas and limits, read 2026-11"


class AccessMode(StrEnum):
    """Whether callers of the service are asked who they are."""

    REQUIRED = "required"
    OPEN = "open"


class DatabaseEdition(StrEnum):
    """Cloud SQL edition; always declared: the default depends on the version."""

    ENTERPRISE = "ENTERPRISE"
    ENTERPRISE_PLUS = "ENTERPRISE_PLUS"


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """The container image of the service."""

    repository: str = setting(pattern=r"[a-z][a-z0-9-]{0,62}")
    """Artifact Registry repository."""
    location: str = setting(pattern=r"[a-z][a-z0-9-]+")
    """Region or multi-region of the repository."""
    name: str = setting(pattern=r"[a-z][a-z0-9-]{0,62}")
    """Image name inside the repository."""
    digest: str | None = setting(
        default=None, pattern=DIGEST, hint="sha256: and 64 hexadecimal digits"
    )
    """Digest that the services run; `meridian image build` prints it."""
    build: bool = setting(default=False)
    """Whether the foundation builds the image by Docker during `up`."""


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """Address space of the platform."""

    cells: str = setting(pattern=CIDR, hint="an IPv4 range such as 100.64.0.0/10")
    """Range that holds every region's subnet."""
    services: str = setting(pattern=CIDR, hint="an IPv4 range such as 10.64.0.0/16")
    """Range lent to Google's managed services (Redis and Cloud SQL)."""


@dataclass(frozen=True, kw_only=True)
class TrafficSettings:
    """Demand that the plan is made for."""

    streams: int = setting(minimum=1, maximum=10**12, unit="standing queries")
    """Standing queries of the whole world at baseline."""
    streams_per_connection: int = setting(
        minimum=1, maximum=100_000, unit="standing queries a connection"
    )
    """How many standing queries share one connection."""
    burst_multiplier: float = setting(minimum=1, maximum=1000, unit="times baseline")
    """Largest burst that the maximum of instances is made for."""
    bytes_per_stream_second: float = setting(
        default=1.0, minimum=0, maximum=10_000_000, unit="bytes/s"
    )
    """What a standing query is sent, on average; it decides the bill."""
    queries_per_second: float = setting(default=0.0, minimum=0, unit="queries/s")
    """Single searches of the whole world."""
    bytes_per_query: int = setting(default=2048, minimum=0, unit="bytes")
    """Answer of a search, headers included."""
    writes_per_second: float = setting(default=0.0, minimum=0, unit="writes/s")
    """Items written in the whole world."""
    bytes_per_change: int = setting(default=2048, minimum=1, unit="bytes")
    """A written item as it is sent from region to region."""


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Shape of one Cloud Run instance."""

    concurrency: int = setting(minimum=1, maximum=1000, unit="requests", source=RUN)
    """Requests, and so connections, that one instance holds at a time."""
    cpu: int = setting(minimum=1, maximum=8, unit="vCPU", source=RUN)
    """1, 2, 4, 6 or 8."""
    memory_gib: int = setting(minimum=1, maximum=32, unit="GiB", source=RUN)
    """Memory of an instance; the CPU bounds it."""
    request_timeout_seconds: int = setting(
        minimum=1, maximum=3600, unit="s", source=RUN
    )
    """Longest life of a connection."""
    bytes_per_stream: int = setting(default=4169, minimum=1, unit="bytes")
    """Memory that a standing query takes in its instance."""
    runtime_mib: int = setting(default=128, minimum=1, unit="MiB")
    """Memory of an instance before it holds any data."""
    queries_per_instance: float = setting(default=1000.0, minimum=0.1, unit="queries/s")
    """Single searches that one instance answers beside its streams."""
    access: AccessMode = setting(default=AccessMode.REQUIRED)
    """`required`: every caller needs a key or token; `open`: a world of one's own."""
    root_key_sha256: str | None = setting(
        default=None, pattern=r"[0-9a-f]{64}", hint="what `meridian root-key` prints"
    )
    """SHA-256 of the key that makes the first keys; the key itself is nowhere."""
    grpc_min_instances: int = setting(default=0, minimum=0, unit="instances")
    """Kept warm of each region's second service, which speaks gRPC."""
    grpc_max_instances: int = setting(default=0, minimum=0, unit="instances")
    """Ceiling of that service; 0: no region speaks gRPC."""


@dataclass(frozen=True, kw_only=True)
class ScalingSettings:
    """How fast instances start, and how fast they must."""

    startup_seconds: float = setting(default=7.0, minimum=0, maximum=600, unit="s")
    """From the order to the first answer of one instance."""
    starts_per_minute: int = setting(
        default=100, minimum=1, unit="instances a minute and region"
    )
    """Instances that come up in a region."""
    seconds_to_capacity: int = setting(default=600, minimum=1, unit="s")
    """Wanted time from the warm instances to the ceiling."""


@dataclass(frozen=True, kw_only=True)
class EventSettings:
    """A day when demand is a multiple of the baseline."""

    start: str = setting(
        pattern=r"20\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\dZ", hint="2026-07-19T18:00Z"
    )
    """When it begins, UTC."""
    hours: float = setting(minimum=0.1, maximum=720, unit="hours")
    """How long it lasts."""
    warm_minutes: float = setting(default=15.0, minimum=0, maximum=2880, unit="minutes")
    """How long before its start the instances must be there."""
    multiplier: float = setting(default=1.0, minimum=1, maximum=1000, unit="times")
    """Demand over the baseline, in regions not named."""
    regions: Mapping[str, float] | None = setting(default=None)
    """Demand over the baseline, by region."""


@dataclass(frozen=True, kw_only=True)
class ProjectSettings:
    """Google Cloud project of each layer, where it is not `project`."""

    foundation: str | None = setting(default=None, pattern=PROJECT)
    """Network, registry, accounts, topics."""
    cells: str | None = setting(default=None, pattern=PROJECT)
    """Every region that names none itself."""
    edge: str | None = setting(default=None, pattern=PROJECT)
    """Load balancer, budget, dashboards."""


@dataclass(frozen=True, kw_only=True)
class LimitSettings:
    """What a client may ask of the service."""

    max_body_bytes: int = setting(minimum=1024, maximum=33_554_432, unit="bytes")
    """Largest request body; Cloud Run's HTTP/1 limit is 32 MiB."""
    max_batch_items: int = setting(minimum=1, maximum=10_000, unit="items")
    """Most items in one upsert."""
    max_dimension: int = setting(minimum=1, maximum=16_000, unit="components")
    """Longest vector; pgvector stores at most 16,000 components."""
    max_metadata_bytes: int = setting(minimum=0, maximum=1_048_576, unit="bytes")
    """Largest metadata of one item."""
    max_collection_bytes: int = setting(minimum=1_048_576, unit="bytes")
    """Largest collection that one instance holds without shards."""


@dataclass(frozen=True, kw_only=True)
class DatabaseSettings:
    """Cloud SQL servers: what all of them share."""

    version: str = setting(pattern=r"POSTGRES_1[5-9]")
    """Database version as the API spells it."""
    edition: DatabaseEdition
    """ENTERPRISE takes custom shapes."""
    name: str = setting(pattern=r"[a-z][a-z0-9_]{0,62}")
    """Database that the service uses."""
    generation: int = setting(minimum=1, maximum=999)
    """Part of the instance name: a deleted name stays reserved for about a week."""
    max_connections: int = setting(minimum=25, maximum=262_143, unit="connections")
    """Flag `max_connections` of every server."""
    primary_connections: int = setting(minimum=1, maximum=100, unit="connections")
    """Connections that an instance or worker keeps to its hub's primary."""
    local_connections: int = setting(minimum=1, maximum=100, unit="connections")
    """Most connections that it keeps to its own region's server besides."""
    worker_connections: int = setting(
        default=5, minimum=1, maximum=100, unit="connections"
    )
    """Most connections that a worker keeps to its own region's server besides those:
    for comparison with other hubs, for snapshots, and the lock of the active one."""
    pooled_connections: int | None = setting(
        default=None, minimum=1, maximum=262_143, unit="connections"
    )
    """Server connections that Google's pooler keeps for all clients of a server; no
    pooler when left out. ENTERPRISE_PLUS only."""
    backup_hour_utc: int = setting(minimum=0, maximum=23, unit="hour")
    """Hour at which backups start."""
    backups_kept: int = setting(minimum=1, maximum=365, unit="backups")
    """Automated backups that are kept."""
    log_days: int = setting(minimum=1, maximum=7, unit="days")
    """Days that point-in-time recovery reaches back."""


@dataclass(frozen=True, kw_only=True)
class CacheSettings:
    """Memorystore for Redis: what all regions share."""

    version: str = setting(pattern=r"REDIS_[0-9]_[0-9X]")
    """Redis version as the API spells it."""
    eviction: str = setting(pattern=r"noeviction|(allkeys|volatile)-(lru|lfu|random)")
    """Flag `maxmemory-policy`."""
    transit_encryption: bool
    """TLS between the service and Redis."""


@dataclass(frozen=True, kw_only=True)
class MessagingSettings:
    """Pub/Sub between hubs."""

    ack_deadline_seconds: int = setting(minimum=10, maximum=600, unit="s")
    """Time a worker has for a message."""
    retention_seconds: int = setting(minimum=600, maximum=2_678_400, unit="s")
    """How long unacknowledged changes are kept."""
    delivery_attempts: int = setting(minimum=5, maximum=100, unit="attempts")
    """Attempts before a message goes to the dead-letter topic."""
    min_backoff_seconds: int = setting(minimum=0, maximum=600, unit="s")
    """Shortest wait before a redelivery."""
    max_backoff_seconds: int = setting(minimum=0, maximum=600, unit="s")
    """Longest wait before a redelivery."""


@dataclass(frozen=True, kw_only=True)
class StorageSettings:
    """Buckets of snapshots."""

    keep_days: int = setting(minimum=1, maximum=3650, unit="days")
    """Age at which a snapshot is deleted."""
    soft_delete_days: int = setting(minimum=7, maximum=90, unit="days")
    """Days that a deleted object can be restored; billed."""
    snapshot_gib: int = setting(default=10, minimum=0, unit="GiB")
    """Snapshots of one day in a region."""


class Collector(StrEnum):
    """How metrics leave an instance."""

    PLATFORM = "platform"
    SIDECAR = "sidecar"
    SERVICE = "service"


@dataclass(frozen=True, kw_only=True)
class TelemetrySettings:
    """How metrics reach the dashboards, and of what spans are kept."""

    collector: Collector
    """The `platform` scrapes, a `sidecar` does, or the `service` sends them itself; on
    Cloud Run one of the last two is needed."""
    image: str | None = setting(
        default=None,
        pattern=r"[a-z0-9./:-]+@sha256:[0-9a-f]{64}",
        hint="an image reference by digest",
    )
    """Image of the sidecar: Google's collector for Managed Prometheus."""
    trace_share: float = setting(default=0.0, minimum=0, maximum=1, unit="share")
    """Writes and requests whose spans are kept, of all; the bill leaves them out."""

    @property
    def sidecar(self) -> str | None:
        """Image of the sidecar, where there is one."""
        return self.image if self.collector is Collector.SIDECAR else None

    @property
    def push_seconds(self) -> int | None:
        """Between two sendings by the service, where it sends."""
        return SCRAPE_SECONDS if self.collector is Collector.SERVICE else None


@dataclass(frozen=True, kw_only=True)
class EdgeSettings:
    """Global load balancer, Cloud Armor and CDN."""

    requests_per_minute: int = setting(minimum=1, maximum=1_000_000, unit="requests")
    """Requests one address may send; enforced in each region of the balancer."""
    retries: int = setting(minimum=1, maximum=10, unit="retries")
    """Further regions that a refused request is sent to."""
    ejection_errors: int = setting(minimum=1, maximum=1000, unit="errors")
    """Gateway errors in a row after which a region is left out."""
    ejection_seconds: int = setting(minimum=1, maximum=3600, unit="s")
    """How long a region is left out."""
    ejection_percent: int = setting(minimum=1, maximum=100, unit="%")
    """Most regions that may be left out at a time."""
    log_sample: float = setting(minimum=0, maximum=1, unit="share of requests")
    """Requests that are logged."""
    cached_share: float = setting(
        default=0.0, minimum=0, maximum=1, unit="share of the searches"
    )
    """Searches that the CDN answers; streams are never cached."""
    stale_seconds: int = setting(minimum=0, maximum=604_800, unit="s")
    """How long the CDN may serve an expired answer while it asks for a new one."""


class Commitment(StrEnum):
    """Flexible commitment on Cloud Run, instance-based billing."""

    NONE = "none"
    ONE_YEAR = "one_year"
    THREE_YEARS = "three_years"


@dataclass(frozen=True, kw_only=True)
class BudgetSettings:
    """Billing budget: it alerts, it does not cap."""

    billing_account: str = setting(
        pattern=r"[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}",
        hint="three groups of six hexadecimal digits",
    )
    """Account that pays."""
    currency: str = setting(pattern=r"[A-Z]{3}")
    """ISO 4217 code; must be the account's currency."""
    monthly: int = setting(minimum=1, unit="units of the currency")
    """Amount of a calendar month."""
    daily: int | None = setting(default=None, minimum=1, unit="units of the currency")
    """Amount of a day; the month's over its days when left out."""
    hourly: int | None = setting(default=None, minimum=1, unit="units of the currency")
    """Amount of an hour, events included; unbounded when left out."""
    commitment: Commitment = setting(default=Commitment.NONE)
    """Discount on the warm instances that was bought from Google."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveSettings:
    """What the alerts and the findings hold the platform to."""

    notify_seconds: float = setting(minimum=0.001, maximum=60, unit="s")
    """99th percentile from an acknowledged write to its notification."""
    error_ratio: float = setting(minimum=0.000_001, maximum=1, unit="share")
    """Share of requests that may fail."""
    lag_changes: int = setting(minimum=1, unit="changes")
    """Changes that a region may be behind a hub."""
    failover_ms: float = setting(minimum=1, maximum=1000, unit="ms")
    """Round trip beyond which the next region is no good stand-in."""
    runbooks: str = setting(pattern=r"https://\S+[^/]")
    """Address under which the runbook pages are found."""


@dataclass(frozen=True, kw_only=True)
class QuotaSettings:
    """What Google has granted the project in each region."""

    vcpu: int = setting(minimum=1, unit="vCPU")
    """`CpuAllocPerProjectRegion`, in vCPU."""
    memory_gib: int = setting(minimum=1, unit="GiB")
    """`MemAllocPerProjectRegion`, in GiB."""


@dataclass(frozen=True, kw_only=True)
class RolloutSettings:
    """How `meridian apply` goes from region to region."""

    canary: str | None = setting(default=None)
    """Region that goes first; the hub with the smallest blast radius when left out."""
    wave_share: float = setting(
        default=0.2, minimum=0.01, maximum=1, unit="share of the streams"
    )
    """Most of the world's streams that one wave may touch; one region always goes."""
    bake_seconds: int = setting(default=600, minimum=0, maximum=86_400, unit="s")
    """How long a wave is watched before the next begins."""
