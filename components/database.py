"""Cloud SQL server of one region: a primary, or a read replica of a hub's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_gcp import sql

from components._base import Block, Component, Protection, after, coerce, protection
from components._endpoints import connection_policy
from topology.catalogue import Durability

PORT = 5432

POOLER_PORT = 6432
"""Google's pooler; clients that use it share its connections to the server."""

CPU_PER_POOLER = 4
"""vCPU for each pooler of a server; each keeps pools of its own."""

WITH_SERVER = "ABANDON"
"""A server that is replaced takes its databases and users along. Google refuses to
delete a database that has sessions, or one of a server that is lost."""
OWNER_ROLE = "cloudsqlsuperuser"
"""Owns every database of Cloud SQL; since PostgreSQL 15 nobody else creates tables."""


SERVICE_CLASS = "google-cloud-sql"
"""What a connection policy calls Cloud SQL."""


@dataclass(frozen=True, kw_only=True)
class PrivateEndpoint:
    """An address of the consumer's own subnets. Chosen when the server is made."""

    prefix: str
    """Start of the connection policy's name."""
    project: str
    """Project of the network: the only consumer."""
    subnets: Sequence[pulumi.Input[str]]
    """Subnets of the region that the endpoint takes its address from."""


@dataclass(frozen=True, kw_only=True)
class DatabaseArgs:
    """One PostgreSQL server."""

    region: str
    """Where it runs."""
    instance: str
    """Instance name, generation included: a deleted name stays reserved for a week."""
    version: str
    """Such as POSTGRES_17."""
    edition: str
    """Always given: from version 16 on the default refuses custom shapes."""
    cpu: int
    """vCPU."""
    memory_gib: int
    """Memory."""
    disk_gib: int
    """Disk at creation; it grows by itself."""
    database: str
    """Database that the service uses."""
    flags: Mapping[str, str]
    """PostgreSQL flags besides IAM authentication."""
    backup_hour_utc: int
    """Hour at which a primary's backups start."""
    backups_kept: int
    """Automated backups of a primary."""
    log_days: int
    """Days of point-in-time recovery of a primary."""
    network: pulumi.Input[str]
    """Network with private services access, or the one that the endpoint is in."""
    users: Mapping[str, pulumi.Input[str]]
    """Addresses of the service accounts that may log in, by a stable name."""
    owner: str
    """Which of them makes the tables."""
    pooled_connections: int | None = None
    """Server connections that Google's pooler keeps; no pooler when left out."""
    primary: pulumi.Input[str] | None = None
    """Instance name of the primary; makes this a read replica."""
    durability: Durability | None = None
    """Default GUARDED."""
    failover_replica: str | None = None
    """Of a primary: the replica that takes over in a disaster, and back again by a
    switchover without loss. It must exist: name it in the `up` after its own."""
    private_endpoint: PrivateEndpoint | None = None
    """Private Service Connect in place of the peered range."""


class Database(Component):
    """Private PostgreSQL with IAM authentication: there is no password anywhere."""

    instance: pulumi.Output[str]
    """Instance name, for replicas."""
    endpoint: pulumi.Output[str]
    """`host:port`, known once the database and its users exist."""

    def __init__(
        self,
        name: str,
        args: DatabaseArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("meridian:index:Database", name, opts)
        args = coerce(DatabaseArgs, args)
        guard = protection(args.durability)
        policies = self._policies(args)
        server = sql.DatabaseInstance(
            f"{name}-server",
            name=args.instance,
            region=args.region,
            database_version=args.version,
            instance_type=None if args.primary is None else "READ_REPLICA_INSTANCE",
            master_instance_name=args.primary,
            replication_cluster=_disaster_pair(args),
            settings=self._settings(args, guard),
            deletion_protection=guard.api,
            deletion_policy=guard.policy,
            # A disk that grew by itself must not be shrunk by the next `up`.
            opts=self.child(
                ignore_changes=["settings.diskSize"],
                depends_on=policies,
                **guard.options(),
            ),
        )
        inside = [] if args.primary is not None else self._contents(args, server)
        self.instance = server.name
        port = PORT if args.pooled_connections is None else POOLER_PORT
        host = server.private_ip_address
        if args.private_endpoint is not None:
            host = server.settings.apply(_endpoint_address)
        self.endpoint = after(host.apply(lambda known: f"{known}:{port}"), inside)
        self.finish()

    def _settings(self, args: DatabaseArgs, guard: Protection) -> Block:
        flags = {**args.flags, "cloudsql.iam_authentication": "on"}
        settings: Block = {
            "tier": _tier(args),
            "edition": args.edition,
            "availability_type": "REGIONAL" if args.primary is None else "ZONAL",
            "disk_type": "PD_SSD",
            "disk_size": args.disk_gib,
            "disk_autoresize": True,
            "database_flags": [
                {"name": key, "value": value} for key, value in sorted(flags.items())
            ],
            "ip_configuration": {
                "ipv4_enabled": False,
                "ssl_mode": "ENCRYPTED_ONLY",
                **_private_path(args),
            },
            "insights_config": {"query_insights_enabled": True},
            "deletion_protection_enabled": guard.api,
        }
        if args.primary is None:
            settings["backup_configuration"] = self._backups(args)
        if args.pooled_connections is not None:
            settings["connection_pool_configs"] = [_pooler(args)]
        return settings

    def _policies(self, args: DatabaseArgs) -> list[pulumi.Resource]:
        """What must stand before a server with an endpoint of its own."""
        end = args.private_endpoint
        if end is None:
            return []
        return [
            connection_policy(
                self, SERVICE_CLASS, end.prefix, args.region, args.network, end.subnets
            )
        ]

    def _backups(self, args: DatabaseArgs) -> Block:
        """A highly available primary must have both backups and its log archived."""
        return {
            "enabled": True,
            "start_time": f"{args.backup_hour_utc:02}:00",
            "point_in_time_recovery_enabled": True,
            "transaction_log_retention_days": args.log_days,
            "backup_retention_settings": {
                "retained_backups": args.backups_kept,
                "retention_unit": "COUNT",
            },
        }

    def _contents(
        self, args: DatabaseArgs, server: sql.DatabaseInstance
    ) -> list[pulumi.Resource]:
        """Database and users; gone with the server, never before it refused."""
        made: list[pulumi.Resource] = [
            sql.Database(
                f"{self.stem}-database",
                name=args.database,
                instance=server.name,
                deletion_policy=WITH_SERVER,
                opts=self.child(deleted_with=server),
            )
        ]
        made += [
            sql.User(
                f"{self.stem}-user-{key}",
                name=pulumi.Output.from_input(email).apply(database_user),
                instance=server.name,
                type="CLOUD_IAM_SERVICE_ACCOUNT",
                # The owner makes the tables and grants the others what they need.
                database_roles=[OWNER_ROLE] if key == args.owner else None,
                deletion_policy=WITH_SERVER,
                opts=self.child(deleted_with=server),
            )
            for key, email in args.users.items()
        ]
        return made


def _private_path(args: DatabaseArgs) -> Block:
    """The one way in: the peered range, or an endpoint for one consumer project."""
    end = args.private_endpoint
    if end is None:
        return {"private_network": args.network}
    consumer = {
        "consumer_network": args.network,
        "consumer_service_project_id": end.project,
    }
    return {
        "psc_configs": [
            {
                "psc_enabled": True,
                "allowed_consumer_projects": [end.project],
                "psc_auto_connections": [consumer],
            }
        ]
    }


def _endpoint_address(settings: Any) -> str:
    """Address that Google gave the endpoint."""
    (configuration,) = settings.ip_configuration.psc_configs
    address: str | None = configuration.psc_auto_connections[0].ip_address
    if not address:
        raise ValueError(
            "private_endpoint: Google has given it no address: is the connection "
            "policy of its network in place? `pulumi refresh` looks again"
        )
    return address


def _tier(args: DatabaseArgs) -> str:
    """ENTERPRISE takes any shape, ENTERPRISE_PLUS those of its own: 8 GiB a vCPU."""
    if args.edition == "ENTERPRISE_PLUS":
        return f"db-perf-optimized-N-{args.cpu}"
    return f"db-custom-{args.cpu}-{args.memory_gib * 1024}"


def _disaster_pair(args: DatabaseArgs) -> Block | None:
    """Google pairs ENTERPRISE_PLUS servers only, and a primary names its replica."""
    if args.failover_replica is None:
        return None
    if args.edition != "ENTERPRISE_PLUS" or args.primary is not None:
        role = "replica" if args.primary is not None else "primary"
        raise ValueError(
            f"failover_replica: {args.failover_replica} on a {args.edition} {role}: "
            "only an ENTERPRISE_PLUS primary has one: change the edition, or name the "
            "replica at its primary"
        )
    return {"failover_dr_replica_name": args.failover_replica}


def unpooled(endpoint: pulumi.Input[str], args: DatabaseArgs) -> pulumi.Output[str]:
    """The server itself behind an endpoint: a pool lends a session for a transaction,
    and what a worker listens to or locks lasts longer."""

    def port_of_server(known: str) -> str:
        if args.pooled_connections is None:
            return known
        return f"{known.rpartition(':')[0]}:{PORT}"

    return pulumi.Output.from_input(endpoint).apply(port_of_server)


def _pooler(args: DatabaseArgs) -> Block:
    """One pool for each user in each pooler: together what the server may spare."""
    pools = len(args.users) * max(1, args.cpu // CPU_PER_POOLER)
    size = max(1, (args.pooled_connections or 0) // pools)
    return {
        "connection_pooling_enabled": True,
        "flags": [{"name": "max_pool_size", "value": str(size)}],
    }


def database_user(email: str) -> str:
    """Cloud SQL's name of a service account; PostgreSQL names are at most 63 long."""
    return email.removesuffix(".gserviceaccount.com")
