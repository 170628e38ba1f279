"""Dashboards and alert policies in the one form that shows no change."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dashboards import alert_policies, dashboards, upkeep, world
from dashboards.alerts import Alert, Severity
from dashboards.canonical import canonical, digest, prune
from dashboards.widgets import COLUMNS, Board, Chart, Series, Unit
from topology import Plan, load, make_plan

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", params=["prod", "local"])
def plan(request: pytest.FixtureRequest) -> Plan:
    return make_plan(load(request.param))


@pytest.fixture
def board(plan: Plan) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(dashboards(plan)["world"])
    return body


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        assert value, "an empty block"
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        assert value, "an empty list"
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def queries(plan: Plan) -> list[str]:
    text = "".join(dashboards(plan).values()) + "".join(alert_policies(plan).values())
    found = re.findall(r'"(?:prometheusQuery|query)":"((?:[^"\\]|\\.)*)"', text)
    assert len(found) >= 15
    return [json.loads(f'"{query}"') for query in found]


def test_the_world_has_eight_tiles_or_more_and_six_alerts(
    plan: Plan, board: dict[str, Any]
) -> None:
    assert len(board["mosaicLayout"]["tiles"]) >= 8
    assert len(alert_policies(plan)) == 6


def verdicts(*asked: tuple[str, Any]) -> list[str | None]:
    """What Google's types say; in a process of its own, see `dashboards.validation`."""
    lines = [json.dumps({"kind": kind, "body": body}) for kind, body in asked]
    answer = subprocess.run(
        [sys.executable, "-m", "dashboards.validation"],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return [json.loads(line)["error"] for line in answer.stdout.splitlines()]


def test_google_accepts_every_dashboard_and_policy() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "dashboards.validation", "prod", "local"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout == "dashboards and alert policies are valid\n"


def test_nothing_is_sent_that_the_server_would_drop(plan: Plan) -> None:
    for text in [*dashboards(plan).values(), *alert_policies(plan).values()]:
        body = json.loads(text)
        assert not {"name", "etag"} & set(body)
        for leaf in leaves(body):
            assert leaf not in (None, "", 0, False)
        assert text == canonical(body), "sorted and without spaces"


def test_tiles_do_not_overlap_and_stay_inside(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for tile in board["mosaicLayout"]["tiles"]:
        left, top = tile.get("xPos", 0), tile.get("yPos", 0)
        assert left + tile["width"] <= COLUMNS
        cells = {
            (x, y)
            for x in range(left, left + tile["width"])
            for y in range(top, top + tile["height"])
        }
        assert not taken & cells
        taken |= cells


def test_queries_ask_only_for_metrics_that_the_service_has(plan: Plan) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.split("### Metrics")[1].split("###")[0]
    known = set(re.findall(r"meridian_[a-z_]+", section))
    for query in queries(plan):
        for name in re.findall(r"\bmeridian_[a-z_]+", query):
            base = re.sub(r"_(bucket|count|sum)$", "", name)
            assert base in known, query


def test_a_key_that_is_only_removed_changes_the_label(plan: Plan) -> None:
    full = world.world_board(plan)
    fewer = replace(full, rows=full.rows[:-1])
    assert digest(full.body()) != digest(fewer.body())
    body = json.loads(dashboards(plan)["world"])
    assert body["labels"]["content"] == digest(full.body())


def test_thresholds_are_those_of_the_catalogue(
    plan: Plan, board: dict[str, Any]
) -> None:
    goals = plan.catalogue.objectives
    lines = {
        tile["widget"]["title"]: tile["widget"]["xyChart"]["thresholds"][0]["value"]
        for tile in board["mosaicLayout"]["tiles"]
        if "thresholds" in tile["widget"].get("xyChart", {})
    }
    assert lines["From acknowledged write to notification"] == goals.notify_seconds
    assert lines["Server errors by region"] == goals.error_ratio
    assert lines["Changes behind each hub"] == goals.lag_changes
    assert f"> {goals.lag_changes}" in alert_policies(plan)["region-behind"]


def test_the_line_of_an_age_is_where_its_alert_begins(
    plan: Plan, board: dict[str, Any]
) -> None:
    charts = [
        tile["widget"].get("xyChart", {}) for tile in board["mosaicLayout"]["tiles"]
    ]
    for key in ("states-not-compared", "snapshots-old"):
        (condition,) = json.loads(alert_policies(plan)[key])["conditions"]
        query = condition["conditionPrometheusQueryLanguage"]["query"]
        asked, _, greatest = query.partition(" > ")
        (line,) = [
            chart["thresholds"][0]["value"]
            for chart in charts
            for data in chart.get("dataSets", ())
            if data["timeSeriesQuery"]["prometheusQuery"] == asked
        ]
        assert line == float(greatest) > 0


def test_every_alert_links_its_runbook(plan: Plan) -> None:
    for key, text in alert_policies(plan).items():
        (link,) = json.loads(text)["documentation"]["links"]
        assert link["url"] == f"{plan.catalogue.objectives.runbooks}/{key}"


def test_alerts_on_ages_have_a_page_that_names_alert_and_metric() -> None:
    for key, alert in upkeep.alerts("https://example.com").items():
        page = (ROOT / "docs" / "runbooks" / f"{key}.md").read_text(encoding="utf-8")
        (metric,) = re.findall(r"\bmeridian_[a-z_]+", alert.query)
        assert f"`{alert.name}`" in page
        assert f"`{metric}`" in page


def chart(**changes: Any) -> Chart:
    made = Chart(title="A", unit=Unit.COUNT, series=[Series(query="up")])
    return replace(made, **changes)


def test_a_tile_too_wide_is_named() -> None:
    wide = chart(title="Wide", width=40)
    with pytest.raises(ValueError, match="tile 'Wide': width 40 starts at column 24"):
        Board(title="b", rows=[[chart(), wide]]).body()


def test_what_google_would_refuse_names_tile_and_field(plan: Plan) -> None:
    coloured = prune(Board(title="b", rows=[[chart()]]).body())
    coloured["mosaicLayout"]["tiles"][0]["widget"]["xyChart"]["colour"] = "red"
    severe = json.loads(alert_policies(plan)["region-behind"])
    severe["severity"] = "TERRIBLE"
    cases = {
        "sum(rate(x[1m])": "ends inside a bracket",
        "sum(x]": "closes nothing",
        'x{a="b}': "ends inside a bracket or a text",
        " ": "empty: write a query",
    }
    boards = [
        prune(Board(title="b", rows=[[chart(series=[Series(query=query)])]]).body())
        for query in cases
    ]
    first, second, *rest = verdicts(
        ("dashboard", coloured),
        ("alert", severe),
        *(("dashboard", body) for body in boards),
    )
    assert first is not None
    assert re.match(r"tile 'A': .*colour", first)
    assert second is not None
    assert re.match(r"alert 'A region is behind': .*severity", second)
    for said, fault in zip(rest, cases.values(), strict=True):
        assert said is not None
        assert said.startswith("tile 'A': prometheusQuery: ")
        assert fault in said


def test_an_evaluation_that_google_refuses_is_refused_here() -> None:
    with pytest.raises(ValueError, match="alert Odd: every_seconds: 45 s is no mult"):
        Alert(
            name="Odd",
            title="Odd",
            query="up == 0",
            lasting_seconds=60,
            every_seconds=45,
            severity=Severity.WARNING,
            summary="s",
            runbook="https://example.com/odd",
        )
