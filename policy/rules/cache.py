"""Memorystore for Redis."""

from __future__ import annotations

from collections.abc import Iterator

from policy import sources
from policy.field import Fault
from policy.record import Record
from policy.rule import ADVISORY, MANDATORY, rule
from policy.rules.kinds import REDIS, REDIS_CLUSTER, VALKEY

LARGEST_GB = 300
REPLICAS = 5
SETTINGS = {
    "activedefrag",
    "lazyfree-lazy-eviction",
    "lazyfree-lazy-expire",
    "lazyfree-lazy-user-del",
    "lazyfree-lazy-user-flush",
    "lfu-decay-time",
    "lfu-log-factor",
    "maxmemory-clients",
    "maxmemory-gb",
    "maxmemory-policy",
    "notify-keyspace-events",
    "stream-node-max-bytes",
    "stream-node-max-entries",
}
"""Parameters of Redis that Memorystore lets one set."""


@rule(
    "redis-auth",
    MANDATORY,
    "Redis asks for a password.",
    f"{sources.REDIS}: off when unset",
    REDIS,
)
def auth(record: Record) -> Iterator[Fault]:
    field = record.at("authEnabled")
    if field.is_not(True):
        yield field.fault(
            "whoever is in the network reads and deletes everything, off when unset",
            "set it to true and read the string from the API at run time",
        )


@rule(
    "redis-tls",
    MANDATORY,
    "Redis speaks TLS.",
    f"{sources.REDIS}: off when unset",
    REDIS,
)
def tls(record: Record) -> Iterator[Fault]:
    field = record.at("transitEncryptionMode")
    if field.is_not("SERVER_AUTHENTICATION"):
        yield field.fault(
            "passwords and data cross the network in clear, and switching it on later "
            "replaces the instance",
            "set SERVER_AUTHENTICATION",
        )


@rule(
    "redis-connect-mode",
    MANDATORY,
    "Redis is reached by private services access.",
    f"{sources.PROVIDER}: DIRECT_PEERING when unset, a change replaces",
    REDIS,
)
def connect_mode(record: Record) -> Iterator[Fault]:
    field = record.at("connectMode")
    if field.is_not("PRIVATE_SERVICE_ACCESS"):
        yield field.fault(
            "DIRECT_PEERING, also when unset, is reached from one network alone, and "
            "changing it later replaces the instance",
            "set PRIVATE_SERVICE_ACCESS",
        )


@rule(
    "redis-settings",
    MANDATORY,
    "Redis takes the parameters that Memorystore lists.",
    sources.REDIS,
    REDIS,
)
def settings(record: Record) -> Iterator[Fault]:
    for key, field in record.root.entries("redisConfigs"):
        if key not in SETTINGS:
            yield field.fault(
                f"Memorystore takes {', '.join(sorted(SETTINGS))}", "leave it out"
            )


@rule(
    "redis-memory-range",
    MANDATORY,
    "An instance has 1 to 300 GB.",
    sources.REDIS_PAGE,
    REDIS,
)
def memory_range(record: Record) -> Iterator[Fault]:
    field = record.at("memorySizeGb")
    if field.outside(1, LARGEST_GB):
        yield field.fault(
            f"1 to {LARGEST_GB} GB are possible",
            "use a Redis cluster, which has shards",
        )


@rule(
    "redis-replicas",
    MANDATORY,
    "Replicas are counted with read replicas switched on.",
    f"{sources.REDIS}: 1 without, 1 to 5 with read replicas",
    REDIS,
)
def replicas(record: Record) -> Iterator[Fault]:
    count = record.at("replicaCount")
    mode = record.at("readReplicasMode")
    if mode.unknown:
        return
    on = mode.is_("READ_REPLICAS_ENABLED")
    most = REPLICAS if on else 1
    if count.outside(1 if on else 0, most):
        yield count.fault(
            f"{most} possible while readReplicasMode is {mode.shown()}",
            "set READ_REPLICAS_ENABLED before the instance is created, at most 5",
        )


@rule(
    "redis-two-zones",
    ADVISORY,
    "Redis stands in two zones.",
    sources.REDIS_PAGE,
    REDIS,
)
def two_zones(record: Record) -> Iterator[Fault]:
    field = record.at("tier")
    if field.is_not("STANDARD_HA"):
        yield field.fault(
            "one zone alone, BASIC when unset: maintenance empties it, and changing "
            "it later replaces the instance",
            "set STANDARD_HA",
        )


@rule(
    "redis-cluster-replicas",
    MANDATORY,
    "A shard of a cluster has up to five replicas.",
    "Google, Memorystore for Redis Cluster, 2026-11",
    REDIS_CLUSTER,
    VALKEY,
)
def cluster_replicas(record: Record) -> Iterator[Fault]:
    field = record.at("replicaCount")
    if field.outside(0, REPLICAS):
        yield field.fault(f"0 to {REPLICAS} are possible", "add shards instead")


GUARDED = {
    REDIS_CLUSTER: {
        "authorizationMode": "AUTH_MODE_IAM_AUTH",
        "transitEncryptionMode": "TRANSIT_ENCRYPTION_MODE_SERVER_AUTHENTICATION",
    },
    VALKEY: {
        "authorizationMode": "IAM_AUTH",
        "transitEncryptionMode": "SERVER_AUTHENTICATION",
    },
}
"""The same two settings as each product spells them."""


@rule(
    "redis-cluster-guarded",
    MANDATORY,
    "A cluster asks who comes and speaks TLS.",
    f"{sources.PROVIDER}: both off when unset, a change replaces",
    REDIS_CLUSTER,
    VALKEY,
)
def cluster_guarded(record: Record) -> Iterator[Fault]:
    for key, value in GUARDED[record.token].items():
        field = record.at(key)
        if field.is_not(value):
            yield field.fault(
                "open to the network, also when unset; changing it later replaces "
                "the cluster",
                f"set {value}",
            )
