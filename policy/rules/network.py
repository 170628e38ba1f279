"""Networks, subnets, peering, connectors and zones."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from policy import sources
from policy.field import Fault, Field
from policy.record import Record
from policy.rule import ADVISORY, ANY, MANDATORY, relation, rule
from policy.rules.kinds import CONNECTOR, NETWORK, PEERING, SERVICE, SUBNET, WORKERS
from policy.world import World

SMALLEST_SUBNET = 26
ADDRESSES_AN_INSTANCE = 2
"""In steady state; twice as many while a revision is rolled out."""
RESERVED = 4
"""Addresses of every subnet that Google keeps."""
CONNECTOR_PREFIX = 28
CONNECTOR_NAME = 21
PEERING_SERVICE = "servicenetworking.googleapis.com"
ZONES = {"us-central1": "abcf", "us-east1": "bcd", "europe-west1": "bcd"}
"""Zones of the regions whose zones are not a, b and c."""
ZONE = re.compile(r"([a-z]+-[a-z]+[0-9]{1,2})-([a-z])")


def _network(field: Field) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(field.text or "", strict=False)
    except ValueError:
        return None


@rule(
    "network-no-auto-subnets",
    MANDATORY,
    "Subnets are declared, one a region.",
    f"{sources.COMPUTE}: a /20 in every region when unset",
    NETWORK,
)
def no_auto_subnets(record: Record) -> Iterator[Fault]:
    field = record.at("autoCreateSubnetworks")
    if field.is_not(False):
        yield field.fault(
            "Google makes a /20 in every region, in a range it chose, also when unset",
            "set it to false and declare the subnets",
        )


@relation(
    "subnet-size",
    MANDATORY,
    "A subnet of Cloud Run is a /26 or larger.",
    sources.RUN_NETWORK,
    SUBNET,
)
def subnet_size(record: Record, world: World) -> Iterator[Fault]:
    field = record.at("ipCidrRange")
    found = _network(field)
    if found and found.prefixlen > SMALLEST_SUBNET and _tenants(record, world):
        yield field.fault(
            f"/{SMALLEST_SUBNET} or larger is possible for Cloud Run",
            "use a larger range of 100.64.0.0/10",
        )


@relation(
    "subnet-holds-instances",
    MANDATORY,
    "A subnet has two addresses for every instance that may run in it.",
    f"{sources.RUN_NETWORK}: two an instance, four while a revision rolls out",
    SUBNET,
)
def subnet_holds_instances(record: Record, world: World) -> Iterator[Fault]:
    field = record.at("ipCidrRange")
    found = _network(field)
    instances = sum(_ceiling(tenant) for tenant in _tenants(record, world))
    wanted = round(instances) * ADDRESSES_AN_INSTANCE
    if found and wanted > found.num_addresses - RESERVED:
        prefix = 32 - (wanted + RESERVED - 1).bit_length()
        yield field.fault(
            f"{found.num_addresses:,} addresses, {wanted:,} are needed "
            f"({round(instances):,} instances x {ADDRESSES_AN_INSTANCE})",
            f"use /{prefix} or larger, or a lower maximum of instances",
        )


def _tenants(subnet: Record, world: World) -> list[Record]:
    """Services and worker pools whose instances take addresses of a subnet."""
    return [
        r
        for r in world.of(SERVICE, WORKERS)
        if subnet in _subnets(r, world) and not r.at("template.vpcAccess").empty
    ]


def _subnets(service: Record, world: World) -> list[Record]:
    path = "template.vpcAccess.networkInterfaces.subnetwork"
    return world.meant_by(service, path, SUBNET)


def _ceiling(service: Record) -> float:
    """Most instances; 0 where it is not known."""
    paths = (
        "scaling.manualInstanceCount",
        "template.scaling.maxInstanceCount",
        "scaling.maxInstanceCount",
    )
    return next((n for p in paths if (n := service.at(p).number)), 0.0)


@rule(
    "subnet-google-access",
    ADVISORY,
    "Instances reach Google's APIs without a NAT.",
    sources.COMPUTE,
    SUBNET,
)
def google_access(record: Record) -> Iterator[Fault]:
    field = record.at("privateIpGoogleAccess")
    if field.is_not(True) and record.at("purpose").is_not("REGIONAL_MANAGED_PROXY"):
        yield field.fault(
            "requests to Pub/Sub and Redis's API need a NAT then", "set it to true"
        )


@rule(
    "peering-service-name",
    MANDATORY,
    "Private services access is peered with servicenetworking.googleapis.com.",
    sources.PRIVATE_ACCESS,
    PEERING,
)
def peering_service(record: Record) -> Iterator[Fault]:
    field = record.at("service")
    if field.text is not None and field.text != PEERING_SERVICE:
        yield field.fault("no such producer", f"set {PEERING_SERVICE}")


@relation(
    "peering-once",
    MANDATORY,
    "A network has one connection to a producer.",
    f"{sources.PRIVATE_ACCESS}: further ranges go into the same connection",
    PEERING,
)
def peering_once(record: Record, world: World) -> Iterator[Fault]:
    for other in world.of(PEERING):
        if other is record:
            return
        networks = (record.at("network"), other.at("network"))
        same = networks[0].text is not None and networks[0].text == networks[1].text
        shared = set(world.used_by(record, "network", NETWORK)) & set(
            world.used_by(other, "network", NETWORK)
        )
        alike = record.at("service").text == other.at("service").text
        if alike and (same or (networks[0].unknown and shared)):
            yield record.at("network").fault(
                f"{other.name} connects it already, a second one is refused",
                "add the range to reserved_peering_ranges there",
            )


@rule(
    "peering-left-behind",
    ADVISORY,
    "A destroy does not wait for producers to let go of a peering.",
    f"{sources.PROVIDER}: a deleted SQL server holds it for days",
    PEERING,
)
def peering_left(record: Record) -> Iterator[Fault]:
    field = record.at("deletionPolicy")
    if field.is_not("ABANDON"):
        yield field.fault("a destroy fails for days", "set ABANDON")


@rule(
    "connector-name",
    MANDATORY,
    "A connector's name has less than 21 characters, a hyphen counting as two.",
    sources.VPC_ACCESS,
    CONNECTOR,
)
def connector_name(record: Record) -> Iterator[Fault]:
    field = record.at("name")
    text = field.text or ""
    length = len(text) + text.count("-")
    if length >= CONNECTOR_NAME:
        yield field.fault(
            f"less than {CONNECTOR_NAME} are possible, {length} counted",
            "shorten it, or use direct egress, which has no name",
        )


@rule(
    "connector-range",
    MANDATORY,
    "A connector has a /28 of its own.",
    sources.VPC_ACCESS,
    CONNECTOR,
)
def connector_range(record: Record) -> Iterator[Fault]:
    field = record.at("ipCidrRange")
    found = _network(field)
    if found and found.prefixlen != CONNECTOR_PREFIX:
        yield field.fault(f"/{CONNECTOR_PREFIX} alone is possible", "use a free /28")


@rule(
    "connector-range-or-subnet",
    MANDATORY,
    "A connector has a range or a subnet.",
    sources.VPC_ACCESS,
    CONNECTOR,
)
def range_or_subnet(record: Record) -> Iterator[Fault]:
    field = record.at("ipCidrRange")
    subnet = record.at("subnet")
    if field.given and not field.empty and subnet.given and not subnet.empty:
        yield field.fault("a subnet is given too, one is possible", "leave it out")


@rule(
    "zone-exists",
    MANDATORY,
    "A zone is one that its region has.",
    "Google, regions and zones, known and not re-read, 2026-11",
    ANY,
)
def zone_exists(record: Record) -> Iterator[Fault]:
    keys = ("zone", "locationId", "alternativeLocationId")
    fields = [record.at(key) for key in keys]
    fields += [
        record.at(f"settings.locationPreference.{key}")
        for key in ("zone", "secondaryZone")
    ]
    for field in fields:
        found = ZONE.fullmatch(field.text or "")
        if not found:
            continue
        letters = ZONES.get(found[1], "abc")
        if found[1] in ZONES and found[2] not in letters:
            yield field.fault(
                f"{found[1]} has the zones {', '.join(letters)}",
                "choose one of them, or let Google choose",
            )
