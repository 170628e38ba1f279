"""From streams to instances, memory, addresses and connections. Pure arithmetic."""

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass

from topology import limits
from topology.blocks import QuotaSettings
from topology.catalogue import Catalogue, TierSettings


@dataclass(frozen=True, kw_only=True)
class Instances:
    """How many service instances a region runs."""

    minimum: int
    """Kept warm."""
    maximum: int
    """Ceiling."""


def shares(catalogue: Catalogue) -> Mapping[str, float]:
    """Each region's share of the streams; regions without one split what is left."""
    given = {name: share_given(catalogue, name) for name in catalogue.regions}
    open_regions = [name for name, share in given.items() if share is None]
    left = 1.0 - sum(share for share in given.values() if share is not None)
    even = left / len(open_regions) if open_regions else 0.0
    return {name: even if share is None else share for name, share in given.items()}


def share_given(catalogue: Catalogue, name: str) -> float | None:
    """The share that the catalogue states for a region, itself or by its tier."""
    region = catalogue.regions[name]
    if region.traffic_share is not None:
        return region.traffic_share
    return catalogue.tiers[region.tier].traffic_share


def tier_of(catalogue: Catalogue, name: str) -> TierSettings:
    """Size class of a region."""
    return catalogue.tiers[catalogue.regions[name].tier]


def streams_per_instance(catalogue: Catalogue) -> int:
    """Standing queries that one instance holds."""
    return catalogue.service.concurrency * catalogue.traffic.streams_per_connection


def instances(catalogue: Catalogue, name: str, share: float) -> Instances:
    """Warm instances and ceiling: as stated, else derived from the streams."""
    region, tier = catalogue.regions[name], tier_of(catalogue, name)
    streams = catalogue.traffic.streams * share
    needed = max(1, math.ceil(round(streams / streams_per_instance(catalogue), 6)))
    minimum = region.min_instances or tier.min_instances or needed
    derived = math.ceil(minimum * catalogue.traffic.burst_multiplier)
    maximum = region.max_instances or tier.max_instances or derived
    return Instances(minimum=minimum, maximum=maximum)


def workers(catalogue: Catalogue, name: str) -> int:
    """Instances of the worker pool."""
    return catalogue.regions[name].workers or tier_of(catalogue, name).workers


def cache_gib(catalogue: Catalogue, name: str) -> int:
    """Memory of the region's Redis."""
    return catalogue.regions[name].cache_gib or tier_of(catalogue, name).cache_gib


def quota(catalogue: Catalogue, name: str) -> QuotaSettings:
    """Quota granted in a region."""
    return catalogue.regions[name].quota or catalogue.quota


def addresses(count: int) -> int:
    """Direct VPC addresses of so many instances in steady state."""
    return count * limits.ADDRESSES_PER_INSTANCE


def addresses_rollout(count: int) -> int:
    """The same while a new revision starts beside the old one."""
    return count * limits.ADDRESSES_PER_INSTANCE_ROLLOUT


def smallest_prefix(needed: int) -> int:
    """Longest prefix whose subnet has room for so many addresses."""
    bits = math.ceil(math.log2(needed + limits.SUBNET_RESERVED))
    return min(limits.SUBNET_LONGEST_PREFIX, 32 - bits)


def usable_addresses(cidr: str) -> int:
    """Addresses of a subnet that instances can take."""
    size = ipaddress.ip_network(cidr).num_addresses
    return size - limits.SUBNET_RESERVED
