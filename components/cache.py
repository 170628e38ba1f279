"""Memorystore of one region: Redis, Redis Cluster or Valkey."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import redis

from components import _sharded
from components._base import Component, Protection, coerce, protection
from components._endpoints import connection_policy
from components._sharded import CacheEngine
from topology import names
from topology.catalogue import Durability

REPLICAS = 1
"""Of each shard of a sharded engine: without one there is no service level."""

TRANSIT = {True: "SERVER_AUTHENTICATION", False: "DISABLED"}


@dataclass(frozen=True, kw_only=True)
class CacheTierArgs:
    """In-region cache and feed in front of the vector store."""

    region: str
    """Region the cache serves; fixes its name."""
    prefix: str
    """Start of the name."""
    memory_gib: int
    """Usable memory."""
    version: str
    """Such as REDIS_7_2 or VALKEY_8_0; Redis Cluster has only one and takes none."""
    eviction: str
    """What Redis does when it is full."""
    transit_encryption: bool
    """TLS between clients and Redis."""
    network: pulumi.Input[str]
    """Network with private services access."""
    durability: Durability | None = None
    """Default GUARDED."""
    engine: CacheEngine | None = None
    """Default INSTANCE, the only one that Meridian's own service speaks to."""
    node_type: str | None = None
    """Of a sharded engine, such as highmem-xlarge; shards are derived from it. Default
    highmem-medium."""
    subnets: Sequence[pulumi.Input[str]] | None = None
    """Subnets that a sharded engine's endpoint takes its addresses from."""
    project: str | None = None
    """Project of the network; Valkey asks for it."""


class CacheTier(Component):
    """Highly available cache with authorization and TLS; no secret is an input."""

    host: pulumi.Output[str]
    """Address of the primary or discovery endpoint."""
    port: pulumi.Output[int]
    """Its port."""
    instance: pulumi.Output[str]
    """Resource name, by which an instance's AUTH string is asked for."""
    tls: pulumi.Output[str]
    """`1` when the server presents a certificate, else `0`."""

    def __init__(
        self,
        name: str,
        args: CacheTierArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("meridian:index:CacheTier", name, opts)
        args = coerce(CacheTierArgs, args)
        guard = protection(args.durability)
        engine = args.engine or CacheEngine.INSTANCE
        if engine is CacheEngine.INSTANCE:
            self._single(args, guard)
        else:
            policy = self._connection_policy(args, _sharded.CLASSES[engine])
            make = self._cluster if engine is CacheEngine.CLUSTER else self._valkey
            make(args, guard, policy)
        self.finish()

    def _single(self, args: CacheTierArgs, guard: Protection) -> None:
        instance = redis.Instance(
            f"{self.stem}-instance",
            name=names.regional(args.prefix, args.region),
            region=args.region,
            tier="STANDARD_HA",
            memory_size_gb=args.memory_gib,
            redis_version=args.version,
            redis_configs={"maxmemory-policy": args.eviction},
            # The default, direct peering, cannot be changed without a replacement.
            connect_mode="PRIVATE_SERVICE_ACCESS",
            authorized_network=args.network,
            auth_enabled=True,
            transit_encryption_mode=TRANSIT[args.transit_encryption],
            deletion_protection=guard.api,
            deletion_policy=guard.policy,
            opts=self.child(**guard.options()),
        )
        self.host = instance.host
        self.port = instance.port
        self.instance = instance.id
        self.tls = instance.server_ca_certs.apply(lambda found: "1" if found else "0")

    def _connection_policy(
        self, args: CacheTierArgs, service_class: str
    ) -> pulumi.CustomResource:
        if not args.subnets:
            raise ValueError(
                f"subnets: none given: the {args.engine} engine takes its addresses "
                "from subnets of the region: name one, or use engine: instance"
            )
        return connection_policy(
            self, service_class, args.prefix, args.region, args.network, args.subnets
        )

    def _cluster(
        self,
        args: CacheTierArgs,
        guard: Protection,
        policy: pulumi.CustomResource,
    ) -> None:
        node = args.node_type or _sharded.NODE
        made = redis.Cluster(
            f"{self.stem}-cluster",
            name=names.regional(args.prefix, args.region),
            region=args.region,
            shard_count=_sharded.shards(args.memory_gib, node),
            replica_count=REPLICAS,
            psc_configs=[{"network": args.network}],
            redis_configs={"maxmemory-policy": args.eviction},
            zone_distribution_config={"mode": "MULTI_ZONE"},
            deletion_protection_enabled=guard.api,
            deletion_policy=guard.policy,
            opts=self.child(depends_on=[policy], **guard.options()),
            **_sharded.cluster(node, args.transit_encryption),
        )
        self.host = made.discovery_endpoints.apply(lambda found: found[0].address)
        self.port = made.discovery_endpoints.apply(lambda found: found[0].port)
        self._named(made.id, args)

    def _valkey(
        self,
        args: CacheTierArgs,
        guard: Protection,
        policy: pulumi.CustomResource,
    ) -> None:
        from pulumi_gcp import memorystore

        if args.project is None:
            raise ValueError(
                "project: none given: Valkey's endpoint names the project of the "
                "network: pass it, or use engine: cluster"
            )
        node = args.node_type or _sharded.NODE
        made = memorystore.Instance(
            f"{self.stem}-valkey",
            instance_id=names.regional(args.prefix, args.region),
            location=args.region,
            mode="CLUSTER",
            engine_version=args.version,
            engine_configs={"maxmemory-policy": args.eviction},
            shard_count=_sharded.shards(args.memory_gib, node),
            replica_count=REPLICAS,
            desired_auto_created_endpoints=[
                {"network": args.network, "project_id": args.project}
            ],
            zone_distribution_config={"mode": "MULTI_ZONE"},
            deletion_protection_enabled=guard.api,
            deletion_policy=guard.policy,
            opts=self.child(depends_on=[policy], **guard.options()),
            **_sharded.valkey(node, args.transit_encryption),
        )
        connection = made.endpoints.apply(lambda found: found[0].connections[0])
        self.host = connection.apply(lambda it: it.psc_auto_connection.ip_address)
        self.port = connection.apply(lambda it: it.psc_auto_connection.port)
        self._named(made.id, args)

    def _named(self, identity: pulumi.Output[str], args: CacheTierArgs) -> None:
        self.instance = identity
        tls = "1" if args.transit_encryption else "0"
        self.tls = pulumi.Output.from_input(tls)
