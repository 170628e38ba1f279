"""Redis Cluster and Valkey as plain data: shards and each one's spelling."""

import math
from enum import StrEnum

from components._base import Block


class CacheEngine(StrEnum):
    """Which of Google's three products serves a cache."""

    INSTANCE = "instance"
    """Memorystore for Redis, one node and its stand-by: AUTH string, peered range."""
    CLUSTER = "cluster"
    """Memorystore for Redis Cluster: IAM tokens, Private Service Connect."""
    VALKEY = "valkey"
    """Memorystore for Valkey, sharded: IAM tokens, Private Service Connect."""


NODES = {
    "standard-small": 5.2,
    "highcpu-medium": 10.4,
    "highmem-medium": 10.4,
    "standard-large": 20.8,
    "highmem-xlarge": 46.4,
    "highmem-2xlarge": 88.0,
}
"""Writable memory of a node. Google, Memorystore node specification, read 2026-11; the
shared-core node has no service level and is left out."""

NODE = "highmem-medium"
"""Google's default."""

CLASSES = {
    CacheEngine.CLUSTER: "gcp-memorystore-redis",
    CacheEngine.VALKEY: "gcp-memorystore",
}
"""Service class of the connection policy that must be there first."""


def shards(memory_gib: int, node: str) -> int:
    """Shards that hold the memory; a node type that is not known is named."""
    if node not in NODES:
        raise ValueError(
            f"node_type: {node!r} is no node type with a service level: use one of "
            f"{', '.join(NODES)}"
        )
    return max(1, math.ceil(memory_gib / NODES[node]))


def cluster(node: str, encrypted: bool) -> Block:
    """Settings of Redis Cluster in its own spelling."""
    tls = "SERVER_AUTHENTICATION" if encrypted else "DISABLED"
    return {
        "node_type": f"REDIS_{_shouted(node)}",
        "authorization_mode": "AUTH_MODE_IAM_AUTH",
        "transit_encryption_mode": f"TRANSIT_ENCRYPTION_MODE_{tls}",
    }


def valkey(node: str, encrypted: bool) -> Block:
    """Settings of Valkey in its own spelling."""
    tls = "SERVER_AUTHENTICATION" if encrypted else "TRANSIT_ENCRYPTION_DISABLED"
    return {
        "node_type": _shouted(node),
        "authorization_mode": "IAM_AUTH",
        "transit_encryption_mode": tls,
    }


def _shouted(node: str) -> str:
    return node.upper().replace("-", "_")
