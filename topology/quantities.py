"""Demand, instances and what they take: the capacity of a region.

Every function is one output of the model; its decorator has the unit and the formula
in words, and `At` keeps what it asked for. `registry()` holds them all.
"""

import math
from collections.abc import Mapping
from functools import cache

from topology import capacity, facts, quantities_cost, quantities_data
from topology.quantities_data import both
from topology.trace import At, Quantity, Value, regional, worldwide

MIB, GIB = 2**20, 2**30


@cache
def registry() -> Mapping[str, Quantity]:
    """Every quantity by its name."""
    blocks = (globals(), vars(quantities_data), vars(quantities_cost))
    found = [q for block in blocks for q in block.values() if isinstance(q, Quantity)]
    return {quantity.name: quantity for quantity in found}


@regional("share of the streams", "as stated; open regions split what is left evenly")
def share(at: At) -> Value:
    """Regions without a share are why all of them are asked for."""
    stated = at.own("traffic_share")
    return capacity.shares(at.catalogue)[at.place] if stated is None else stated


@regional("standing queries", "streams of the world x share, rounded")
def streams(at: At) -> Value:
    """At baseline."""
    return round(at.key("traffic.streams") * at.value("share"))


@regional("connections", "streams / streams a connection, rounded up")
def connections(at: At) -> Value:
    """Each is one request to Cloud Run for as long as it lives."""
    return math.ceil(at.value("streams") / at.key("traffic.streams_per_connection"))


@regional("queries/s", "searches of the world x share x what the CDN does not answer")
def queries(at: At) -> Value:
    """Single searches that reach an instance."""
    passed = 1 - at.key("edge.cached_share")
    return at.key("traffic.queries_per_second") * at.value("share") * passed


@worldwide("standing queries", "connections an instance x streams a connection")
def streams_per_instance(at: At) -> Value:
    """What one instance holds while its connections are full."""
    per_connection = at.key("traffic.streams_per_connection")
    return at.key("service.concurrency") * per_connection


@worldwide("bytes", "memory - largest collection - runtime")
def memory_for_streams(at: At) -> Value:
    """What is left of an instance's memory for standing queries."""
    whole = at.key("service.memory_gib") * GIB
    taken = at.key("limits.max_collection_bytes") + at.key("service.runtime_mib") * MIB
    return whole - taken


@regional("instances", "streams / streams an instance, rounded up")
def instances_by_connections(at: At) -> Value:
    """Not by connections alone: a region's last connection need not be full."""
    return _ceil(at.value("streams") / at.value("streams_per_instance"))


@regional("instances", "streams x bytes a stream / memory left for streams, rounded up")
def instances_by_memory(at: At) -> Value:
    """Collections are held whole by every instance, streams are spread."""
    needed = at.value("streams") * at.key("service.bytes_per_stream")
    return _ceil(needed / max(1, at.value("memory_for_streams")))


@regional("instances", "searches / searches an instance, rounded up")
def instances_by_queries(at: At) -> Value:
    """Searches share an instance with its streams."""
    return _ceil(at.value("queries") / at.key("service.queries_per_instance"))


@regional("instances", "bytes/s to clients / an instance's bandwidth, rounded up")
def instances_by_bandwidth(at: At) -> Value:
    """What goes to clients; what comes in is far less."""
    bits = at.value("bytes_per_second") * 8
    return _ceil(bits / (at.limit("INSTANCE_GIGABITS") * 1e9))


NEEDS = ("connections", "memory", "queries", "bandwidth")


@regional("instances", "largest need of connections, memory, queries and bandwidth")
def instances_needed(at: At) -> Value:
    """What the demand asks for, whatever the catalogue states."""
    return max(at.value(f"instances_by_{need}") for need in NEEDS)


@regional("", "which of the four needs is the largest")
def binding(at: At) -> Value:
    """The first of equals."""
    needs = {need: at.value(f"instances_by_{need}") for need in NEEDS}
    return max(needs, key=lambda need: needs[need])


@regional("instances", "min_instances where it is stated, else what is needed")
def instances(at: At) -> Value:
    """Kept warm."""
    return at.own("min_instances") or at.value("instances_needed")


@regional("instances", "max_instances where stated, else warm x burst, rounded up")
def instances_max(at: At) -> Value:
    """Ceiling."""
    stated = at.own("max_instances")
    if stated:
        return stated
    return math.ceil(at.value("instances") * at.key("traffic.burst_multiplier"))


@regional("instances", "service.grpc_min_instances")
def grpc_instances(at: At) -> Value:
    """Kept warm of the service that speaks gRPC."""
    return at.key("service.grpc_min_instances")


@regional("instances", "service.grpc_max_instances")
def grpc_instances_max(at: At) -> Value:
    """Its ceiling."""
    return at.key("service.grpc_max_instances")


@regional("workers", "as stated for the region or its tier")
def workers(at: At) -> Value:
    """Instances of the worker pool."""
    return at.own("workers")


@regional("vCPU", "(warm instances of both services + workers) x vCPU of one")
def vcpu(at: At) -> Value:
    """In use at baseline."""
    return _all(at, "instances") * at.key("service.cpu")


@regional("vCPU", "(instances of both services at the ceiling + workers) x vCPU of one")
def vcpu_max(at: At) -> Value:
    """What the quota must hold."""
    return _all(at, "instances_max") * at.key("service.cpu")


@regional("GiB", "(warm instances of both services + workers) x memory of one")
def memory_gib(at: At) -> Value:
    """In use at baseline."""
    return _all(at, "instances") * at.key("service.memory_gib")


@regional(
    "GiB", "(instances of both services at the ceiling + workers) x memory of one"
)
def memory_gib_max(at: At) -> Value:
    """What the quota must hold."""
    return _all(at, "instances_max") * at.key("service.memory_gib")


@regional("addresses", "warm instances of both services x addresses of one")
def addresses(at: At) -> Value:
    """Direct VPC addresses in steady state."""
    return both(at, "instances") * at.limit("ADDRESSES_PER_INSTANCE")


@regional("addresses", "instances of both services at the ceiling x addresses")
def addresses_max(at: At) -> Value:
    """The same at the ceiling."""
    return both(at, "instances_max") * at.limit("ADDRESSES_PER_INSTANCE")


@regional("addresses", "the same x addresses of one in a roll-out")
def addresses_rollout(at: At) -> Value:
    """A new revision starts beside the old one."""
    return both(at, "instances_max") * at.limit("ADDRESSES_PER_INSTANCE_ROLLOUT")


@regional("addresses", "size of the subnet - what Google keeps")
def subnet_addresses(at: At) -> Value:
    """Addresses that instances can take."""
    size = capacity.subnet_size(at.key(f"regions.{at.place}.cidr"))
    return size - at.limit("SUBNET_RESERVED")


@regional("s", "start-up + starts needed / starts a minute x 60")
def seconds_to_ceiling(at: At) -> Value:
    """From the warm instances to the ceiling, once it is ordered."""
    starts = at.value("instances_max") - at.value("instances")
    pace = at.key("scaling.starts_per_minute") / 60
    return at.key("scaling.startup_seconds") + starts / pace


@regional("groups", "1 where the region serves, else 0")
def negs(at: At) -> Value:
    """Serverless network endpoint groups behind the balancer."""
    return int(at.key(f"regions.{at.place}.serving"))


@worldwide("rules", "HTTPS and HTTP x IPv4 and IPv6")
def forwarding_rules(at: At) -> Value:
    """Of the global load balancer."""
    return at.limit("FORWARDING_RULES")


@regional("bytes/s", "streams x bytes a stream + searches x bytes a search")
def bytes_per_second(at: At) -> Value:
    """What the instances send to clients."""
    watched = at.value("streams") * at.key("traffic.bytes_per_stream_second")
    return watched + at.value("queries") * at.key("traffic.bytes_per_query")


@regional("ms", "round trip to the nearest other serving region")
def failover_ms(at: At) -> Value:
    """None where no other region serves."""
    partner = at.value("failover")
    if partner is None:
        return None
    trip = facts.round_trips()[at.place, partner]
    kind = "measured 2022-04" if trip.measured else "estimated by distance"
    source = f"topology/data/round_trips.csv, {kind}"
    return at.fact(f"round trip to {partner}", trip.milliseconds, "ms", source)


@regional("", "as stated, else the nearest other serving region")
def failover(at: At) -> Value:
    """An estimate counts with its error, so it beats no measured region."""
    stated = at.own("failover")
    if stated is not None:
        return stated
    others = [n for n in at.catalogue.regions if at.key(f"regions.{n}.serving")]
    return next(iter(facts.nearest(at.place, others)), None)


def _all(at: At, count: str) -> Value:
    return both(at, count) + at.value("workers")


def _ceil(value: float) -> int:
    """Rounded up, at least one, blind to the last digits of a float."""
    return max(1, math.ceil(round(value, 6)))
