"""Everything that belongs to one region."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import pulumi
from pulumi_gcp import cloudrunv2, compute

from components import _containers
from components._base import Block, Component, after, coerce
from components._containers import ServiceShape
from components.cache import CacheTier, CacheTierArgs
from components.database import Database, DatabaseArgs, database_user, unpooled
from components.inbox import Inbox, InboxArgs
from components.vault import Vault, VaultArgs
from topology import names
from topology.catalogue import ScalingOwner

__all__ = ["ImageOwner", "RegionalCell", "RegionalCellArgs", "ServiceShape"]

MINIMUM = "scaling.minInstanceCount"
"""Field that the burst scaler owns at run time."""

ROLLED = ("template.containers[0].image", "traffics", "client", "clientVersion")
"""Fields of the service that Cloud Deploy writes with every release; the image of the
workers and of the service for gRPC stays with Pulumi, so they are rolled out before and
after as the catalogue says."""


class ImageOwner(StrEnum):
    """Who says which image serves which share of the requests."""

    PULUMI = "pulumi"
    """An `up` rolls out; all requests go to the latest revision."""
    DELIVERY = "delivery"
    """Releases of `Delivery` do; Pulumi creates the service and then looks away."""


@dataclass(frozen=True, kw_only=True)
class RegionalCellArgs:
    """One region of the platform."""

    environment: str
    """Name of the world."""
    project: str
    """Google Cloud project."""
    prefix: str
    """Start of every physical name."""
    region: str
    """Google's name of the region."""
    hub: str
    """Hub that takes this region's writes; the region itself in a hub."""
    hubs: Sequence[str]
    """Every hub whose changes are followed."""
    cidr: str
    """Subnet of the instances."""
    shape: ServiceShape
    """Size and bounds of the instances."""
    cache: CacheTierArgs
    """The region's Redis."""
    database: DatabaseArgs
    """The region's database server."""
    inbox: InboxArgs
    """The region's subscriptions."""
    vault: VaultArgs
    """The region's bucket and secret."""
    image: pulumi.Input[str]
    """Image reference by digest."""
    network: pulumi.Input[str]
    """Network of the subnet."""
    stream_email: pulumi.Input[str]
    """Account of the service."""
    worker_email: pulumi.Input[str]
    """Account of the workers."""
    changes_topic: pulumi.Input[str]
    """Topic of changes."""
    repairs_topic: pulumi.Input[str]
    """Topic of requests for missing changes."""
    primary_endpoint: pulumi.Input[str] | None = None
    """`host:port` of the hub's primary; left out in a hub."""
    scaling_owner: ScalingOwner | None = None
    """Default PULUMI."""
    network_project: str | None = None
    """Project of the network and so of the subnet; the cell's own when left out."""
    image_owner: ImageOwner | None = None
    """Default PULUMI."""


class RegionalCell(Component):
    """Subnet, services, workers, cache, database, subscriptions and the NEGs."""

    neg: pulumi.Output[str]
    """Network endpoint group, known once the service stands behind it."""
    grpc_neg: pulumi.Output[str]
    """The same of the service that speaks gRPC; empty where there is none."""
    service: pulumi.Output[str]
    """Name of the Cloud Run service."""
    database: pulumi.Output[str]
    """Name of the database server, for replicas."""
    database_endpoint: pulumi.Output[str]
    """`host:port` of the database server."""

    def __init__(
        self,
        name: str,
        args: RegionalCellArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("meridian:index:RegionalCell", name, opts)
        args = coerce(RegionalCellArgs, args)
        cache = CacheTier(f"{name}-cache", args.cache, self.child())
        database = Database(f"{name}-database", args.database, self.child())
        inbox = Inbox(f"{name}-inbox", args.inbox, self.child())
        vault = Vault(f"{name}-vault", args.vault, self.child())
        values = self._environment(args, cache, database, inbox, vault)
        access = _containers.vpc_access(args.network, self._subnet(args).id)
        service = self._service(args, access, vault, self._web(args, values))
        self._workers(args, values, access, vault)
        self.neg = self._neg(args, "neg", service)
        self.service = service.name
        self.grpc_neg = pulumi.Output.from_input("")
        if args.shape.grpc_max_instances:
            rpc = self._service(args, access, vault, self._rpc(args, values))
            self.grpc_neg = self._neg(args, "grpc-neg", rpc)
        self.database, self.database_endpoint = database.instance, database.endpoint
        self.finish()

    def _subnet(self, args: RegionalCellArgs) -> compute.Subnetwork:
        # Google frees the addresses an hour or two after the last instance.
        patience = pulumi.CustomTimeouts(delete="3h")
        return compute.Subnetwork(
            f"{self.stem}-subnet",
            name=names.regional(args.prefix, args.region),
            project=args.network_project,
            region=args.region,
            network=args.network,
            ip_cidr_range=args.cidr,
            private_ip_google_access=True,
            opts=self.child(custom_timeouts=patience),
        )

    def _environment(
        self,
        args: RegionalCellArgs,
        cache: CacheTier,
        database: Database,
        inbox: Inbox,
        vault: Vault,
    ) -> dict[str, pulumi.Input[str]]:
        """Variables of both roles; `docs/architecture.md` says what they mean."""
        values: dict[str, pulumi.Input[str]] = {
            "DATABASE_LOCAL": database.endpoint,
            "DATABASE_NAME": args.database.database,
            "DATABASE_PRIMARY": args.primary_endpoint or database.endpoint,
            "GOOGLE_CLOUD_PROJECT": args.project,
            "MERIDIAN_ACCESS": args.shape.access or "required",
            "MERIDIAN_BUCKET": vault.bucket,
            # Believed: only the load balancer, which writes it, lets callers in.
            "MERIDIAN_CLIENT_ADDRESS": names.CLIENT_ADDRESS,
            "MERIDIAN_ENVIRONMENT": args.environment,
            "MERIDIAN_HUB": args.hub,
            "MERIDIAN_HUBS": ",".join(args.hubs),
            "MERIDIAN_REGION": args.region,
            "PUBSUB_SUBSCRIPTION_CHANGES": inbox.changes,
            "PUBSUB_TOPIC_CHANGES": args.changes_topic,
            "PUBSUB_TOPIC_REPAIRS": args.repairs_topic,
            "REDIS_HOST": cache.host,
            "REDIS_INSTANCE": cache.instance,
            "REDIS_PORT": cache.port.apply(lambda port: str(int(port))),
            "REDIS_TLS": cache.tls,
            "SERVICE_LIMITS": args.shape.limits,
        }
        if args.shape.root_key_sha256 is not None:
            values["MERIDIAN_ROOT_KEY_SHA256"] = args.shape.root_key_sha256
        if args.shape.rates is not None:
            values["MERIDIAN_RATES"] = args.shape.rates
        if args.shape.issuers is not None:
            values["MERIDIAN_ISSUERS"] = args.shape.issuers
        if args.shape.push_seconds is not None:
            values["MERIDIAN_PUSH_SECONDS"] = str(args.shape.push_seconds)
        if args.shape.trace_share is not None:
            values["MERIDIAN_TRACE_SHARE"] = f"{args.shape.trace_share:g}"
        if args.inbox.origin is not None:
            values["PUBSUB_SUBSCRIPTION_REPAIRS"] = inbox.repairs
        return values

    def _web(
        self, args: RegionalCellArgs, values: dict[str, pulumi.Input[str]]
    ) -> "_Serving":
        """HTTP and WebSocket."""
        return _Serving(
            part="service",
            name=names.stream_service(args.prefix),
            container=_containers.stream_container(
                args.image, args.shape, self._as_stream(args, values)
            ),
            least=args.shape.min_instances,
            most=args.shape.max_instances,
            not_ours=_not_ours(args),
        )

    def _rpc(
        self, args: RegionalCellArgs, values: dict[str, pulumi.Input[str]]
    ) -> "_Serving":
        """gRPC; its image and its minimum stay with Pulumi."""
        return _Serving(
            part="grpc",
            name=names.grpc_service(args.prefix),
            container=_containers.grpc_container(
                args.image, args.shape, self._as_stream(args, values)
            ),
            least=args.shape.grpc_min_instances or 0,
            most=args.shape.grpc_max_instances or 0,
            not_ours=[],
        )

    def _as_stream(
        self, args: RegionalCellArgs, values: dict[str, pulumi.Input[str]]
    ) -> dict[str, pulumi.Input[str]]:
        user = pulumi.Output.from_input(args.stream_email).apply(database_user)
        pooled = args.database.pooled_connections is not None
        behind = {"DATABASE_POOLED": "1"} if pooled else {}
        return {**values, **behind, "DATABASE_USER": user}

    def _service(
        self,
        args: RegionalCellArgs,
        access: Block,
        vault: Vault,
        serving: "_Serving",
    ) -> cloudrunv2.Service:
        shape = args.shape
        return cloudrunv2.Service(
            f"{self.stem}-{serving.part}",
            name=serving.name,
            location=args.region,
            # Any other way in would pass by Cloud Armor.
            ingress="INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
            default_uri_disabled=True,
            # Not `allUsers`: organisations forbid it, and the balancer sends no token.
            invoker_iam_disabled=True,
            deletion_protection=False,
            scaling={
                "scaling_mode": "AUTOMATIC",
                "min_instance_count": serving.least,
                "max_instance_count": serving.most,
            },
            template={
                "containers": _containers.containers(serving.container, shape),
                "execution_environment": "EXECUTION_ENVIRONMENT_GEN2",
                "max_instance_request_concurrency": shape.concurrency,
                "scaling": {"max_instance_count": serving.most},
                "service_account": args.stream_email,
                "timeout": f"{shape.timeout_seconds}s",
                "vpc_access": access,
            },
            opts=self.child(depends_on=[vault], ignore_changes=serving.not_ours),
        )

    def _workers(
        self,
        args: RegionalCellArgs,
        values: dict[str, pulumi.Input[str]],
        access: Block,
        vault: Vault,
    ) -> cloudrunv2.WorkerPool:
        user = pulumi.Output.from_input(args.worker_email).apply(database_user)
        servers = {
            name: unpooled(values[name], args.database)
            for name in ("DATABASE_LOCAL", "DATABASE_PRIMARY")
        }
        container = _containers.worker_container(
            args.image, args.shape, {**values, **servers, "DATABASE_USER": user}
        )
        return cloudrunv2.WorkerPool(
            f"{self.stem}-workers",
            name=names.worker_pool(args.prefix),
            location=args.region,
            deletion_protection=False,
            scaling={
                "scaling_mode": "MANUAL",
                "manual_instance_count": args.shape.workers,
            },
            template={
                "containers": _containers.containers(container, args.shape),
                "service_account": args.worker_email,
                "vpc_access": access,
            },
            opts=self.child(depends_on=[vault]),
        )

    def _neg(
        self, args: RegionalCellArgs, part: str, service: cloudrunv2.Service
    ) -> pulumi.Output[str]:
        """Without a name: Pulumi adds a hash, so that a successor can stand beside it.

        Every change replaces it, and a group in use cannot be deleted first.
        """
        group = compute.RegionNetworkEndpointGroup(
            f"{self.stem}-{part}",
            region=args.region,
            network_endpoint_type="SERVERLESS",
            cloud_run={"service": service.name},
            opts=self.child(),
        )
        found: pulumi.Output[str] = after(group.id, [service])
        return found


@dataclass(frozen=True, kw_only=True)
class _Serving:
    """What the region's two services differ in."""

    part: str
    """End of the resource's name."""
    name: str
    """Physical name."""
    container: Block
    """The one that serves."""
    least: int
    """Kept warm."""
    most: int
    """Ceiling."""
    not_ours: list[str]
    """Fields that have another owner."""


def _not_ours(args: RegionalCellArgs) -> list[str]:
    """Fields of the service that change at run time and have another owner."""
    burst = args.scaling_owner is ScalingOwner.BURST
    rolled = args.image_owner is ImageOwner.DELIVERY
    return [*([MINIMUM] if burst else []), *(ROLLED if rolled else [])]
