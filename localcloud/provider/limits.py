"""Limits that Google enforces and no discovery document has: ranges, and fields that
go together. They are rules of `policy/`; here are those that Google itself answers with
an error, whatever an environment exempts. The rest of the rules is advice or ours.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from localcloud.google.schema import Problem
from localcloud.types.base import Json, ResourceType
from policy.record import Record, plain
from policy.rule import Rule
from policy.rules import by_id
from policy.world import World

ENFORCED = (
    "alert-alignment-period",
    "alert-evaluation-interval",
    "alert-labels",
    "alert-links",
    "alert-renotify",
    "armor-address-list",
    "armor-interval",
    "armor-rate-key",
    "armor-rate-keys-count",
    "armor-threshold-range",
    "backend-iap-without-cdn",
    "bucket-lifecycle-rules",
    "budget-channels",
    "budget-name",
    "cdn-negative-codes",
    "cdn-origin-sets-times",
    "dashboard-columns",
    "pubsub-ack-deadline",
    "pubsub-backoff",
    "pubsub-dead-letter-attempts",
    "pubsub-name",
    "pubsub-retention",
    "redis-cluster-replicas",
    "redis-memory-range",
    "redis-replicas",
    "redis-settings",
    "run-concurrency-range",
    "run-cpu-memory-pair",
    "run-env-size",
    "run-min-below-max",
    "run-one-port",
    "run-one-way-out",
    "run-probe-period",
    "run-probe-timing",
    "run-small-cpu-one-request",
    "run-timeout-range",
    "secret-rotation",
    "slo-goal",
    "slo-period",
    "sql-custom-shape",
    "sql-flags-plain",
    "sql-tier-of-edition",
)
"""Ids of the rules."""


@cache
def _rules(token: str) -> tuple[Rule, ...]:
    """Enforced rules of a type; each looks at one resource alone."""
    return tuple(
        rule for rule in map(by_id().__getitem__, ENFORCED) if token in rule.tokens
    )


def refusals(kind: ResourceType, inputs: Json) -> list[Problem]:
    """What of these inputs is beyond a limit; unknowns are not judged."""
    rules = _rules(kind.token)
    if not rules:
        return []
    known: Any = plain(inputs)
    record = Record(urn="", token=kind.token, name="", inputs=known)
    world = World([record])
    return [
        Problem(
            place=fault.place,
            given=fault.value,
            allowed=fault.limit,
            remedy=fault.remedy,
        )
        for rule in rules
        for fault in rule.check(record, world)
    ]
