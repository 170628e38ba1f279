"""Price of a plan by the price book of this clone."""

from __future__ import annotations

from typing import Any

from topology import Plan, bill
from topology.prices import CURRENCY

Json = dict[str, Any]


def month(plan: Plan) -> Json:
    """Month's total and whether it is complete: a lower bound when it is not."""
    found = bill.month(plan.model)
    return {
        "total": round(found.total, 2),
        "currency": CURRENCY,
        "complete": found.complete,
    }
