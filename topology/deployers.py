"""Who may apply a slice: one deployer each, with its own state and its own resources.

IAM conditions by resource name exist for Compute, Cloud SQL, Cloud Storage and Secret
Manager and not for Cloud Run, Memorystore and Pub/Sub (Google, "Resource attributes for
IAM Conditions", read 2026-11-24). Where two cells share a project, those grants reach
both; `shared` names them.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from topology import names, slices
from topology.catalogue import Catalogue
from topology.slices import Layer, Slice

ACCOUNT_LENGTH = 30
"""Longest id of a service account. Google, service accounts, 2026-11."""
ROLES = {
    Layer.FOUNDATION: (
        "roles/artifactregistry.admin",
        "roles/compute.networkAdmin",
        "roles/iam.roleAdmin",
        "roles/iam.serviceAccountAdmin",
        "roles/pubsub.admin",
        "roles/resourcemanager.projectIamAdmin",
        "roles/serviceusage.serviceUsageAdmin",
    ),
    Layer.CELL: (
        "roles/run.admin",
        # Cloud Run asks for it on the account that a service runs as.
        "roles/iam.serviceAccountUser",
        "roles/redis.admin",
        "roles/pubsub.editor",
        # Its requests for quota.
        "roles/cloudquotas.admin",
    ),
    Layer.EDGE: (
        "roles/billing.costsManager",
        "roles/certificatemanager.owner",
        "roles/compute.loadBalancerAdmin",
        "roles/compute.securityAdmin",
        "roles/monitoring.editor",
    ),
}
"""Roles that hold in a whole project: no condition narrows them."""
BACKEND_FOLDERS = ("stacks", "locks/organization", "history", "backups")
"""Folders of a Pulumi state bucket that are named by project and stack."""


@dataclass(frozen=True, kw_only=True)
class Grant:
    """One role for one deployer."""

    role: str
    """Role."""
    project: str
    """Project that it is granted in."""
    service: str | None = None
    """API that the condition speaks of; None without a condition."""
    prefixes: tuple[str, ...] = ()
    """Starts of the resource names that it reaches; all when empty."""

    @property
    def writes(self) -> bool:
        """Whether it allows more than reading."""
        return not self.role.lower().endswith("viewer")

    @property
    def condition(self) -> str | None:
        """The condition in Google's expression language."""
        if self.service is None:
            return None
        starts = " || ".join(f'resource.name.startsWith("{p}")' for p in self.prefixes)
        return f'resource.service == "{self.service}" && ({starts})'

    def reaches(self, service: str, resource: str) -> bool:
        """Whether a resource of an API falls under it."""
        if self.service is None:
            return True
        return service == self.service and resource.startswith(self.prefixes)


@dataclass(frozen=True, kw_only=True)
class Deployer:
    """Identity that applies one slice."""

    piece: Slice
    """What it applies."""
    account: str
    """Id of its service account."""
    grants: tuple[Grant, ...]
    """All that it may do."""


def state_bucket(catalogue: Catalogue) -> str:
    """Bucket of the environment's states; versioned."""
    return f"{catalogue.project_of('foundation')}-pulumi-state"


def deployers(catalogue: Catalogue) -> tuple[Deployer, ...]:
    """One for each slice of the sliced layout."""
    return tuple(
        Deployer(
            piece=piece,
            account=_account(catalogue, piece),
            grants=(*_state(catalogue, piece), *_resources(catalogue, piece)),
        )
        for piece in slices.sliced(catalogue)
    )


def shared(catalogue: Catalogue) -> tuple[str, ...]:
    """Roles by which the owner of one cell reaches another's resources."""
    projects = [catalogue.project_of("cells", name) for name in catalogue.regions]
    return ROLES[Layer.CELL] if len(set(projects)) < len(projects) else ()


def state_objects(catalogue: Catalogue, piece: Slice) -> tuple[str, ...]:
    """Names that a slice's state, locks, history and backups begin with."""
    bucket = f"projects/_/buckets/{state_bucket(catalogue)}/objects/.pulumi"
    stack = piece.stack(catalogue.environment)
    # A dot or a slash ends the stack's name: us-west1 does not reach us-west10.
    return tuple(
        f"{bucket}/{folder}/{piece.project}/{stack}{end}"
        for folder in BACKEND_FOLDERS
        for end in ("." if folder == "stacks" else "/",)
    )


def _state(catalogue: Catalogue, piece: Slice) -> Iterator[Grant]:
    project, service = catalogue.project_of("foundation"), "storage.googleapis.com"
    yield Grant(
        role="roles/storage.objectUser",
        project=project,
        service=service,
        prefixes=state_objects(catalogue, piece),
    )
    read = [
        state_objects(catalogue, producer)[0]
        for producer in slices.producers(catalogue, piece)
    ]
    bucket = f"projects/_/buckets/{state_bucket(catalogue)}/objects/.pulumi"
    yield Grant(
        role="roles/storage.objectViewer",
        project=project,
        service=service,
        prefixes=(f"{bucket}/meta.yaml", *read),
    )


def _resources(catalogue: Catalogue, piece: Slice) -> Iterator[Grant]:
    project = catalogue.project_of(piece.layer, piece.region)
    for role in ROLES[piece.layer]:
        yield Grant(role=role, project=project)
    if piece.region is None:
        return
    prefix, region = catalogue.prefix, piece.region
    for role, service, start in (
        (
            "roles/cloudsql.admin",
            "sqladmin.googleapis.com",
            f"projects/{project}/instances/{names.regional(prefix, region)}-g",
        ),
        (
            "roles/storage.admin",
            "storage.googleapis.com",
            f"projects/_/buckets/{names.bucket(project, region)}",
        ),
        (
            "roles/secretmanager.admin",
            "secretmanager.googleapis.com",
            f"projects/{catalogue.project_number}/secrets/"
            f"{names.regional(prefix, region)}-",
        ),
        (
            "roles/compute.networkAdmin",
            "compute.googleapis.com",
            f"projects/{project}/regions/{region}/",
        ),
    ):
        yield Grant(role=role, project=project, service=service, prefixes=(start,))


def _account(catalogue: Catalogue, piece: Slice) -> str:
    """Readable where it fits, else cut and told apart by a hash."""
    name = f"{catalogue.prefix}-deploy-{piece.name}"
    if len(name) <= ACCOUNT_LENGTH:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:5]
    return f"{name[: ACCOUNT_LENGTH - 6].rstrip('-')}-{mark}"
