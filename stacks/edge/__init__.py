"""The layer in front of every region."""

import pulumi

from components.budget import BurstBudget, BurstBudgetArgs
from components.global_lb import GlobalLB, GlobalLBArgs
from components.observability import Observability, ObservabilityArgs
from dashboards import alert_policies, dashboards
from stacks.environment import World
from stacks.wiring import EDGE, Wiring


def edge(world: World, wiring: Wiring) -> GlobalLB:
    """Declare load balancer, budget, dashboards; only serving regions are behind."""
    catalogue, settings = world.catalogue, world.catalogue.edge
    rpc = bool(catalogue.service.grpc_max_instances)
    made = GlobalLB(
        "edge",
        GlobalLBArgs(
            prefix=catalogue.prefix,
            project=_project(world, wiring),
            domain=catalogue.domain,
            backends=wiring.all_of(world.plan.serving, "neg"),
            grpc_backends=(
                wiring.all_of(world.plan.serving, "grpc_neg") if rpc else None
            ),
            requests_per_minute=settings.requests_per_minute,
            retries=settings.retries,
            ejection_errors=settings.ejection_errors,
            ejection_seconds=settings.ejection_seconds,
            ejection_percent=settings.ejection_percent,
            log_sample=settings.log_sample,
            stale_seconds=settings.stale_seconds,
            durability=catalogue.durability,
        ),
        world.options("edge"),
    )
    wiring.publish("edge", made, EDGE)
    _budget(world, wiring)
    _observability(world, wiring)
    return made


def _project(world: World, wiring: Wiring) -> pulumi.Input[str]:
    return world.project(wiring.take("foundation", "project"), "edge")


def _budget(world: World, wiring: Wiring) -> BurstBudget:
    catalogue, settings = world.catalogue, world.catalogue.budget
    return BurstBudget(
        "budget",
        BurstBudgetArgs(
            prefix=catalogue.prefix,
            project=_project(world, wiring),
            project_number=catalogue.project_number,
            billing_account=settings.billing_account,
            currency=settings.currency,
            monthly=settings.monthly,
        ),
        world.options("edge"),
    )


def _observability(world: World, wiring: Wiring) -> Observability:
    return Observability(
        "observability",
        ObservabilityArgs(
            project=_project(world, wiring),
            dashboards=dashboards(world.plan),
            alerts=alert_policies(world.plan),
        ),
        world.options("edge"),
    )
