"""Billing budget: it tells, it does not stop anything."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import billing, pubsub

from components._base import Block, Component, coerce
from topology import names

THRESHOLDS = (0.5, 0.8, 1.0)
"""Shares of the amount at which money spent is told."""


@dataclass(frozen=True, kw_only=True)
class BurstBudgetArgs:
    """What a calendar month may cost."""

    prefix: str
    """Start of the names."""
    project: pulumi.Input[str]
    """Project of the topic, known once its APIs answer."""
    project_number: str
    """Project whose cost counts; Google returns numbers, so a name would drift."""
    billing_account: str
    """Account that pays."""
    currency: str
    """The account's currency."""
    monthly: int
    """Whole units of the currency."""
    thresholds: Sequence[float] | None = None
    """Default 0.5, 0.8 and 1.0 of money spent; 1.0 of the forecast is always told."""


class BurstBudget(Component):
    """Budget with thresholds and the topic that programs listen to."""

    topic: pulumi.Output[str]
    """Topic of budget messages."""
    budget: pulumi.Output[str]
    """Resource name of the budget."""

    def __init__(
        self,
        name: str,
        args: BurstBudgetArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("meridian:index:BurstBudget", name, opts)
        args = coerce(BurstBudgetArgs, args)
        topic = pubsub.Topic(
            f"{name}-topic",
            project=args.project,
            name=names.global_name(args.prefix, "budget"),
            opts=self.child(),
        )
        rules: list[Block] = [
            {"threshold_percent": share, "spend_basis": "CURRENT_SPEND"}
            for share in args.thresholds or THRESHOLDS
        ]
        rules.append({"threshold_percent": 1.0, "spend_basis": "FORECASTED_SPEND"})
        budget = billing.Budget(
            f"{name}-month",
            billing_account=args.billing_account,
            display_name=names.global_name(args.prefix, "month"),
            amount={
                "specified_amount": {
                    "currency_code": args.currency,
                    "units": str(args.monthly),
                }
            },
            budget_filter={
                "projects": [f"projects/{args.project_number}"],
                "calendar_period": "MONTH",
                "credit_types_treatment": "INCLUDE_ALL_CREDITS",
            },
            threshold_rules=rules,
            all_updates_rule={"pubsub_topic": topic.id, "schema_version": "1.0"},
            opts=self.child(),
        )
        self.topic, self.budget = topic.id, budget.name
        self.finish()
