"""Topics that carry changes between hubs, and what becomes of messages nobody takes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import projects, pubsub

from components._base import Component, after, coerce
from topology import names
from topology.messages import REPAIR


@dataclass(frozen=True, kw_only=True)
class MessagingArgs:
    """Topics of one world."""

    prefix: str
    """Start of every physical name."""
    storage_regions: Sequence[str]
    """Regions in which messages may be stored."""
    retention_seconds: int
    """How long dead letters are kept for inspection."""
    stream_member: pulumi.Input[str]
    """IAM member of the service: asks for repairs."""
    worker_member: pulumi.Input[str]
    """IAM member of the workers: publish changes and repairs."""


class Messaging(Component):
    """Topics `changes`, `repairs` and `dead-letter` with their grants."""

    changes: pulumi.Output[str]
    """Topic of changes, known once workers may publish."""
    repairs: pulumi.Output[str]
    """Topic of requests for missing changes."""
    dead_letter: pulumi.Output[str]
    """Topic of messages that were given up."""
    agent: pulumi.Output[str]
    """IAM member of Pub/Sub's own agent, which forwards dead letters."""

    def __init__(
        self,
        name: str,
        args: MessagingArgs,
        opts: pulumi.ResourceOptions | None = None,
        apis: Sequence[pulumi.Resource] = (),
    ) -> None:
        super().__init__("meridian:index:Messaging", name, opts)
        args = coerce(MessagingArgs, args)
        topics = {
            part: self._topic(args, part, apis, form)
            for part, form in (
                ("changes", None),
                ("repairs", self._schema(args, apis)),
                ("dead-letter", None),
            )
        }
        identity = projects.ServiceIdentity(
            f"{name}-agent",
            service="pubsub.googleapis.com",
            opts=self.child(depends_on=apis),
        )
        self.agent = identity.member
        worker, stream = args.worker_member, args.stream_member
        self.changes = after(
            topics["changes"].id,
            [self._publisher("changes", "worker", topics["changes"], worker)],
        )
        self.repairs = after(
            topics["repairs"].id,
            [
                self._publisher("repairs", "worker", topics["repairs"], worker),
                self._publisher("repairs", "stream", topics["repairs"], stream),
            ],
        )
        dead = topics["dead-letter"]
        self.dead_letter = after(
            dead.id,
            [
                self._publisher("dead-letter", "agent", dead, self.agent),
                self._inspection(args, dead),
            ],
        )
        self.finish()

    def _schema(
        self, args: MessagingArgs, apis: Sequence[pulumi.Resource]
    ) -> pubsub.Schema:
        """Pub/Sub refuses what does not match it, so nobody can send workers astray."""
        return pubsub.Schema(
            f"{self.stem}-repair",
            name=names.global_name(args.prefix, "repair"),
            type="AVRO",
            definition=json.dumps(REPAIR, separators=(",", ":")),
            opts=self.child(depends_on=apis),
        )

    def _topic(
        self,
        args: MessagingArgs,
        part: str,
        apis: Sequence[pulumi.Resource],
        form: pubsub.Schema | None,
    ) -> pubsub.Topic:
        return pubsub.Topic(
            f"{self.stem}-{part}",
            name=names.global_name(args.prefix, part),
            message_storage_policy={
                "allowed_persistence_regions": sorted(args.storage_regions)
            },
            schema_settings=(
                None if form is None else {"schema": form.id, "encoding": "JSON"}
            ),
            opts=self.child(depends_on=apis),
        )

    def _publisher(
        self, part: str, who: str, topic: pubsub.Topic, member: pulumi.Input[str]
    ) -> pubsub.TopicIAMMember:
        return pubsub.TopicIAMMember(
            f"{self.stem}-{part}-from-{who}",
            topic=topic.name,
            role="roles/pubsub.publisher",
            member=member,
            opts=self.child(),
        )

    def _inspection(
        self, args: MessagingArgs, topic: pubsub.Topic
    ) -> pubsub.Subscription:
        """Without a subscription a dead letter would be dropped at once."""
        return pubsub.Subscription(
            f"{self.stem}-inspection",
            name=names.global_name(args.prefix, "dead-letter-inspection"),
            topic=topic.id,
            ack_deadline_seconds=60,
            message_retention_duration=f"{args.retention_seconds}s",
            expiration_policy={"ttl": ""},
            opts=self.child(),
        )
