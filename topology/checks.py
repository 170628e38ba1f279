"""Rules over several keys of a catalogue. Each reports place, value, limit, remedy."""

import ipaddress
import math
from collections.abc import Callable, Iterator
from itertools import combinations

from topology import capacity, checks_world, facts, limits, names
from topology.blocks import DatabaseEdition
from topology.catalogue import Catalogue, Role
from topology.errors import Problem
from topology.quantities import registry
from topology.trace import Model

Report = tuple[str, str, str]
"""Key, message, remedy."""


def check(
    catalogue: Catalogue,
    file: str,
    line_of: Callable[[str], int],
    environment: str | None = None,
) -> list[Problem]:
    """Every problem of a catalogue whose values are each in range."""
    reports = list(_environment(catalogue, environment))
    reports += _shape(catalogue)
    unknown = list(_regions(catalogue))
    reports += unknown
    tiers = list(_tiers(catalogue))
    reports += tiers
    if not tiers:
        reports += _ranges(catalogue)
        reports += _shares(catalogue)
        reports += _instances(catalogue)
    reports += _partners(catalogue)
    reports += checks_world.find(catalogue)
    reports += _names(catalogue)
    return [
        Problem(file=file, line=line_of(key), key=key, message=message, remedy=remedy)
        for key, message, remedy in reports
    ]


def _environment(catalogue: Catalogue, expected: str | None) -> Iterator[Report]:
    if expected and catalogue.environment != expected:
        yield (
            "environment",
            f"{catalogue.environment!r} is not the file's name {expected!r}",
            f"write {expected}",
        )


def _shape(catalogue: Catalogue) -> Iterator[Report]:
    service = catalogue.service
    if service.cpu not in limits.CPU_CHOICES:
        allowed = ", ".join(str(choice) for choice in limits.CPU_CHOICES)
        yield (
            "service.cpu",
            f"{service.cpu} vCPU is not one of {allowed}",
            f"use one of {allowed}",
        )
        return
    low, high = limits.MEMORY_BOUNDS_GIB[service.cpu]
    if not low <= service.memory_gib <= high:
        yield (
            "service.memory_gib",
            f"{service.memory_gib} GiB is outside {low}-{high} GiB for "
            f"{service.cpu} vCPU",
            f"use {low} to {high}, or another cpu",
        )
    database = catalogue.database
    if database.pooled_connections is not None and (
        database.edition is not DatabaseEdition.ENTERPRISE_PLUS
    ):
        yield (
            "database.pooled_connections",
            f"{database.pooled_connections:,} given, but Google's pooler takes edition "
            f"ENTERPRISE_PLUS and not {database.edition}",
            "set database.edition to ENTERPRISE_PLUS, or delete the key",
        )
    waits = catalogue.messaging
    if waits.max_backoff_seconds < waits.min_backoff_seconds:
        yield (
            "messaging.max_backoff_seconds",
            f"{waits.max_backoff_seconds} s is below min_backoff_seconds "
            f"{waits.min_backoff_seconds} s",
            f"use {waits.min_backoff_seconds} or more",
        )


def _regions(catalogue: Catalogue) -> Iterator[Report]:
    known = facts.places()
    if not catalogue.regions:
        yield "regions", "no region is declared", "declare at least one hub"
    for name in catalogue.regions:
        if name not in known:
            yield (
                f"regions.{name}",
                "unknown region",
                checks_world.nearest(name, list(known)),
            )


def _tiers(catalogue: Catalogue) -> Iterator[Report]:
    for name, region in catalogue.regions.items():
        if region.tier not in catalogue.tiers:
            yield (
                f"regions.{name}.tier",
                f"tier {region.tier} is not described",
                f"add tiers.{region.tier}",
            )


def _ranges(catalogue: Catalogue) -> Iterator[Report]:
    """Subnets: valid, inside the cells' range, apart from each other, large enough."""
    parsed: dict[str, ipaddress.IPv4Network] = {}
    places = {
        "network.cells": catalogue.network.cells,
        "network.services": catalogue.network.services,
    }
    places |= {f"regions.{n}.cidr": r.cidr for n, r in catalogue.regions.items()}
    for key, text in places.items():
        try:
            parsed[key] = ipaddress.IPv4Network(text)
        except ValueError:
            yield key, f"{text} is not an IPv4 range", _as_range(text)
    yield from _overlaps(parsed)
    cells = parsed.get("network.cells")
    model = Model(catalogue=catalogue, registry=registry())
    for name in catalogue.regions:
        subnet = parsed.get(f"regions.{name}.cidr")
        if subnet is None:
            continue
        if cells is not None and not subnet.subnet_of(cells):
            yield (
                f"regions.{name}.cidr",
                f"{subnet} lies outside network.cells {cells}",
                f"choose a free range inside {cells}",
            )
        yield from _room(model, name, subnet)


def _as_range(text: str) -> str:
    try:
        return f"did you mean {ipaddress.IPv4Network(text, strict=False)}?"
    except ValueError:
        return "write four numbers up to 255 and a prefix, such as 100.64.0.0/20"


def _overlaps(parsed: dict[str, ipaddress.IPv4Network]) -> Iterator[Report]:
    apart = {key: net for key, net in parsed.items() if key != "network.cells"}
    for (key, net), (other, taken) in combinations(apart.items(), 2):
        if net.overlaps(taken):
            place, first = (other, key)
            relation = "is the same as" if net == taken else "overlaps"
            yield (
                place,
                f"{apart[place]} {relation} {first} {apart[first]}",
                "give each region a range of its own",
            )


def _room(model: Model, name: str, subnet: ipaddress.IPv4Network) -> Iterator[Report]:
    needed = model.value("addresses_max", name)
    maximum = needed // limits.ADDRESSES_PER_INSTANCE
    rollout = model.value("addresses_rollout", name)
    size = subnet.num_addresses
    prefix = capacity.smallest_prefix(rollout)
    if size - limits.SUBNET_RESERVED < needed:
        yield (
            f"regions.{name}.cidr",
            f"{subnet} holds {size:,} addresses, {needed:,} are needed "
            f"({maximum:,} instances x {limits.ADDRESSES_PER_INSTANCE}; "
            f"{rollout:,} while a revision rolls out)",
            f"use /{prefix} or larger",
        )
    elif subnet.prefixlen > limits.SUBNET_LONGEST_PREFIX:
        yield (
            f"regions.{name}.cidr",
            f"{subnet} holds {size:,} addresses, Direct VPC egress takes "
            f"/{limits.SUBNET_LONGEST_PREFIX} or larger",
            f"use /{prefix} or larger",
        )


def _shares(catalogue: Catalogue) -> Iterator[Report]:
    given = {n: capacity.share_given(catalogue, n) for n in catalogue.regions}
    total = math.fsum(share for share in given.values() if share is not None)
    open_regions = [name for name, share in given.items() if share is None]
    if not given:
        return
    if not open_regions and not math.isclose(total, 1.0, abs_tol=1e-6):
        yield (
            "regions",
            f"traffic shares of {len(given)} regions add up to {total:.6g}, "
            "they must add up to 1",
            f"change shares by {1 - total:+.6g} in total, or leave traffic_share "
            "out of a region to give it the rest",
        )
    elif open_regions and total >= 1.0:
        yield (
            f"regions.{open_regions[0]}",
            f"no traffic_share, and the others already add up to {total:.6g}",
            "lower the others below 1 or state this one",
        )


def _instances(catalogue: Catalogue) -> Iterator[Report]:
    service = catalogue.service
    if service.grpc_max_instances < service.grpc_min_instances:
        yield (
            "service.grpc_max_instances",
            f"grpc_max_instances {service.grpc_max_instances:,} is below "
            f"grpc_min_instances {service.grpc_min_instances:,}",
            f"use grpc_max_instances {service.grpc_min_instances:,} or more, or lower "
            "grpc_min_instances",
        )
    model = Model(catalogue=catalogue, registry=registry())
    for name in catalogue.regions:
        minimum = model.value("instances", name)
        maximum = model.value("instances_max", name)
        if maximum < minimum:
            region = catalogue.regions[name]
            key = f"regions.{name}"
            if region.max_instances is not None:
                key += ".max_instances"
            elif region.min_instances is not None:
                key += ".min_instances"
            else:
                key = f"tiers.{region.tier}.max_instances"
            yield (
                key,
                f"max_instances {maximum:,} is below min_instances "
                f"{minimum:,} in {name}",
                f"use max_instances {minimum:,} or more, or lower min_instances",
            )


def _partners(catalogue: Catalogue) -> Iterator[Report]:
    """Every region writes to a hub, and copies the database of a hub."""
    hubs = [n for n, r in catalogue.regions.items() if r.tier is Role.HUB]
    for name, region in catalogue.regions.items():
        place = f"regions.{name}"
        if region.tier is Role.HUB:
            for key in ("hub", "replica_of"):
                if getattr(region, key) is not None:
                    yield (
                        f"{place}.{key}",
                        f"{getattr(region, key)} given, but {name} is a hub itself",
                        "delete the key, or make the region regional",
                    )
            continue
        if region.hub is None:
            yield place, "a regional region has no hub", f"add hub: {_one_of(hubs)}"
        for key in ("hub", "replica_of"):
            partner = getattr(region, key)
            if partner is not None and partner not in hubs:
                yield f"{place}.{key}", *_no_hub(catalogue, name, key, hubs)
    yield from _origins(catalogue, hubs)


def _origins(catalogue: Catalogue, hubs: list[str]) -> Iterator[Report]:
    """A log has one leader."""
    leads: dict[str, str] = {}
    for name in sorted(hubs, key=lambda hub: catalogue.regions[hub].origin is not None):
        origin = catalogue.regions[name].origin or name
        if origin not in facts.places():
            yield (
                f"regions.{name}.origin",
                f"{origin} is no region of Google Cloud",
                checks_world.nearest(origin, list(facts.places())),
            )
        elif origin in leads:
            yield (
                f"regions.{name}.origin",
                f"{origin} given, but {leads[origin]} leads that log already",
                "name a hub that was lost, or delete the key",
            )
        leads.setdefault(origin, name)
    for name, region in catalogue.regions.items():
        if region.origin is not None and region.tier is not Role.HUB:
            yield (
                f"regions.{name}.origin",
                f"{region.origin} given, but {name} holds no primary",
                "delete the key, or make the region a hub",
            )


def _no_hub(
    catalogue: Catalogue, name: str, key: str, hubs: list[str]
) -> tuple[str, str]:
    """Why a region's partner is none: itself, a cycle, or no hub."""
    partner = str(getattr(catalogue.regions[name], key))
    if partner == name:
        return f"{name} names itself", f"name {_one_of(hubs)}"
    chain = [name]
    while partner in catalogue.regions and partner not in chain:
        chain.append(partner)
        partner = str(getattr(catalogue.regions[partner], key))
    if partner == name:
        path = " -> ".join((*chain, name))
        return f"{path} is a cycle, no database would be first", (
            f"name {_one_of(hubs)} in one of them"
        )
    given = str(getattr(catalogue.regions[name], key))
    return f"{given} is no hub of this catalogue", checks_world.nearest(given, hubs)


def _one_of(hubs: list[str]) -> str:
    return " or ".join(hubs) or "one, after declaring a hub"


def _names(catalogue: Catalogue) -> Iterator[Report]:
    """Lengths of the physical names of every region."""
    for name in catalogue.regions:
        for fault in names.faults(catalogue, name):
            yield "prefix", fault, "use a shorter prefix or project"
