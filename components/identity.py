"""A service account and the project roles it needs, no more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import projects, serviceaccount

from components._base import Component, after, coerce
from topology import names


@dataclass(frozen=True, kw_only=True)
class ServiceIdentityArgs:
    """Who a process is."""

    project: str
    """Project that the roles are granted in."""
    prefix: str
    """Start of the account's id."""
    role: str
    """`stream` or `worker`."""
    purpose: str
    """Shown beside the account."""
    grants: Mapping[str, pulumi.Input[str]]
    """Project roles by a short stable name."""


class ServiceIdentity(Component):
    """Service account whose address is known once its grants exist."""

    email: pulumi.Output[str]
    """Address of the account."""
    member: pulumi.Output[str]
    """The account as IAM policies name it."""

    def __init__(
        self,
        name: str,
        args: ServiceIdentityArgs,
        opts: pulumi.ResourceOptions | None = None,
        apis: Sequence[pulumi.Resource] = (),
    ) -> None:
        super().__init__("meridian:index:ServiceIdentity", name, opts)
        args = coerce(ServiceIdentityArgs, args)
        account = serviceaccount.Account(
            f"{name}-account",
            account_id=names.account(args.prefix, args.role),
            display_name=args.purpose,
            opts=self.child(depends_on=apis),
        )
        self.member = account.email.apply(lambda email: f"serviceAccount:{email}")
        grants = [
            projects.IAMMember(
                f"{name}-{key}",
                project=args.project,
                role=role,
                member=self.member,
                opts=self.child(),
            )
            for key, role in args.grants.items()
        ]
        self.email = after(account.email, grants)
        self.finish()
