"""Arithmetic that quantities and checks share: shares, tiers, quota, subnets."""

import ipaddress
import math
from collections.abc import Mapping

from topology import limits
from topology.blocks import QuotaSettings
from topology.catalogue import Catalogue, TierSettings


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


def quota(catalogue: Catalogue, name: str) -> QuotaSettings:
    """Quota granted in a region."""
    return catalogue.regions[name].quota or catalogue.quota


def smallest_prefix(needed: int) -> int:
    """Longest prefix whose subnet has room for so many addresses."""
    bits = math.ceil(math.log2(needed + limits.SUBNET_RESERVED))
    return min(limits.SUBNET_LONGEST_PREFIX, 32 - bits)


def subnet_size(cidr: str) -> int:
    """Addresses of a range, those that Google keeps included."""
    return ipaddress.ip_network(cidr).num_addresses


def usable_addresses(cidr: str) -> int:
    """Addresses of a subnet that instances can take."""
    return subnet_size(cidr) - limits.SUBNET_RESERVED
