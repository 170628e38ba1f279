"""What a plan cannot do, or does badly: said before anything is created."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from topology import capacity, findings_world, limits
from topology.blocks import AccessMode, Collector
from topology.finding import Finding, Level

if TYPE_CHECKING:
    from topology.plan import Plan, RegionPlan

__all__ = ["Finding", "Level", "find", "fold"]


def fold(findings: Sequence[Finding]) -> list[str]:
    """One line for each rule: its first finding in full, the other places by name."""
    lines: list[str] = []
    alike: dict[tuple[Level, str], list[Finding]] = {}
    for finding in findings:
        alike.setdefault((finding.level, finding.code), []).append(finding)
    for first, *others in alike.values():
        places = ", ".join(finding.place for finding in others)
        more = f"; {len(others)} more like it: {places}" if others else ""
        lines.append(f"{first}{more}")
    return lines


def find(plan: "Plan") -> Iterator[Finding]:
    """Every finding of a plan, region by region."""
    if plan.catalogue.image.digest is None:
        yield Finding(
            level=Level.ERROR,
            code="image-digest",
            place="world",
            message="has no image digest to run",
            remedy="run `meridian image build` and put its digest under image.digest",
        )
    telemetry = plan.catalogue.telemetry
    if telemetry.collector is Collector.SIDECAR and telemetry.image is None:
        yield Finding(
            level=Level.WARNING,
            code="metrics-collector",
            place="world",
            message="has metrics that nobody collects, so alerts stay silent",
            remedy="put the collector's image, by digest, under telemetry.image",
        )
    if telemetry.image is not None and telemetry.sidecar is None:
        yield Finding(
            level=Level.WARNING,
            code="collector-image",
            place="world",
            message=f"names a collector's image, and telemetry.collector is "
            f"{telemetry.collector.value}: no sidecar is declared",
            remedy="leave telemetry.image out, or set telemetry.collector to sidecar",
        )
    service = plan.catalogue.service
    if service.access is AccessMode.REQUIRED and service.root_key_sha256 is None:
        yield Finding(
            level=Level.WARNING,
            code="root-key",
            place="world",
            message="requires keys of its callers, and has none to make the first with",
            remedy="run `meridian root-key` and put what it prints under "
            "service.root_key_sha256",
        )
    yield from findings_world.find(plan)
    for region in plan.regions.values():
        yield from _quota(plan, region)
        yield from _addresses(region)
        yield from _distance(plan, region)
        yield from _connections(region)
        yield from _replicas(plan, region)
        yield from _demand(plan, region)


@dataclass(frozen=True, kw_only=True)
class _Demand:
    """What a region needs of one quota."""

    code: str
    unit: str
    needed: int
    granted: int
    each: int
    request: str

    def fits(self, beside: int) -> int:
        """Instances that the grant has room for beside so many others."""
        return max(0, self.granted // self.each - beside)


def _demands(plan: "Plan", region: "RegionPlan") -> tuple[_Demand, _Demand]:
    """Memory first: at 4 GiB a vCPU it binds at half the instances."""
    granted, shape = capacity.quota(plan.catalogue, region.name), plan.catalogue.service
    memory = _Demand(
        code="quota-memory",
        unit="GiB",
        needed=region.memory_gib_max,
        granted=granted.memory_gib,
        each=shape.memory_gib,
        request=f"`{limits.QUOTA_MEMORY}` >= {region.memory_gib_max * 2**30:,} bytes",
    )
    cpu = _Demand(
        code="quota-cpu",
        unit="vCPU",
        needed=region.vcpu_max,
        granted=granted.vcpu,
        each=shape.cpu,
        request=f"`{limits.QUOTA_CPU}` >= {region.vcpu_max * 1000:,} mCPU",
    )
    return memory, cpu


def _quota(plan: "Plan", region: "RegionPlan") -> Iterator[Finding]:
    beside = region.workers + region.grpc_instances_max
    count = region.instances_max + beside
    for demand in _demands(plan, region):
        rollout = demand.needed * limits.ROLLOUT_FACTOR
        if demand.needed > demand.granted:
            yield Finding(
                level=Level.ERROR,
                code=demand.code,
                place=region.name,
                message=f"needs {demand.needed:,} {demand.unit} ({count:,} instances x "
                f"{demand.each}), {demand.granted:,} granted",
                remedy=f"request {demand.request}, or set max_instances to "
                f"{demand.fits(beside):,}",
            )
        elif rollout > demand.granted:
            yield Finding(
                level=Level.WARNING,
                code=f"{demand.code}-rollout",
                place=region.name,
                message=f"needs up to {rollout:,} {demand.unit} while a revision rolls "
                f"out at the ceiling, {demand.granted:,} granted",
                remedy="roll out below the ceiling, or request twice the quota",
            )


def _addresses(region: "RegionPlan") -> Iterator[Finding]:
    if region.addresses_rollout > region.subnet_addresses:
        yield Finding(
            level=Level.WARNING,
            code="addresses-rollout",
            place=region.name,
            message=f"needs {region.addresses_rollout:,} addresses while a revision "
            f"rolls out at the ceiling, {region.subnet} has "
            f"{region.subnet_addresses:,}",
            remedy=f"use /{capacity.smallest_prefix(region.addresses_rollout)} or "
            "larger; a subnet grows in place",
        )


def _distance(plan: "Plan", region: "RegionPlan") -> Iterator[Finding]:
    bound = plan.catalogue.objectives.failover_ms
    if region.failover_ms is None:
        yield Finding(
            level=Level.ERROR,
            code="failover-none",
            place=region.name,
            message="has no other serving region to fail over to",
            remedy="declare a second region and mark it serving",
        )
    elif region.failover_ms > bound:
        kind = "" if region.failover_measured else " (estimated)"
        yield Finding(
            level=Level.WARNING,
            code="failover-distance",
            place=region.name,
            message=f"fails over to {region.failover[0]}, {region.failover_ms:g} ms"
            f"{kind} away, more than {bound:g} ms",
            remedy="accept slower answers while it is down, or add a nearer region",
        )


def _connections(region: "RegionPlan") -> Iterator[Finding]:
    database = region.database
    limit = database.connections_limit
    if database.connections_max <= limit:
        return
    over = database.connections > limit
    needed = database.connections if over else database.connections_max
    when = "at the minimum" if over else "at the maximum"
    yield Finding(
        level=Level.ERROR if over else Level.WARNING,
        code="sql-connections",
        place=region.name,
        message=f"needs {needed:,} connections to {database.instance} {when} of "
        f"instances, {limit:,} allowed",
        remedy="raise database.max_connections with the server's memory, or put a "
        "pooler in front",
    )


def _replicas(plan: "Plan", region: "RegionPlan") -> Iterator[Finding]:
    if region.database.role != "primary":
        return
    copies = [
        other.name
        for other in plan.regions.values()
        if other.database.replica_of == region.name
    ]
    if len(copies) > limits.REPLICAS_PER_PRIMARY:
        yield Finding(
            level=Level.ERROR,
            code="sql-replicas",
            place=region.name,
            message=f"has {len(copies)} read replicas, "
            f"{limits.REPLICAS_PER_PRIMARY} are allowed a primary",
            remedy="give some regions another hub, or make one of them a hub",
        )
    elif not copies:
        yield Finding(
            level=Level.INFO,
            code="sql-no-replica",
            place=region.name,
            message="has no read replica in another region",
            remedy="a lost region is restored from backups; set replica_of somewhere",
        )


def _demand(plan: "Plan", region: "RegionPlan") -> Iterator[Finding]:
    each = plan.model.value("streams_per_instance")
    held = region.instances * each
    if region.streams > held:
        yield Finding(
            level=Level.WARNING,
            code="capacity-baseline",
            place=region.name,
            message=f"expects {region.streams:,} streams, its {region.instances:,} "
            f"warm instances hold {held:,}",
            remedy="raise min_instances, concurrency or streams_per_connection",
        )
