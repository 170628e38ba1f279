"""Load balancer: what a backend of serverless endpoint groups may say."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy import sources
from policy.field import Fault
from policy.record import Record
from policy.rule import ADVISORY, MANDATORY, relation, rule
from policy.rules.kinds import BACKEND, FORWARDING, NEG
from policy.world import World

BALANCING = {
    "balancingMode": ("UTILIZATION",),
    "capacityScaler": (1, 1.0),
    "maxConnections": (),
    "maxConnectionsPerEndpoint": (),
    "maxConnectionsPerInstance": (),
    "maxRate": (),
    "maxRatePerEndpoint": (),
    "maxRatePerInstance": (),
    "maxUtilization": (),
}
"""Balancing fields, with the defaults that the provider adds and Google ignores."""
SUCCESS_RATES = (
    "enforcingSuccessRate",
    "successRateMinimumHosts",
    "successRateRequestVolume",
    "successRateStdevFactor",
)
EXTERNAL = ("EXTERNAL_MANAGED", "EXTERNAL")
AUTO_NAME = re.compile(r"-[0-9a-f]{7}")
REGIONAL_GROUP = re.compile(r"/regions/[^/]+/networkEndpointGroups/")
SAMPLE = 0.1


def groups_of(record: Record, world: World) -> list[Record]:
    """Serverless groups of the same stack behind a backend service."""
    groups = world.used_by(record, "backends", NEG)
    kind = "networkEndpointType"
    return [g for g in groups if not g.at(kind).is_not(None, "SERVERLESS")]


def serverless(record: Record, world: World) -> bool:
    """Whether serverless groups stand behind a backend service.

    A group of another stack is known by its path alone: a global backend takes
    regional groups only where they are serverless or lead out of the platform.
    """
    if groups_of(record, world):
        return True
    groups = [backend.at("group") for backend in record.root.each("backends")]
    return any(REGIONAL_GROUP.search(group.text or "") for group in groups)


@relation(
    "serverless-no-health-check",
    MANDATORY,
    "A backend of serverless groups has no health check.",
    f"{sources.COMPUTE}: must not have a health check",
    BACKEND,
)
def no_health_check(record: Record, world: World) -> Iterator[Fault]:
    field = record.at("healthChecks")
    if field.given and not field.empty and serverless(record, world):
        yield field.fault(
            "Google refuses it for serverless groups",
            "leave it out: readiness probes and outlier detection take its place",
        )


@relation(
    "serverless-no-timeout",
    MANDATORY,
    "A backend of serverless groups has no timeout.",
    f"{sources.SERVERLESS}: Timeout sec is not supported",
    BACKEND,
)
def no_timeout(record: Record, world: World) -> Iterator[Fault]:
    field = record.at("timeoutSec")
    if field.given and serverless(record, world):
        yield field.fault(
            "Google refuses it for serverless groups and waits 60 minutes",
            "leave it out and set the timeout of the service",
        )


@relation(
    "serverless-no-port-name",
    MANDATORY,
    "A backend of serverless groups names no port.",
    sources.SERVERLESS,
    BACKEND,
)
def no_port_name(record: Record, world: World) -> Iterator[Fault]:
    field = record.at("portName")
    if field.given and not field.empty and serverless(record, world):
        yield field.fault("Google refuses it for serverless groups", "leave it out")


@relation(
    "serverless-no-balancing",
    MANDATORY,
    "Serverless groups take no balancing mode, rate or share.",
    f"{sources.COMPUTE}: not available for serverless groups",
    BACKEND,
)
def no_balancing(record: Record, world: World) -> Iterator[Fault]:
    if not serverless(record, world):
        return
    for backend in record.root.each("backends"):
        for key, defaults in BALANCING.items():
            field = backend.at(key)
            if field.given and field.is_not(*defaults):
                yield field.fault(
                    "serverless groups take no balancing: the nearest region answers",
                    "leave it out: load is bounded by the instances of the service",
                )


@rule(
    "backend-no-circuit-breakers",
    MANDATORY,
    "Circuit breakers belong to the self-managed internal scheme.",
    f"{sources.PROVIDER}: INTERNAL_SELF_MANAGED only",
    BACKEND,
)
def no_circuit_breakers(record: Record) -> Iterator[Fault]:
    scheme = record.at("loadBalancingScheme")
    field = record.at("circuitBreakers")
    if field.given and scheme.is_not("INTERNAL_SELF_MANAGED"):
        yield field.fault(
            f"loadBalancingScheme is {scheme.shown()}, INTERNAL_SELF_MANAGED alone "
            "takes it",
            "leave it out and bound concurrency in the service",
        )


@relation(
    "serverless-outlier-fields",
    MANDATORY,
    "Outlier detection of serverless groups counts errors, not success rates.",
    f"{sources.COMPUTE}: not supported for serverless groups",
    BACKEND,
)
def outlier_fields(record: Record, world: World) -> Iterator[Fault]:
    for key in SUCCESS_RATES:
        field = record.at(f"outlierDetection.{key}")
        if field.given and serverless(record, world):
            yield field.fault(
                "Google refuses success rates for serverless groups",
                "use consecutiveErrors and consecutiveGatewayFailure",
            )


@relation(
    "serverless-ejects",
    ADVISORY,
    "A backend over several regions leaves a failing region out.",
    f"{sources.SERVERLESS}: without it errors are served by the nearest region",
    BACKEND,
)
def ejects(record: Record, world: World) -> Iterator[Fault]:
    field = record.at("outlierDetection")
    groups = groups_of(record, world)
    if field.empty and len(groups) > 1:
        yield field.fault(
            f"errors of one of {len(groups)} regions reach its clients until it heals",
            "set consecutiveErrors, interval and baseEjectionTime",
        )


@relation(
    "backend-spans-regions",
    ADVISORY,
    "One backend service holds the groups of all regions.",
    f"{sources.PEER}: one backend service a region, no failover",
    BACKEND,
)
def spans_regions(record: Record, world: World) -> Iterator[Fault]:
    mine = {g.at("region").text for g in groups_of(record, world)} - {None}
    groups = [g for g in world.of(NEG) if g.at("cloudRun").given]
    every = {g.at("region").text for g in groups} - {None}
    if len(mine) == 1 and len(every) > 1:
        yield record.at("backends").fault(
            f"{len(every)} regions have a group, {mine.pop()} alone is here: nothing "
            "fails over",
            "put the groups of all regions into one backend service",
        )


@rule(
    "backend-iap-without-cdn",
    MANDATORY,
    "Identity-Aware Proxy and Cloud CDN exclude each other.",
    sources.SERVERLESS,
    BACKEND,
)
def iap_without_cdn(record: Record) -> Iterator[Fault]:
    field = record.at("iap.enabled")
    for other in ("enableCdn", "outlierDetection"):
        beside = record.at(other)
        if field.is_(True) and beside.given and not beside.is_(False):
            yield field.fault(
                f"{beside.path} is there too, Google refuses both together",
                "authorise in the service, or leave the other out",
            )


@rule(
    "backend-armor-attached",
    MANDATORY,
    "An external backend stands behind Cloud Armor.",
    f"{sources.COMPUTE}: attached by the field securityPolicy",
    BACKEND,
)
def armor_attached(record: Record) -> Iterator[Fault]:
    field = record.at("securityPolicy")
    scheme = record.at("loadBalancingScheme")
    external = scheme.absent or scheme.text in EXTERNAL
    if field.empty and external:
        yield field.fault("nothing limits what one address sends", "pass its policy")


@rule(
    "backend-managed-scheme",
    ADVISORY,
    "The load balancer is the managed one, not the classic.",
    f"{sources.COMPUTE}: EXTERNAL is the classic one",
    BACKEND,
    FORWARDING,
)
def managed_scheme(record: Record) -> Iterator[Fault]:
    field = record.at("loadBalancingScheme")
    if field.is_("EXTERNAL"):
        yield field.fault(
            "the classic one has no outlier detection, and URL maps of 64 KB",
            "set EXTERNAL_MANAGED",
        )


@rule(
    "backend-log-sample",
    ADVISORY,
    "At most a tenth of the requests is logged.",
    f"{sources.COMPUTE}: all requests when unset",
    BACKEND,
)
def log_sample(record: Record) -> Iterator[Fault]:
    field = record.at("logConfig.sampleRate")
    on = record.at("logConfig.enable").is_(True)
    if on and (field.absent or (field.number or 0) > SAMPLE):
        yield field.fault(
            f"{SAMPLE} is plenty at this load, all is logged when unset",
            "set 0.01, errors are counted by metrics",
        )


@rule(
    "neg-no-fixed-name",
    MANDATORY,
    "An endpoint group has no fixed name.",
    f"{sources.PROVIDER}: every change replaces it, in use it cannot go first",
    NEG,
)
def neg_no_fixed_name(record: Record) -> Iterator[Fault]:
    field = record.at("name")
    text = field.text
    if text is not None and not AUTO_NAME.fullmatch(text.removeprefix(record.name)):
        yield field.fault(
            "its successor cannot stand beside it, and in use it cannot be deleted",
            "leave the name out: Pulumi adds a hash",
        )


@rule(
    "neg-no-mask-or-tag",
    ADVISORY,
    "An endpoint group names its service, without a mask or a tag.",
    "Digest of Google Cloud release notes, Cloud Run service health, 2026-02",
    NEG,
)
def neg_no_mask(record: Record) -> Iterator[Fault]:
    for key in ("urlMask", "tag"):
        field = record.at(f"cloudRun.{key}")
        if field.given and not field.empty:
            yield field.fault(
                "health of the service does not steer traffic then",
                "name the service alone",
            )
