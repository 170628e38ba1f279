"""The one maker of physical names. Every length is checked against Google's limit."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from topology import limits
from topology.catalogue import Catalogue

CLIENT_ADDRESS = "x-meridian-client-address"
"""Header in which the load balancer tells the service a client's address."""

RPC_PATHS = "/meridian.v1.Meridian/"
"""Start of the paths of every gRPC method; a test compares it with the contract."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Rule for the names of one kind of resource."""

    what: str
    """As Google calls it."""
    longest: int
    """Characters."""
    pattern: str = r"[a-z]([a-z0-9-]*[a-z0-9])?"
    """What the whole name must match."""


COMPUTE = Kind(what="compute resource", longest=63)
SERVICE = Kind(what="Cloud Run service", longest=49)
ACCOUNT = Kind(what="service account", longest=30)
REDIS = Kind(what="Memorystore instance", longest=40)
BUCKET = Kind(what="bucket", longest=63, pattern=r"[a-z0-9][a-z0-9-]*[a-z0-9]")
MESSAGE = Kind(
    what="Pub/Sub resource", longest=255, pattern=r"(?!goog)[a-zA-Z][\w.~+%-]*"
)
SECRET = Kind(what="secret", longest=255, pattern=r"[\w-]+")
SQL = Kind(what="Cloud SQL instance", longest=limits.SQL_NAME)
CERTIFICATE = Kind(what="Certificate Manager resource", longest=63)
CUSTOM_ROLE = Kind(what="custom role", longest=64, pattern=r"[a-zA-Z0-9_.]+")


def stream_service(prefix: str) -> str:
    """Cloud Run service; unique by region, so the region is not in it."""
    return f"{prefix}-stream"


def grpc_service(prefix: str) -> str:
    """Cloud Run service that speaks gRPC."""
    return f"{prefix}-grpc"


def worker_pool(prefix: str) -> str:
    """Cloud Run worker pool."""
    return f"{prefix}-worker"


def account(prefix: str, role: str) -> str:
    """Service account id of `stream` or `worker`."""
    return f"{prefix}-{role}"


def custom_role(prefix: str, role: str) -> str:
    """Custom IAM role id; these take no hyphen."""
    return f"{prefix.replace('-', '_')}_{role}"


def network(prefix: str) -> str:
    """The one network."""
    return prefix


def global_name(prefix: str, part: str) -> str:
    """A resource that exists once a project."""
    return f"{prefix}-{part}"


def regional(prefix: str, region: str) -> str:
    """Subnet and Redis of a region."""
    return f"{prefix}-{region}"


def subscription(prefix: str, topic: str, region: str) -> str:
    """Subscription of a region to a topic."""
    return f"{prefix}-{topic}-{region}"


def secret(prefix: str, region: str, part: str) -> str:
    """Secret of a region."""
    return f"{prefix}-{region}-{part}"


def bucket(project: str, region: str) -> str:
    """Bucket of a region's snapshots; bucket names are unique in the whole world."""
    return f"{project}-{region}-snapshots"


def database(prefix: str, region: str, generation: int) -> str:
    """Cloud SQL instance; the generation steps over a deleted name."""
    return f"{prefix}-{region}-g{generation}"


def faults(catalogue: Catalogue, region: str) -> Iterator[str]:
    """What is wrong with the names that a catalogue gives a region's resources."""
    prefix, project = catalogue.prefix, catalogue.project_of("cells", region)
    own = catalogue.regions[region].database_generation
    sql = database(prefix, region, own or catalogue.database.generation)
    made: list[tuple[Kind, str]] = [
        (SERVICE, stream_service(prefix)),
        (SERVICE, worker_pool(prefix)),
        (COMPUTE, regional(prefix, region)),
        (REDIS, regional(prefix, region)),
        (MESSAGE, subscription(prefix, "changes", region)),
        (SECRET, secret(prefix, region, "admin")),
        (BUCKET, bucket(project, region)),
        (ACCOUNT, account(prefix, "worker")),
        (CUSTOM_ROLE, custom_role(prefix, "cache_reader")),
        (SQL, f"{project}-{sql}"),
    ]
    yield from filter(None, (_fault(kind, name) for kind, name in made))


def _fault(kind: Kind, name: str) -> str | None:
    if len(name) > kind.longest:
        return (
            f"{kind.what} name {name} has {len(name)} characters, "
            f"{kind.longest} are allowed"
        )
    if not re.fullmatch(kind.pattern, name):
        return f"{kind.what} name {name} does not fit {kind.pattern}"
    return None
