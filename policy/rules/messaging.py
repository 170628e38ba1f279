"""Pub/Sub."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy import sources
from policy.field import Fault
from policy.record import Record
from policy.rule import ADVISORY, MANDATORY, relation, rule
from policy.rules.kinds import (
    SUBSCRIPTION,
    SUBSCRIPTION_GRANT,
    TOPIC,
    TOPIC_GRANT,
)
from policy.world import World

ACK_SECONDS = (10, 600)
RETENTION_SECONDS = (600, 31 * 86_400)
ATTEMPTS = (5, 100)
BACKOFF_SECONDS = (0, 600)
NAME = re.compile(r"(?!goog)[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}")


@rule(
    "pubsub-ack-deadline",
    MANDATORY,
    "A message is acknowledged within 10 to 600 seconds.",
    sources.PUBSUB,
    SUBSCRIPTION,
)
def ack_deadline(record: Record) -> Iterator[Fault]:
    field = record.at("ackDeadlineSeconds")
    if field.outside(*ACK_SECONDS) and field.number != 0:
        yield field.fault(
            "10 to 600 s are possible",
            "shorten the work on one message, or extend the deadline as it goes on",
        )


@rule(
    "pubsub-retention",
    MANDATORY,
    "Messages are kept from 10 minutes to 31 days.",
    sources.PUBSUB,
    SUBSCRIPTION,
    TOPIC,
)
def retention(record: Record) -> Iterator[Fault]:
    field = record.at("messageRetentionDuration")
    low, high = RETENTION_SECONDS
    if field.seconds is not None and not low <= field.seconds <= high:
        yield field.fault(
            f"{low}s to {high}s are possible", "keep what must last longer in a bucket"
        )


@rule(
    "pubsub-dead-letter-attempts",
    MANDATORY,
    "A message is given up after 5 to 100 deliveries.",
    sources.PUBSUB,
    SUBSCRIPTION,
)
def dead_letter_attempts(record: Record) -> Iterator[Fault]:
    field = record.at("deadLetterPolicy.maxDeliveryAttempts")
    if field.outside(*ATTEMPTS) and field.number != 0:
        yield field.fault("5 to 100 are possible", "set 5 or more")


@rule(
    "pubsub-backoff",
    MANDATORY,
    "A retry waits for 0 to 600 seconds.",
    sources.PUBSUB,
    SUBSCRIPTION,
)
def backoff(record: Record) -> Iterator[Fault]:
    low, high = BACKOFF_SECONDS
    ends = [record.at(f"retryPolicy.{end}Backoff") for end in ("minimum", "maximum")]
    for field in ends:
        if field.seconds is not None and not low <= field.seconds <= high:
            yield field.fault(f"{low}s to {high}s are possible", "set 600s at most")
    first, last = (field.seconds for field in ends)
    if first is not None and last is not None and first > last:
        yield ends[0].fault(
            f"{ends[1].path} is {ends[1].shown()}, which is shorter", "exchange them"
        )


@rule(
    "pubsub-name",
    MANDATORY,
    "Names have 3 to 255 characters and do not begin with goog.",
    sources.PUBSUB,
    SUBSCRIPTION,
    TOPIC,
)
def name(record: Record) -> Iterator[Fault]:
    field = record.at("name")
    if field.text is not None and not NAME.fullmatch(field.text):
        yield field.fault(
            "3 to 255 letters, digits and -_.~+% are possible, a letter first, not "
            "goog",
            "begin with the platform's prefix",
        )


@relation(
    "pubsub-dead-letter-publisher",
    MANDATORY,
    "The service agent may publish dead letters.",
    f"{sources.PUBSUB_PAGE}: without the grant they are delivered for ever",
    SUBSCRIPTION,
)
def dead_letter_publisher(record: Record, world: World) -> Iterator[Fault]:
    field = record.at("deadLetterPolicy.deadLetterTopic")
    topics = world.meant_by(record, field.path, TOPIC)
    if field.text is not None:
        topics = [t for t in topics if field.text.endswith(t.at("name").text or "\0")]
    elif len(topics) > 1:
        return  # the policy is not known yet: one of them is the topic itself
    for topic in topics if not field.absent else ():
        if not _granted(topic, "topic", world, TOPIC_GRANT, "publisher"):
            yield field.fault(
                "no roles/pubsub.publisher is granted on it, so nothing gets there",
                "grant it to the Pub/Sub service agent",
            )


@relation(
    "pubsub-dead-letter-subscriber",
    MANDATORY,
    "The service agent may take dead letters out of a subscription.",
    f"{sources.PUBSUB_PAGE}: it acknowledges what it forwards",
    SUBSCRIPTION,
)
def dead_letter_subscriber(record: Record, world: World) -> Iterator[Fault]:
    policy = record.at("deadLetterPolicy")
    if policy.given and not _granted(
        record, "subscription", world, SUBSCRIPTION_GRANT, "subscriber"
    ):
        yield policy.fault(
            "no roles/pubsub.subscriber is granted on the subscription",
            "grant it to the Pub/Sub service agent",
        )


def _granted(target: Record, part: str, world: World, grant: str, role: str) -> bool:
    """Whether anybody is granted the role on a topic or subscription."""
    return any(
        not g.at("role").is_not(f"roles/pubsub.{role}", "roles/pubsub.editor")
        and world.may_mean(g, part, target)
        for g in world.of(grant)
    )


@relation(
    "pubsub-gives-up",
    ADVISORY,
    "A subscription gives up into dead letters.",
    sources.PUBSUB_PAGE,
    SUBSCRIPTION,
)
def gives_up(record: Record, world: World) -> Iterator[Fault]:
    field = record.at("deadLetterPolicy")
    if not field.empty:
        return
    ends = {
        s.at("deadLetterPolicy.deadLetterTopic").text for s in world.of(SUBSCRIPTION)
    }
    mine = record.at("topic").text
    # Whoever reads the dead letters themselves has nowhere to give up to.
    if mine is not None and mine not in ends:
        yield field.fault(
            "a message that nobody can read is delivered until it expires",
            "set dead_letter_policy with a topic and 5 attempts",
        )


@rule(
    "pubsub-never-expires",
    ADVISORY,
    "A subscription does not vanish while its reader is away.",
    f"{sources.PUBSUB}: deleted after 31 days when unset",
    SUBSCRIPTION,
)
def never_expires(record: Record) -> Iterator[Fault]:
    field = record.at("expirationPolicy.ttl")
    if field.is_not(""):
        yield field.fault(
            "it is deleted with its messages after that time without a reader, 31 "
            "days when unset",
            'set expiration_policy={"ttl": ""}',
        )


@rule(
    "pubsub-push-signed",
    MANDATORY,
    "A pushed message carries a token.",
    f"{sources.PUBSUB}: without it the endpoint is open to all",
    SUBSCRIPTION,
)
def push_signed(record: Record) -> Iterator[Fault]:
    endpoint = record.at("pushConfig.pushEndpoint")
    token = record.at("pushConfig.oidcToken")
    if endpoint.given and not endpoint.empty and token.empty:
        yield token.fault(
            f"{endpoint.path} must be open to everybody then",
            "set oidc_token with a service account",
        )


@rule(
    "pubsub-push-reaches-one",
    ADVISORY,
    "Changes that every instance must see are pulled.",
    f"{sources.PEER}: a push reaches one of 800 instances",
    SUBSCRIPTION,
)
def push_reaches_one(record: Record) -> Iterator[Fault]:
    endpoint = record.at("pushConfig.pushEndpoint")
    if endpoint.given and not endpoint.empty:
        yield endpoint.fault(
            "one instance of the service gets the message, the others never do",
            "pull in a worker and feed the region's Redis stream",
        )
