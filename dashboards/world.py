"""The dashboard and the alert policies of this platform."""

from collections.abc import Mapping

from dashboards import upkeep
from dashboards.alerts import Alert, Severity
from dashboards.canonical import canonical, digest
from dashboards.widgets import Board, Chart, Plot, Scorecard, Series, Unit
from topology import Plan, names

WINDOW = "1m"
"""Range of every rate; four scrapes of 15 s in production, many more locally."""


def dashboards(plan: Plan) -> Mapping[str, str]:
    """Canonical JSON of every dashboard, by a stable name."""
    board = world_board(plan)
    labels = {"content": digest(board.body())}
    body = {**board.body(), "labels": labels}
    return {"world": canonical(body)}


def alert_policies(plan: Plan) -> Mapping[str, str]:
    """Canonical JSON of every alert policy, by a stable name."""
    return {key: canonical(alert.body()) for key, alert in world_alerts(plan).items()}


def world_board(plan: Plan) -> Board:
    """Demand on top, latency in the middle, machines below."""
    goals = plan.catalogue.objectives
    return Board(
        title=f"Meridian {plan.catalogue.environment}",
        rows=[
            _scores(),
            [_connections(), _notifications()],
            [_notify(goals.notify_seconds), _commit()],
            [_writes(), _errors(goals.error_ratio)],
            [_search(), _match()],
            [_lag(goals.lag_changes), _repairs()],
            upkeep.charts(),
            [_instances(plan.catalogue.prefix), _items()],
        ],
    )


def _rate(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}[{WINDOW}]))"


def _quantile(share: float, metric: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {_rate(f'{metric}_bucket', labels)})"


def _scores() -> list[Scorecard]:
    return [
        Scorecard(
            title="Connections", query="sum(meridian_connections)", unit=Unit.COUNT
        ),
        Scorecard(
            title="Standing queries", query="sum(meridian_streams)", unit=Unit.COUNT
        ),
        Scorecard(
            title="Notifications a second",
            query=f"sum(rate(meridian_notifications_total[{WINDOW}]))",
            unit=Unit.PER_SECOND,
        ),
        Scorecard(
            title="Notified within, median",
            query=_quantile(0.5, "meridian_notify_seconds"),
            unit=Unit.SECONDS,
        ),
    ]


def _connections() -> Chart:
    query = "sum by (region) (meridian_connections)"
    return Chart(
        title="Connections by region",
        unit=Unit.COUNT,
        label="connections",
        series=[Series(query=query, legend="{{region}}", plot=Plot.STACKED_AREA)],
    )


def _notifications() -> Chart:
    query = _rate("meridian_notifications_total", "region")
    return Chart(
        title="Notifications by region",
        unit=Unit.PER_SECOND,
        label="a second",
        series=[Series(query=query, legend="{{region}}", plot=Plot.STACKED_AREA)],
    )


def _notify(goal: float) -> Chart:
    return Chart(
        title="From acknowledged write to notification",
        unit=Unit.SECONDS,
        label="seconds",
        threshold=goal,
        series=[
            Series(query=_quantile(0.5, "meridian_notify_seconds"), legend="median"),
            Series(query=_quantile(0.99, "meridian_notify_seconds"), legend="99 %"),
        ],
    )


def _commit() -> Chart:
    return Chart(
        title="Commit",
        unit=Unit.SECONDS,
        label="seconds",
        series=[
            Series(query=_quantile(0.5, "meridian_commit_seconds"), legend="median"),
            Series(query=_quantile(0.99, "meridian_commit_seconds"), legend="99 %"),
        ],
    )


def _writes() -> Chart:
    query = _rate("meridian_writes_total", "region, op")
    return Chart(
        title="Writes by region",
        unit=Unit.PER_SECOND,
        label="a second",
        series=[
            Series(query=query, legend="{{region}} {{op}}", plot=Plot.STACKED_AREA)
        ],
    )


def _search() -> Chart:
    return Chart(
        title="Search",
        unit=Unit.SECONDS,
        label="seconds",
        series=[
            Series(query=_quantile(0.5, "meridian_search_seconds"), legend="median"),
            Series(query=_quantile(0.99, "meridian_search_seconds"), legend="99 %"),
        ],
    )


def _match() -> Chart:
    return Chart(
        title="Matching one change against the standing queries",
        unit=Unit.SECONDS,
        label="seconds",
        series=[
            Series(query=_quantile(0.5, "meridian_match_seconds"), legend="median"),
            Series(query=_quantile(0.99, "meridian_match_seconds"), legend="99 %"),
        ],
    )


def _repairs() -> Chart:
    query = _rate("meridian_repairs_total", "region, source")
    return Chart(
        title="Holes filled by region",
        unit=Unit.PER_SECOND,
        label="a second",
        series=[Series(query=query, legend="{{region}} {{source}}")],
    )


def error_ratio(by: str = "region") -> str:
    """Share of requests, over any transport, that ended in a server error."""
    failed = 'meridian_answers_total{outcome="failed"}'
    return f"{_rate(failed, by)} / {_rate('meridian_answers_total', by)}"


def _errors(goal: float) -> Chart:
    return Chart(
        title="Server errors by region",
        unit=Unit.SHARE,
        label="share of requests",
        threshold=goal,
        series=[Series(query=error_ratio(), legend="{{region}}")],
    )


def _lag(goal: int) -> Chart:
    query = "max by (region, origin) (meridian_lag_changes)"
    return Chart(
        title="Changes behind each hub",
        unit=Unit.COUNT,
        label="changes",
        threshold=float(goal),
        series=[Series(query=query, legend="{{region}} from {{origin}}")],
    )


def _instances(prefix: str) -> Chart:
    """Workers show the same metrics, so the services are named."""
    services = f"{names.stream_service(prefix)}|{names.grpc_service(prefix)}"
    found = f'meridian_connections{{service=~"{services}"}}'
    return Chart(
        title="Instances by region and service",
        unit=Unit.COUNT,
        label="instances",
        series=[
            Series(
                query=f"count by (region, service) ({found})",
                legend="{{region}} {{service}}",
                plot=Plot.STACKED_AREA,
            )
        ],
    )


def _items() -> Chart:
    query = "max by (region) (meridian_items)"
    return Chart(
        title="Items in memory, fullest instance of each region",
        unit=Unit.COUNT,
        label="items",
        series=[Series(query=query, legend="{{region}}")],
    )


def world_alerts(plan: Plan) -> Mapping[str, Alert]:
    """Slow, failing, behind, cut off: ways to break a promise; upkeep that stands."""
    goals = plan.catalogue.objectives
    slow = _quantile(0.99, "meridian_notify_seconds", "region")
    lag = "max by (region, origin) (meridian_lag_changes)"
    return {
        "notifications-slow": Alert(
            name="NotificationsSlow",
            title="Notifications are slow",
            query=f"{slow} > {goals.notify_seconds:g}",
            lasting_seconds=120,
            every_seconds=30,
            severity=Severity.ERROR,
            summary=(
                "One of a hundred matches reaches its watcher later than "
                f"{goals.notify_seconds:g} s. Look at the region's lag and commit time."
            ),
            runbook=f"{goals.runbooks}/notifications-slow",
        ),
        "requests-failing": Alert(
            name="RequestsFailing",
            title="Requests fail",
            query=f"{error_ratio()} > {goals.error_ratio:g}",
            lasting_seconds=120,
            every_seconds=30,
            severity=Severity.CRITICAL,
            summary=(
                f"More than {goals.error_ratio:.2%} of a region's requests end in a "
                "server error. The balancer leaves the region out by itself; find out "
                "whether its database answers."
            ),
            runbook=f"{goals.runbooks}/requests-failing",
        ),
        "region-behind": Alert(
            name="RegionBehind",
            title="A region is behind",
            query=f"{lag} > {goals.lag_changes}",
            lasting_seconds=60,
            every_seconds=30,
            severity=Severity.WARNING,
            summary=(
                f"A region has not applied the last {goals.lag_changes:,} changes of a "
                "hub. Look at its workers and at the subscription's backlog."
            ),
            runbook=f"{goals.runbooks}/region-behind",
        ),
        "worker-missing": _worker_missing(goals.runbooks),
        **upkeep.alerts(goals.runbooks),
    }


def _worker_missing(runbooks: str) -> Alert:
    """A region that is cut off though it answers.

    Instances show the metric, too, as 0. Without them a region that runs no worker
    would show nothing, and what is not there fires no alert.
    """
    return Alert(
        name="WorkerMissing",
        title="A region has no worker",
        query="max by (region) (meridian_worker_active) < 1",
        lasting_seconds=120,
        every_seconds=30,
        severity=Severity.ERROR,
        summary=(
            "Of a region's processes none does a worker's work: writes there are "
            "kept and reach nobody else, and those of others do not arrive. Find "
            "out why its worker pool does not run or cannot reach the database."
        ),
        runbook=f"{runbooks}/worker-missing",
    )
