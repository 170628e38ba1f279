"""What every region stands on: APIs, network, registry, accounts, topics."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import projects

from components._base import Component, after, coerce
from components.identity import ServiceIdentity, ServiceIdentityArgs
from components.image import ServiceImage, ServiceImageArgs
from components.messaging import Messaging, MessagingArgs
from components.network import Network, NetworkArgs
from topology import names

APIS = (
    "artifactregistry",
    "billingbudgets",
    "certificatemanager",
    "cloudquotas",
    "cloudresourcemanager",
    "compute",
    "iam",
    "monitoring",
    "pubsub",
    "redis",
    "run",
    "secretmanager",
    "servicenetworking",
    "sqladmin",
    "storage",
)
"""Google APIs that the platform calls."""

CACHE_READER = ("redis.instances.get", "redis.instances.getAuthString")
"""What a process needs to find Redis' address, CA and AUTH string; the predefined role
that holds the second also deletes instances."""


METRICS = {"metrics": "roles/monitoring.metricWriter"}
"""What a collector beside the service needs."""
PUSHED = {"metrics": "roles/telemetry.metricsWriter"}
"""What a service that sends its metrics itself needs."""
TRACES = {"traces": "roles/telemetry.tracesWriter"}
TRACE_APIS = ("cloudtrace", "telemetry")
"""Spans come in by the second and are kept by the first."""
PUSH_APIS = ("telemetry",)
"""Where metrics that the service sends come in."""


@dataclass(frozen=True, kw_only=True)
class FoundationArgs:
    """What the world shares."""

    project: str
    """Google Cloud project."""
    prefix: str
    """Start of every physical name."""
    services_range: str
    """IPv4 range lent to managed services."""
    hubs: Sequence[str]
    """Regions in which messages may be stored."""
    dead_letter_seconds: int
    """How long dead letters are kept."""
    metrics: bool
    """Whether the accounts write metrics themselves, by a sidecar."""
    image: ServiceImageArgs
    """Registry and digest of the service."""
    traces: bool | None = None
    """Whether the accounts write spans; left out: they do not."""
    pushes: bool | None = None
    """Whether the service sends its metrics itself; left out: it does not."""
    other_projects: Sequence[str] | None = None
    """Projects of cells and edge, where they are not this one; their APIs are on."""
    further_apis: Sequence[str] | None = None
    """APIs that only some worlds call, such as clouddeploy for `Delivery`, memorystore
    and networkconnectivity for sharded caches."""


class Foundation(Component):
    """APIs, network, registry, service accounts and topics."""

    project: pulumi.Output[str]
    """The project, known once its APIs answer."""
    network: pulumi.Output[str]
    """Network id for subnets."""
    private_network: pulumi.Output[str]
    """Network id for managed services."""
    image: pulumi.Output[str]
    """Image reference by digest."""
    stream_email: pulumi.Output[str]
    """Account of the Cloud Run service."""
    worker_email: pulumi.Output[str]
    """Account of the worker pool."""
    changes_topic: pulumi.Output[str]
    """Topic of changes."""
    repairs_topic: pulumi.Output[str]
    """Topic of requests for missing changes."""
    dead_letter_topic: pulumi.Output[str]
    """Topic of messages that were given up."""
    pubsub_agent: pulumi.Output[str]
    """IAM member of Pub/Sub's agent."""

    def __init__(
        self,
        name: str,
        args: FoundationArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("meridian:index:Foundation", name, opts)
        args = coerce(FoundationArgs, args)
        told = {
            *(TRACE_APIS if args.traces else ()),
            *(PUSH_APIS if args.pushes else ()),
        }
        wanted = sorted({*APIS, *told, *(args.further_apis or ())})
        apis = [self._api(api) for api in wanted]
        others = [
            self._api(api, project)
            for project in args.other_projects or ()
            for api in wanted
        ]
        network = Network(
            f"{name}-network",
            NetworkArgs(prefix=args.prefix, services_range=args.services_range),
            self.child(),
            apis,
        )
        image = ServiceImage(f"{name}-image", args.image, self.child(), apis)
        role = self._cache_reader(args, apis)
        stream = self._identity(args, "stream", "Meridian service", role, apis)
        worker = self._identity(args, "worker", "Meridian workers", role, apis)
        messaging = Messaging(
            f"{name}-messaging",
            MessagingArgs(
                prefix=args.prefix,
                storage_regions=args.hubs,
                retention_seconds=args.dead_letter_seconds,
                stream_member=stream.member,
                worker_member=worker.member,
            ),
            self.child(),
            apis,
        )
        self.network, self.private_network = network.network, network.private_network
        self.project = after(args.project, [*apis, *others])
        self.image = image.reference
        self.stream_email, self.worker_email = stream.email, worker.email
        self.changes_topic = messaging.changes
        self.repairs_topic = messaging.repairs
        self.dead_letter_topic = messaging.dead_letter
        self.pubsub_agent = messaging.agent
        self.finish()

    def _api(self, api: str, project: str | None = None) -> projects.Service:
        place = f"{project}-" if project else ""
        return projects.Service(
            f"{self.stem}-api-{place}{api}",
            project=project,
            service=f"{api}.googleapis.com",
            disable_on_destroy=False,
            opts=self.child(),
        )

    def _cache_reader(
        self, args: FoundationArgs, apis: Sequence[pulumi.Resource]
    ) -> projects.IAMCustomRole:
        return projects.IAMCustomRole(
            f"{self.stem}-cache-reader",
            role_id=names.custom_role(args.prefix, "cache_reader"),
            title="Meridian cache reader",
            permissions=list(CACHE_READER),
            opts=self.child(depends_on=apis),
        )

    def _identity(
        self,
        args: FoundationArgs,
        role: str,
        purpose: str,
        cache_reader: projects.IAMCustomRole,
        apis: Sequence[pulumi.Resource],
    ) -> ServiceIdentity:
        return ServiceIdentity(
            f"{self.stem}-{role}",
            ServiceIdentityArgs(
                project=args.project,
                prefix=args.prefix,
                role=role,
                purpose=purpose,
                grants={
                    "cache": cache_reader.name,
                    "sql-client": "roles/cloudsql.client",
                    "sql-login": "roles/cloudsql.instanceUser",
                    **(METRICS if args.metrics else {}),
                    **(PUSHED if args.pushes else {}),
                    **(TRACES if args.traces else {}),
                },
            ),
            self.child(),
            apis,
        )
