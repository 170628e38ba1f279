"""A region's subscriptions: the changes of all hubs, and the repairs asked of it."""

from dataclasses import dataclass

import pulumi
from pulumi_gcp import pubsub

from components._base import Component, after, coerce
from topology import names


@dataclass(frozen=True, kw_only=True)
class InboxArgs:
    """What a region listens to."""

    region: str
    """Region that listens."""
    prefix: str
    """Start of the names."""
    ack_deadline_seconds: int
    """Time a worker has for a message."""
    retention_seconds: int
    """How long messages that nobody took are kept."""
    delivery_attempts: int
    """Attempts before a message is given up."""
    min_backoff_seconds: int
    """Shortest wait before a redelivery."""
    max_backoff_seconds: int
    """Longest wait before a redelivery."""
    changes_topic: pulumi.Input[str]
    """Topic of changes."""
    repairs_topic: pulumi.Input[str]
    """Topic of requests for missing changes."""
    dead_letter_topic: pulumi.Input[str]
    """Topic of messages that were given up."""
    agent: pulumi.Input[str]
    """IAM member of Pub/Sub's agent; it takes what it forwards to the dead letters."""
    worker_email: pulumi.Input[str]
    """Account that pulls."""
    origin: str | None = None
    """Hub whose repairs are answered here; left out where there is no primary."""


class Inbox(Component):
    """Subscriptions that never expire, with dead letters and their grants."""

    changes: pulumi.Output[str]
    """Subscription to changes, known once workers may pull from it."""
    repairs: pulumi.Output[str]
    """Subscription to repairs; empty text where there is none."""

    def __init__(
        self,
        name: str,
        args: InboxArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("meridian:index:Inbox", name, opts)
        args = coerce(InboxArgs, args)
        self.changes = self._subscription(args, "changes", args.changes_topic)
        self.repairs = pulumi.Output.from_input("")
        if args.origin is not None:
            self.repairs = self._subscription(
                args,
                "repairs",
                args.repairs_topic,
                only=f'attributes.origin = "{args.origin}"',
            )
        self.finish()

    def _subscription(
        self,
        args: InboxArgs,
        part: str,
        topic: pulumi.Input[str],
        only: str | None = None,
    ) -> pulumi.Output[str]:
        made = pubsub.Subscription(
            f"{self.stem}-{part}",
            name=names.subscription(args.prefix, part, args.region),
            topic=topic,
            filter=only,
            ack_deadline_seconds=args.ack_deadline_seconds,
            message_retention_duration=f"{args.retention_seconds}s",
            # The default deletes a subscription that was idle for 31 days.
            expiration_policy={"ttl": ""},
            retry_policy={
                "minimum_backoff": f"{args.min_backoff_seconds}s",
                "maximum_backoff": f"{args.max_backoff_seconds}s",
            },
            dead_letter_policy={
                "dead_letter_topic": args.dead_letter_topic,
                "max_delivery_attempts": args.delivery_attempts,
            },
            opts=self.child(),
        )
        worker = pulumi.Output.concat("serviceAccount:", args.worker_email)
        grants = [
            pubsub.SubscriptionIAMMember(
                f"{self.stem}-{part}-to-{who}",
                subscription=made.name,
                role="roles/pubsub.subscriber",
                member=member,
                opts=self.child(),
            )
            for who, member in (("agent", args.agent), ("worker", worker))
        ]
        return pulumi.Output.format("{0}", after(made.id, grants))
