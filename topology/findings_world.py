"""Findings on the world's promises: time, money, projects, and how streams live."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from topology import events, limits
from topology.finding import Finding, Level

if TYPE_CHECKING:
    from topology.plan import Plan, RegionPlan

WORLD = "world"


def find(plan: "Plan") -> Iterator[Finding]:
    """Every finding that needs more than one region's sizes."""
    yield from _streams(plan)
    yield from _budget(plan)
    yield from _prices(plan)
    yield from _events(plan)
    yield from _layers(plan)
    for region in plan.regions.values():
        yield from _pace(plan, region)
        yield from _project(plan, region)


def _streams(plan: "Plan") -> Iterator[Finding]:
    service = plan.catalogue.service
    total = plan.model.value("connections")
    yield Finding(
        level=Level.INFO,
        code="requests-per-instance",
        place=WORLD,
        message=f"holds {plan.totals['streams']:,} streams on {total:,} connections, "
        f"{service.concurrency:,} an instance; Cloud Run allows "
        f"{limits.REQUESTS_PER_INSTANCE:,} requests an instance, a connection is one",
        remedy="fewer instances need a higher service.concurrency or more "
        "traffic.streams_per_connection",
    )
    life, longest = service.request_timeout_seconds, limits.LONGEST_REQUEST_SECONDS
    yield Finding(
        level=Level.WARNING if life < longest else Level.INFO,
        code="stream-life",
        place=WORLD,
        message=f"cuts every stream after {life:,} s, {longest:,} s are the most that "
        "Cloud Run and the balancer allow",
        remedy="clients resume by token"
        + (f"; set service.request_timeout_seconds to {longest:,}" * (life < longest)),
    )
    yield Finding(
        level=Level.INFO,
        code="no-spill-over",
        place=WORLD,
        message="has no spill-over by load: serverless groups take no capacity, and a "
        "full region answers 429, which outlier detection does not count",
        remedy="keep instances warm before an event; the service sends a refused write "
        "to the next region",
    )


def _budget(plan: "Plan") -> Iterator[Finding]:
    budget, month = plan.catalogue.budget, plan.model.value("price_month")
    spans = (
        ("monthly", budget.monthly, month),
        ("daily", budget.daily, plan.model.value("price_day")),
        ("hourly", budget.hourly, month / limits.HOURS_PER_MONTH),
    )
    for key, amount, price in spans:
        if amount is not None and price > amount:
            yield Finding(
                level=Level.ERROR,
                code=f"budget-{key}",
                place=WORLD,
                message=f"costs {price:,.0f} USD {key} at baseline, the budget is "
                f"{amount:,}",
                remedy=f"raise budget.{key} to {price:,.0f} or more, or lower "
                "traffic.bytes_per_stream_second (see `meridian cost`)",
            )
    for small, large, times in (("hourly", "daily", 24), ("daily", "monthly", 31)):
        low, high = getattr(budget, small), getattr(budget, large)
        if low is not None and high is not None and low * times > high:
            yield Finding(
                level=Level.WARNING,
                code="budget-order",
                place=WORLD,
                message=f"has budget.{small} {low:,} x {times} = {low * times:,} above "
                f"budget.{large} {high:,}: the {small} one is never met first",
                remedy=f"set budget.{small} to {high // times:,} or less",
            )


def _prices(plan: "Plan") -> Iterator[Finding]:
    from topology.quantities_cost import LINES, WORLD_LINES

    places = [(name, LINES) for name in plan.regions] + [(WORLD, WORLD_LINES)]
    for place, lines in places:
        missing = [s for line, s in lines.items() if not _known(plan, line, place)]
        if missing:
            yield Finding(
                level=Level.ERROR,
                code="price-unknown",
                place=place,
                message=f"has no price for {', '.join(missing)}, so the budget of "
                f"{plan.catalogue.budget.monthly:,} cannot be held against the plan",
                remedy="add the missing rows to topology/data/prices.csv",
            )


def _known(plan: "Plan", line: str, place: str) -> bool:
    return plan.model.value(line, place) is not None


def _events(plan: "Plan") -> Iterator[Finding]:
    budget = plan.catalogue.budget
    for name, event in (plan.catalogue.events or {}).items():
        bill = events.bill(plan.model, event)
        yield Finding(
            level=Level.INFO,
            code="event-plan",
            place=WORLD,
            message=f"has {bill.extra:,} more instances for {name} from "
            f"{events.warm_from(event)} on, for {bill.hours:g} h",
            remedy="order them by then; `meridian cost --event` has the price",
        )
        short = [need for need in bill.regions if need.wanted > need.ceiling]
        for need in short:
            yield Finding(
                level=Level.WARNING,
                code="event-capacity",
                place=need.region,
                message=f"needs {need.wanted:,} instances for {name}, its ceiling is "
                f"{need.ceiling:,}",
                remedy="raise max_instances or the burst multiplier before the event",
            )
        if budget.hourly is not None and bill.hour > budget.hourly:
            yield Finding(
                level=Level.WARNING,
                code="event-budget",
                place=WORLD,
                message=f"costs {bill.hour:,.0f} USD an hour during {name}, "
                f"budget.hourly is {budget.hourly:,}",
                remedy=f"raise budget.hourly to {bill.hour:,.0f} for the event, or "
                "leave it out",
            )


def _pace(plan: "Plan", region: "RegionPlan") -> Iterator[Finding]:
    pace = plan.catalogue.scaling
    if region.seconds_to_ceiling <= pace.seconds_to_capacity:
        return
    room = pace.seconds_to_capacity - pace.startup_seconds
    starts = max(0, int(room * pace.starts_per_minute / 60))
    yield Finding(
        level=Level.ERROR,
        code="start-rate",
        place=region.name,
        message=f"takes {region.seconds_to_ceiling:,.0f} s from {region.instances:,} "
        f"to {region.instances_max:,} instances at {pace.starts_per_minute:,} starts a "
        f"minute, {pace.seconds_to_capacity:,} s are wanted",
        remedy=f"keep {region.instances_max - starts:,} instances warm, or set "
        f"scaling.seconds_to_capacity to {region.seconds_to_ceiling:,.0f} or more",
    )


def _project(plan: "Plan", region: "RegionPlan") -> Iterator[Finding]:
    catalogue = plan.catalogue
    own, edge = catalogue.project_of("cells", region.name), catalogue.project_of("edge")
    if not region.serving or own == edge:
        return
    yield Finding(
        level=Level.ERROR,
        code="project-edge",
        place=region.name,
        message=f"runs in project {own}, the edge is in {edge}: backend service, group "
        "and Cloud Run service must share a project",
        remedy=f"give the region the edge's project, or set serving: false for {own}",
    )


def _layers(plan: "Plan") -> Iterator[Finding]:
    catalogue = plan.catalogue
    base = catalogue.project_of("foundation")
    owners = {catalogue.project_of("cells", name) for name in plan.regions}
    others = sorted(owners - {base})
    if others:
        yield Finding(
            level=Level.WARNING,
            code="project-network",
            place=WORLD,
            message=f"has its network in project {base} and cells in "
            f"{', '.join(others)}: their subnets lie in {base}",
            remedy=f"make {base} a Shared VPC host of {', '.join(others)}, let its "
            "service accounts and image be used there, and grant the accounts their "
            "roles in it",
        )
    if len({base, catalogue.project_of("edge"), *owners}) > 1 and (
        catalogue.layout == "whole"
    ):
        yield Finding(
            level=Level.ERROR,
            code="project-layout",
            place=WORLD,
            message="has several projects and the whole layout, whose one stack has "
            "one provider and so one project",
            remedy="set layout: sliced, or one project for all layers",
        )
