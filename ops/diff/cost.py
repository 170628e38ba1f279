"""Price of a plan, where the price book of this clone knows it."""

from __future__ import annotations

from typing import Any

from topology import Plan

Json = dict[str, Any]


def month(plan: Plan) -> Json | None:
    """Month's total and whether it is complete; None while there is no price book."""
    return None
