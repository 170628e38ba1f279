"""One region."""

from typing import Any

from components.cache import CacheTierArgs
from components.database import DatabaseArgs
from components.inbox import InboxArgs
from components.quotas import QuotaRequest, Quotas, QuotasArgs
from components.regional_cell import RegionalCell, RegionalCellArgs, ServiceShape
from components.vault import VaultArgs
from stacks.environment import World
from stacks.wiring import CELL, Wiring
from topology import RegionPlan, capacity, names


def cell(world: World, wiring: Wiring, region: RegionPlan) -> RegionalCell:
    """Declare one region and publish its outputs; hubs come before their regions."""
    catalogue = world.catalogue
    below = _Below(wiring)
    is_hub = region.name == region.hub
    base = catalogue.project_of("foundation")
    project = catalogue.project_of("cells", region.name)
    made = RegionalCell(
        region.name,
        RegionalCellArgs(
            environment=catalogue.environment,
            project=project,
            network_project=None if project == base else base,
            prefix=catalogue.prefix,
            region=region.name,
            hub=region.origin,
            hubs=world.plan.origins,
            cidr=region.subnet,
            shape=_shape(world, region),
            cache=_cache(world, region, below),
            database=_database(world, region, below, wiring),
            inbox=_inbox(world, region, below),
            vault=_vault(world, region, below),
            image=below.image,
            network=below.network,
            stream_email=below.stream_email,
            worker_email=below.worker_email,
            changes_topic=below.changes_topic,
            repairs_topic=below.repairs_topic,
            primary_endpoint=(
                None if is_hub else wiring.take(region.hub, "database_endpoint")
            ),
            scaling_owner=catalogue.scaling_owner,
        ),
        world.options("cells", region.name),
    )
    wiring.publish(region.name, made, CELL)
    _quotas(world, region, below)
    return made


class _Below:
    """Outputs of the foundation as attributes."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    def __getattr__(self, output: str) -> Any:
        return self._wiring.take("foundation", output)


def _shape(world: World, region: RegionPlan) -> ServiceShape:
    service = world.catalogue.service
    return ServiceShape(
        cpu=service.cpu,
        memory_gib=service.memory_gib,
        concurrency=service.concurrency,
        timeout_seconds=service.request_timeout_seconds,
        min_instances=region.instances,
        max_instances=region.instances_max,
        workers=region.workers,
        limits=world.plan.service_limits(),
        access=service.access,
        root_key_sha256=service.root_key_sha256,
        rates=world.catalogue.callers.rates_json(),
        issuers=world.catalogue.callers.issuers_json(),
        collector=world.catalogue.telemetry.sidecar,
        push_seconds=world.catalogue.telemetry.push_seconds,
        trace_share=world.catalogue.telemetry.trace_share or None,
        grpc_min_instances=region.grpc_instances,
        grpc_max_instances=region.grpc_instances_max,
    )


def _cache(world: World, region: RegionPlan, below: _Below) -> CacheTierArgs:
    settings = world.catalogue.cache
    return CacheTierArgs(
        region=region.name,
        prefix=world.catalogue.prefix,
        memory_gib=region.cache.memory_gib,
        version=settings.version,
        eviction=settings.eviction,
        transit_encryption=settings.transit_encryption,
        network=below.private_network,
        durability=world.catalogue.durability,
    )


def _database(
    world: World, region: RegionPlan, below: _Below, wiring: Wiring
) -> DatabaseArgs:
    settings, shape = world.catalogue.database, region.database
    origin = shape.replica_of
    return DatabaseArgs(
        region=region.name,
        instance=shape.instance,
        version=settings.version,
        edition=settings.edition,
        cpu=shape.cpu,
        memory_gib=shape.memory_gib,
        disk_gib=shape.disk_gib,
        database=settings.name,
        flags={"max_connections": str(settings.max_connections)},
        pooled_connections=settings.pooled_connections,
        backup_hour_utc=settings.backup_hour_utc,
        backups_kept=settings.backups_kept,
        log_days=settings.log_days,
        network=below.private_network,
        users={"stream": below.stream_email, "worker": below.worker_email},
        owner="worker",
        primary=None if origin is None else wiring.take(origin, "database"),
        durability=world.catalogue.durability,
    )


def _inbox(world: World, region: RegionPlan, below: _Below) -> InboxArgs:
    settings = world.catalogue.messaging
    return InboxArgs(
        region=region.name,
        prefix=world.catalogue.prefix,
        ack_deadline_seconds=settings.ack_deadline_seconds,
        retention_seconds=settings.retention_seconds,
        delivery_attempts=settings.delivery_attempts,
        min_backoff_seconds=settings.min_backoff_seconds,
        max_backoff_seconds=settings.max_backoff_seconds,
        changes_topic=below.changes_topic,
        repairs_topic=below.repairs_topic,
        dead_letter_topic=below.dead_letter_topic,
        agent=below.pubsub_agent,
        worker_email=below.worker_email,
        origin=region.origin if region.name == region.hub else None,
    )


def _vault(world: World, region: RegionPlan, below: _Below) -> VaultArgs:
    catalogue = world.catalogue
    return VaultArgs(
        bucket=names.bucket(catalogue.project_of("cells", region.name), region.name),
        project=world.project(below.project, "cells", region.name),
        region=region.name,
        prefix=catalogue.prefix,
        keep_days=catalogue.storage.keep_days,
        soft_delete_days=catalogue.storage.soft_delete_days,
        stream_email=below.stream_email,
        worker_email=below.worker_email,
        durability=catalogue.durability,
    )


def _quotas(world: World, region: RegionPlan, below: _Below) -> None:
    """Ask for what the region needs beyond its grant; most worlds need nothing."""
    granted = capacity.quota(world.catalogue, region.name)
    cpu, memory = region.vcpu_max, region.memory_gib_max
    request = QuotaRequest(
        region=region.name,
        vcpu=cpu if cpu > granted.vcpu else None,
        memory_gib=memory if memory > granted.memory_gib else None,
    )
    if request.vcpu is None and request.memory_gib is None:
        return
    Quotas(
        f"{region.name}-quotas",
        QuotasArgs(
            project=world.project(below.project, "cells", region.name),
            requests=[request],
            justification=f"Capacity plan of {world.catalogue.environment}",
        ),
        world.options("cells", region.name),
    )
