"""The engine itself: providers, protection, APIs and quotas."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy import sources
from policy.field import Fault, Field
from policy.record import Record
from policy.rule import ADVISORY, ANY, MANDATORY, relation, rule
from policy.rules.kinds import (
    ADDRESS,
    API,
    BUCKET,
    QUOTA,
    REDIS,
    REDIS_CLUSTER,
    REPOSITORY,
    SECRET,
    SERVICE,
    SQL,
    VALKEY,
    WORKERS,
)
from policy.rules.run import containers, cpus
from policy.world import World

STATEFUL = (SQL, REDIS, REDIS_CLUSTER, VALKEY, BUCKET, SECRET, REPOSITORY)
DEFAULT_PROVIDER = re.compile(r"::pulumi:providers:[^:]+::default")
PROVIDER = "pulumi:providers:gcp"
FLAGS = {
    SQL: ("deletionProtection", "settings.deletionProtectionEnabled"),
    REDIS: ("deletionProtection",),
    REDIS_CLUSTER: ("deletionProtectionEnabled",),
    VALKEY: ("deletionProtectionEnabled",),
    SECRET: ("deletionProtection",),
}
"""Google's and the provider's own protection, by type."""
APIS = {
    "gcp:artifactregistry/": "artifactregistry.googleapis.com",
    "gcp:billing/budget": "billingbudgets.googleapis.com",
    "gcp:certificatemanager/": "certificatemanager.googleapis.com",
    "gcp:clouddeploy/": "clouddeploy.googleapis.com",
    "gcp:cloudquota/": "cloudquotas.googleapis.com",
    "gcp:cloudrunv2/": "run.googleapis.com",
    "gcp:compute/": "compute.googleapis.com",
    "gcp:dns/": "dns.googleapis.com",
    "gcp:memorystore/": "memorystore.googleapis.com",
    "gcp:monitoring/": "monitoring.googleapis.com",
    "gcp:networkconnectivity/": "networkconnectivity.googleapis.com",
    "gcp:projects/iAM": "cloudresourcemanager.googleapis.com",
    "gcp:pubsub/": "pubsub.googleapis.com",
    "gcp:redis/": "redis.googleapis.com",
    "gcp:secretmanager/": "secretmanager.googleapis.com",
    "gcp:serviceaccount/": "iam.googleapis.com",
    "gcp:servicenetworking/": "servicenetworking.googleapis.com",
    "gcp:sql/": "sqladmin.googleapis.com",
    "gcp:vpcaccess/": "vpcaccess.googleapis.com",
}
"""API that a type needs, by the start of its token. Source: the discovery documents."""
CPU_QUOTA = "CpuAllocPerProjectRegion"


@rule(
    "provider-explicit",
    MANDATORY,
    "Every resource names its provider.",
    f"{sources.ENGINE}: a default provider takes project and labels from anywhere",
    ANY,
)
def provider_explicit(record: Record) -> Iterator[Fault]:
    if DEFAULT_PROVIDER.search(record.provider):
        yield Fault(
            "provider",
            "the default provider",
            "project, labels and deletion policy come from whoever runs it",
            "pass the stack's one gcp.Provider",
        )


@rule(
    "provider-labels",
    ADVISORY,
    "Everything carries the labels of its platform and environment.",
    sources.PROVIDER,
    PROVIDER,
)
def provider_labels(record: Record) -> Iterator[Fault]:
    field = record.at("defaultLabels")
    if field.empty or field.is_("{}"):
        yield field.fault(
            "nobody can tell cost or owner of a resource", "set default_labels"
        )


@rule(
    "protection-agrees",
    MANDATORY,
    "What the engine protects, Google protects as well.",
    f"{sources.PROVIDER}: each layer stops another way of deleting",
    *STATEFUL,
)
def protection_agrees(record: Record) -> Iterator[Fault]:
    if not record.protect:
        return
    policy = record.at("deletionPolicy")
    if policy.is_not("PREVENT", "ABANDON"):
        yield policy.fault(
            "the engine's protect is on, the provider deletes it none the less",
            "set PREVENT: use the durability of the component",
        )
    for path in FLAGS.get(record.token, ()):
        field = record.at(path)
        if field.is_not(True):
            yield field.fault(
                "the engine's protect is on, others may delete it",
                "set it to true: use the durability of the component",
            )


@rule(
    "protection-states-intent",
    ADVISORY,
    "What holds data says what a destroy does with it.",
    sources.PROVIDER,
    *STATEFUL,
)
def states_intent(record: Record) -> Iterator[Fault]:
    field = record.at("deletionPolicy")
    if field.absent and not record.protect:
        yield field.fault(
            "a destroy deletes its data without asking",
            "set PREVENT, or DELETE where that is meant",
        )


@relation(
    "address-protected",
    ADVISORY,
    "The platform's addresses are guarded like its data.",
    f"{sources.PLATFORM}: clients and DNS hold on to them",
    ADDRESS,
)
def address_protected(record: Record, world: World) -> Iterator[Fault]:
    guarded = any(r.protect for r in world.of(*STATEFUL))
    internal = record.at("addressType")
    if guarded and not record.protect and not internal.is_("INTERNAL"):
        yield Fault(
            "protect",
            "false",
            "an address that is given back is never got again, and the data behind it "
            "is guarded",
            "use the durability of the component",
        )


@rule(
    "api-kept",
    MANDATORY,
    "An API stays on when a stack goes.",
    f"{sources.PROVIDER}: disabling stops everything else in the project",
    API,
)
def api_kept(record: Record) -> Iterator[Fault]:
    field = record.at("disableOnDestroy")
    if field.is_not(False):
        yield field.fault(
            "a destroy switches it off for the whole project", "set it to false"
        )


@relation(
    "api-enabled",
    MANDATORY,
    "The API of a resource is switched on by the same stack.",
    f"{sources.PEER}: four APIs were missing",
    ANY,
)
def api_enabled(record: Record, world: World) -> Iterator[Fault]:
    declared = world.of(API)
    if not declared:
        return  # a slice of the platform: the foundation switches them on
    wanted = next(
        (a for start, a in APIS.items() if record.token.startswith(start)), ""
    )
    services = [api.at("service") for api in declared]
    if not wanted or any(s.unknown or s.text == wanted for s in services):
        return
    first = next(r for r in world.records if _api(r) == wanted)
    if first is record:  # once an API, not once a resource
        yield Fault(
            "service",
            "not declared",
            f"{wanted} is off in a new project, and creating fails",
            f"declare a projects.Service for {wanted}",
        )


def _api(record: Record) -> str:
    """API that a type needs; empty where none is known."""
    found = (api for start, api in APIS.items() if record.token.startswith(start))
    return next(found, "")


@relation(
    "quota-holds-instances",
    MANDATORY,
    "A CPU quota that is asked for holds the instances declared.",
    f"{sources.RUN_QUOTAS}: a maximum above the quota is refused",
    QUOTA,
)
def quota_holds(record: Record, world: World) -> Iterator[Fault]:
    if not (record.at("quotaId").text or "").startswith(CPU_QUOTA):
        return
    region = record.at("dimensions.region").text
    field = record.at("quotaConfig.preferredValue")
    local = [s for s in world.of(SERVICE, WORKERS) if s.at("location").text == region]
    wanted = round(1000 * sum(_cpus(service) for service in local))
    if region and field.number is not None and field.number < wanted:
        yield field.fault(
            f"{wanted:,} milli-vCPU are declared in {region}",
            f"ask for {wanted} or lower the maximum of instances",
        )


def _cpus(service: Record) -> float:
    """Most CPUs that a service may take; 0 where it is not known."""
    each = sum(cpus(c.at("resources.limits.cpu")) or 0 for c in containers(service))
    return each * _instances(service)


def _instances(service: Record) -> float:
    fields: list[Field] = [
        service.at("scaling.manualInstanceCount"),
        service.at("template.scaling.maxInstanceCount"),
        service.at("scaling.maxInstanceCount"),
    ]
    return next((f.number for f in fields if f.number), 0.0)
