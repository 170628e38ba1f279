"""What a region keeps besides its database: snapshots, and the places for secrets."""

from dataclasses import dataclass

import pulumi
from pulumi_gcp import secretmanager, storage

from components._base import Component, Protection, after, coerce, protection
from topology import names
from topology.catalogue import Durability

DAY = 86_400


@dataclass(frozen=True, kw_only=True)
class VaultArgs:
    """Bucket and secret of one region."""

    bucket: str
    """Name of the bucket, unique in the whole world."""
    region: str
    """Where both are kept; a bucket's location can never change."""
    prefix: str
    """Start of the secret's name."""
    keep_days: int
    """Age at which a snapshot is deleted."""
    soft_delete_days: int
    """Days that a deleted snapshot can be restored."""
    project: pulumi.Input[str]
    """Project of both, known once its APIs answer."""
    stream_email: pulumi.Input[str]
    """Account that reads snapshots and the secret."""
    worker_email: pulumi.Input[str]
    """Account that writes snapshots."""
    durability: Durability | None = None
    """Default GUARDED."""


class Vault(Component):
    """Snapshot bucket and admin-token secret: containers and grants, never a value."""

    bucket: pulumi.Output[str]
    """Name of the bucket, known once the grants exist."""
    secret: pulumi.Output[str]
    """Resource name of the secret, known once the grant exists."""

    def __init__(
        self,
        name: str,
        args: VaultArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("meridian:index:Vault", name, opts)
        args = coerce(VaultArgs, args)
        guard = protection(args.durability)
        stream = pulumi.Output.concat("serviceAccount:", args.stream_email)
        worker = pulumi.Output.concat("serviceAccount:", args.worker_email)
        bucket = self._bucket(args, guard)
        grants = [
            self._grant("reader", bucket, "roles/storage.objectViewer", stream),
            self._grant("writer", bucket, "roles/storage.objectUser", worker),
        ]
        self.bucket = after(bucket.name, grants)
        secret = self._secret(args, guard)
        accessor = secretmanager.SecretIamMember(
            f"{name}-admin-reader",
            secret_id=secret.secret_id,
            role="roles/secretmanager.secretAccessor",
            member=stream,
            opts=self.child(),
        )
        self.secret = after(secret.id, [accessor])
        self.finish()

    def _bucket(self, args: VaultArgs, guard: Protection) -> storage.Bucket:
        return storage.Bucket(
            f"{self.stem}-snapshots",
            name=args.bucket,
            project=args.project,
            location=args.region.upper(),
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            soft_delete_policy={
                "retention_duration_seconds": args.soft_delete_days * DAY
            },
            lifecycle_rules=[
                {"action": {"type": "Delete"}, "condition": {"age": args.keep_days}}
            ],
            force_destroy=not guard.api,
            deletion_policy=guard.policy,
            opts=self.child(**guard.options()),
        )

    def _grant(
        self,
        who: str,
        bucket: storage.Bucket,
        role: str,
        member: pulumi.Output[str],
    ) -> storage.BucketIAMMember:
        return storage.BucketIAMMember(
            f"{self.stem}-snapshots-{who}",
            bucket=bucket.name,
            role=role,
            member=member,
            opts=self.child(),
        )

    def _secret(self, args: VaultArgs, guard: Protection) -> secretmanager.Secret:
        """Kept in its own region; `replication` can only be changed by replacement."""
        return secretmanager.Secret(
            f"{self.stem}-admin",
            project=args.project,
            secret_id=names.secret(args.prefix, args.region, "admin"),
            replication={"user_managed": {"replicas": [{"location": args.region}]}},
            deletion_protection=guard.api,
            deletion_policy=guard.policy,
            opts=self.child(**guard.options()),
        )
