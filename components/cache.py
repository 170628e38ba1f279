"""Memorystore for Redis of one region."""

from dataclasses import dataclass

import pulumi
from pulumi_gcp import redis

from components._base import Component, coerce, protection
from topology import names
from topology.catalogue import Durability

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
    """Redis version, such as REDIS_7_2."""
    eviction: str
    """What Redis does when it is full."""
    transit_encryption: bool
    """TLS between clients and Redis."""
    network: pulumi.Input[str]
    """Network with private services access."""
    durability: Durability | None = None
    """Default GUARDED."""


class CacheTier(Component):
    """Highly available Redis with AUTH and TLS; its secrets are read at run time."""

    host: pulumi.Output[str]
    """Address of the primary endpoint."""
    port: pulumi.Output[int]
    """Its port."""
    instance: pulumi.Output[str]
    """Resource name, by which the AUTH string is asked for."""
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
        instance = redis.Instance(
            f"{name}-instance",
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
        self.finish()
