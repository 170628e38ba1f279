"""Alerts, dashboards, objectives and budgets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from policy import sources
from policy.field import Fault, Field
from policy.record import DEEPEST, Record, plain
from policy.rule import ADVISORY, MANDATORY, rule
from policy.rules.kinds import ALERT, BUDGET, DASHBOARD, SLO

DISTRIBUTIONS = (
    "run.googleapis.com/container/cpu/utilizations",
    "run.googleapis.com/container/memory/utilizations",
    "run.googleapis.com/container/max_request_concurrencies",
    "run.googleapis.com/container/startup_latencies",
    "run.googleapis.com/request_latencies",
    "loadbalancing.googleapis.com/https/backend_latencies",
    "loadbalancing.googleapis.com/https/frontend_tcp_rtt",
    "loadbalancing.googleapis.com/https/total_latencies",
    "pubsub.googleapis.com/subscription/push_request_latencies",
)
"""Metrics whose points are distributions."""
NUMERIC_ALIGNERS = (
    "ALIGN_INTERPOLATE", "ALIGN_MAX", "ALIGN_MEAN", "ALIGN_MIN", "ALIGN_NEXT_OLDER",
    "ALIGN_PERCENT_CHANGE", "ALIGN_STDDEV",
)  # fmt: skip
"""Aligners that refuse distributions."""
EVALUATION_SECONDS = 30
ALIGNMENT_SECONDS = 60
LINKS = 3
LABELS = 64
RENOTIFY_SECONDS = (1800, 86_400)
COLUMNS = 48
SLO_DAYS = 30
BUDGET_NAME = 60
BUDGET_CHANNELS = 5
HIGHEST_SHARE = 5.0


def conditions(record: Record, kind: str) -> Iterator[Field]:
    for condition in record.root.each("conditions"):
        found = condition.at(kind)
        if found.given:
            yield found


@rule(
    "alert-aligner-of-distribution",
    MANDATORY,
    "A distribution is aligned to a percentile.",
    f"{sources.MONITORING}: ALIGN_MEAN and its like take numbers",
    ALERT,
)
def aligner(record: Record) -> Iterator[Fault]:
    for condition in conditions(record, "conditionThreshold"):
        text = condition.at("filter").text or ""
        metric = next((m for m in DISTRIBUTIONS if f'"{m}"' in text), None)
        for aggregation in condition.each("aggregations"):
            field = aggregation.at("perSeriesAligner")
            if metric and field.text in NUMERIC_ALIGNERS:
                yield field.fault(
                    f"{metric} is a distribution, which it refuses",
                    "use ALIGN_PERCENTILE_99 or ALIGN_DELTA",
                )


@rule(
    "alert-evaluation-interval",
    MANDATORY,
    "A PromQL condition is evaluated every multiple of 30 seconds.",
    sources.MONITORING,
    ALERT,
)
def evaluation_interval(record: Record) -> Iterator[Fault]:
    for condition in conditions(record, "conditionPrometheusQueryLanguage"):
        field = condition.at("evaluationInterval")
        seconds = field.seconds
        if seconds is not None and (seconds <= 0 or seconds % EVALUATION_SECONDS):
            yield field.fault("multiples of 30s are possible", "set 30s or 60s")


@rule(
    "alert-alignment-period",
    MANDATORY,
    "Series are aligned to a minute or more.",
    sources.MONITORING,
    ALERT,
)
def alignment_period(record: Record) -> Iterator[Fault]:
    for condition in conditions(record, "conditionThreshold"):
        for aggregation in condition.each("aggregations"):
            field = aggregation.at("alignmentPeriod")
            if field.seconds is not None and field.seconds < ALIGNMENT_SECONDS:
                yield field.fault(
                    f"{ALIGNMENT_SECONDS}s or more is possible", "set 60s"
                )


@rule(
    "alert-no-mql",
    ADVISORY,
    "Alerts are written in PromQL.",
    "Digest of Google Cloud release notes, Query Language, 2025-07-22",
    ALERT,
)
def no_mql(record: Record) -> Iterator[Fault]:
    for condition in conditions(record, "conditionMonitoringQueryLanguage"):
        yield condition.at("query").fault(
            "MQL takes nothing new since 2025-07-22",
            "write the query in PromQL",
        )


@rule(
    "alert-links",
    MANDATORY,
    "Documentation of an alert has at most three links.",
    sources.MONITORING,
    ALERT,
)
def links(record: Record) -> Iterator[Fault]:
    if len(record.root.each("documentation.links")) > LINKS:
        yield record.at("documentation.links").fault(
            f"{LINKS} links are possible", "link the runbook, which has the others"
        )


@rule(
    "alert-renotify",
    MANDATORY,
    "A reminder comes every 30 minutes to 24 hours.",
    sources.MONITORING,
    ALERT,
)
def renotify(record: Record) -> Iterator[Fault]:
    for entry in record.root.each("alertStrategy.notificationChannelStrategies"):
        field = entry.at("renotifyInterval")
        low, high = RENOTIFY_SECONDS
        if field.seconds is not None and not low <= field.seconds <= high:
            yield field.fault(f"{low}s to {high}s are possible", f"set {low}s")


@rule(
    "alert-labels",
    MANDATORY,
    "An alert has at most 64 labels.",
    sources.MONITORING,
    ALERT,
)
def labels(record: Record) -> Iterator[Fault]:
    count = len(list(record.root.entries("userLabels")))
    if count > LABELS:
        yield record.at("userLabels").fault(
            f"{LABELS} are possible, {count} given", "leave some out"
        )


def dashboard(record: Record) -> Field:
    """A dashboard's JSON as fields; nothing where it cannot be read."""
    field = record.at("dashboardJson")
    try:
        made = json.loads(field.text or "null")
    except (ValueError, RecursionError):
        return Field(None, field.path)
    return Field(plain(made), field.path)


def widgets(field: Field, kind: str, depth: int = 0) -> Iterator[Field]:
    """Blocks under a key, wherever they stand."""
    value: Any = field.value
    if depth > DEEPEST:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            here = Field(inner, f"{field.path}.{key}")
            if key == kind:
                yield here
            yield from widgets(here, kind, depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            here = Field(inner, f"{field.path}[{index}]")
            yield from widgets(here, kind, depth + 1)


@rule(
    "dashboard-chart-colour",
    MANDATORY,
    "A threshold of a chart has no colour.",
    f"{sources.DASHBOARDS}: not allowed in an XyChart",
    DASHBOARD,
)
def chart_colour(record: Record) -> Iterator[Fault]:
    for chart in widgets(dashboard(record), "xyChart"):
        for threshold in chart.each("thresholds"):
            for key in ("color", "direction"):
                field = threshold.at(key)
                if field.given:
                    yield field.fault(
                        "a chart's threshold takes a value and an axis",
                        "leave it out",
                    )


@rule(
    "dashboard-scorecard-direction",
    MANDATORY,
    "A threshold of a scorecard says colour and direction.",
    f"{sources.DASHBOARDS}: unspecified is not allowed",
    DASHBOARD,
)
def scorecard_direction(record: Record) -> Iterator[Fault]:
    for card in widgets(dashboard(record), "scorecard"):
        for threshold in card.each("thresholds"):
            for key in ("color", "direction"):
                field = threshold.at(key)
                if field.absent or (field.text or "").endswith("_UNSPECIFIED"):
                    yield field.fault(
                        "a scorecard's threshold must have it",
                        "set YELLOW or RED, and ABOVE or BELOW",
                    )


@rule(
    "dashboard-columns",
    MANDATORY,
    "A mosaic has 1 to 48 columns, and its tiles lie inside.",
    sources.DASHBOARDS,
    DASHBOARD,
)
def columns(record: Record) -> Iterator[Fault]:
    for mosaic in widgets(dashboard(record), "mosaicLayout"):
        count = mosaic.at("columns")
        if count.outside(1, COLUMNS):
            yield count.fault(f"1 to {COLUMNS} are possible", "set 48")
        for tile in mosaic.each("tiles"):
            width = tile.at("width")
            end = (tile.at("xPos").number or 0) + (width.number or 0)
            if count.number is not None and end > count.number:
                yield width.fault(
                    f"the tile ends in column {end:g} of {count.shown()}",
                    "make it narrower, or move it",
                )


@rule(
    "slo-period",
    MANDATORY,
    "An objective rolls over 1 to 30 whole days.",
    sources.MONITORING,
    SLO,
)
def slo_period(record: Record) -> Iterator[Fault]:
    field = record.at("rollingPeriodDays")
    number = field.number
    if field.outside(1, SLO_DAYS) or (number is not None and number % 1):
        yield field.fault(f"1 to {SLO_DAYS} whole days are possible", "set 28")


@rule(
    "slo-goal",
    MANDATORY,
    "An objective is above 0 and at most 0.9999.",
    sources.MONITORING,
    SLO,
)
def slo_goal(record: Record) -> Iterator[Fault]:
    field = record.at("goal")
    number = field.number
    if number is not None and not 0 < number <= 0.9999:
        yield field.fault("above 0, up to 0.9999 is possible", "write 99.9 % as 0.999")


@rule(
    "budget-name",
    MANDATORY,
    "A budget's name has at most 60 characters.",
    sources.BUDGETS,
    BUDGET,
)
def budget_name(record: Record) -> Iterator[Fault]:
    field = record.at("displayName")
    length = len(field.text or "")
    if length > BUDGET_NAME:
        yield field.fault(f"{BUDGET_NAME} are possible, {length} given", "shorten it")


@rule(
    "budget-thresholds",
    MANDATORY,
    "A budget tells at shares of its amount, 1.0 being all of it.",
    sources.BUDGETS,
    BUDGET,
)
def budget_thresholds(record: Record) -> Iterator[Fault]:
    rules = record.at("thresholdRules")
    if rules.empty:
        yield rules.fault("nobody is ever told", "set 0.5, 0.8 and 1.0")
    for entry in record.root.each("thresholdRules"):
        share = entry.at("thresholdPercent")
        if share.outside(0, HIGHEST_SHARE) or share.number == 0:
            yield share.fault(
                f"a share above 0 and up to {HIGHEST_SHARE:g} is meant, 1.0 is all",
                "divide the per cent by 100",
            )


@rule(
    "budget-channels",
    MANDATORY,
    "A budget writes to at most five channels.",
    sources.BUDGETS,
    BUDGET,
)
def budget_channels(record: Record) -> Iterator[Fault]:
    field = record.at("allUpdatesRule.monitoringNotificationChannels")
    items = record.root.each("allUpdatesRule.monitoringNotificationChannels")
    if len(items) > BUDGET_CHANNELS:
        yield field.fault(
            f"{BUDGET_CHANNELS} channels are possible", "publish to the topic instead"
        )
