"""Every alert leads to a page, and what the pages name is there."""

import ast
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from dashboards import alert_policies
from dashboards.world import world_alerts, world_board
from service import telemetry
from service.access import knobs, overload
from service.contract.errors import STATUS
from service.log import commit, copies
from service.stream import health
from service.worker import duties, relay
from tests.docs.pages import PAGES, ROOT, RUNBOOKS, blocks, column, links, parse, spans
from topology import Plan, load, make_plan

NAMED = pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
ENVIRONMENTS = ("prod", "staging", "local")


@cache
def plan(environment: str) -> Plan:
    return make_plan(load(environment))


def page_of(key: str, environment: str = "prod") -> Path:
    """The page that an alert's link ends in."""
    policy = alert_policies(plan(environment))[key]
    (link,) = json.loads(policy)["documentation"]["links"]
    address, _, name = link["url"].rpartition("/")
    assert address == plan(environment).catalogue.objectives.runbooks
    return ROOT / "docs" / "runbooks" / f"{name}.md"


ALERTS = pytest.mark.parametrize("key", sorted(world_alerts(plan("prod"))))


@ALERTS
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_alerts_link_ends_in_a_page(key: str, environment: str) -> None:
    assert page_of(key, environment).is_file()


@NAMED
def test_every_page_is_reached_by_an_alert_or_a_link(page: Path) -> None:
    alerts = {page_of(key) for key in world_alerts(plan("prod"))}
    outside = [other for other in PAGES if other not in RUNBOOKS]
    linked = {(o.parent / link).resolve() for o in outside for link in links(o)}
    assert page in alerts | linked


@ALERTS
def test_a_page_has_its_alerts_title_name_and_expression(key: str) -> None:
    alert, text = world_alerts(plan("prod"))[key], page_of(key).read_text()
    assert text.startswith(f"# {alert.title}\n")
    assert f"`{alert.name}`" in text
    (block,) = blocks(text, "promql")
    for environment in ENVIRONMENTS:
        alert = world_alerts(plan(environment))[key]
        said = f"{alert.query}\n# for {alert.lasting_seconds} s\n"
        assert with_values(block, environment) == said


def with_values(expression: str, environment: str) -> str:
    """An expression with the catalogue's values in the places of its keys."""
    goals = plan(environment).catalogue.objectives
    return re.sub(
        r"objectives\.(\w+)", lambda key: str(getattr(goals, key[1])), expression
    )


@NAMED
def test_every_metric_that_a_page_names_exists(page: Path) -> None:
    for name in re.findall(r"\bmeridian_[a-z_]+", page.read_text()):
        assert name in metrics(), name


@cache
def metrics() -> Mapping[str, str]:
    """What a process can show, by its names and by those of its series."""
    made = telemetry.Metrics()
    made.snapshots_age(lambda: 0.0)
    histogram = ["", "_bucket", "_count", "_sum"]
    endings = {"counter": ["_total"], "histogram": histogram, "gauge": [""]}
    return {
        family.name + ending: family.type
        for family in made.registry.collect()
        for ending in endings[family.type]
    }


@NAMED
def test_every_label_that_a_page_asks_for_is_documented(page: Path) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    known = dict(re.findall(r"`(meridian_\w+)\{([\w,]+)\}`", text))
    for name, asked in re.findall(r"\b(meridian_\w+)\{([^}]*)\}", page.read_text()):
        labels = re.findall(r"(\w+)(?:=|,|$)", re.sub(r'"[^"]*"', "", asked))
        assert set(labels) <= set(known[name].split(",")), name


@NAMED
def test_every_command_in_a_sentence_exists(page: Path) -> None:
    for span in spans(page.read_text()):
        if span.startswith("meridian "):
            parse(shlex.split(span)[1:])


@NAMED
def test_every_line_of_the_log_is_as_the_service_writes_it(page: Path) -> None:
    for cell in column(page.read_text(), "line"):
        for line in spans(cell):
            if " " in line:
                assert line in messages(), line


@NAMED
def test_what_a_sentence_quotes_is_in_the_sources(page: Path) -> None:
    for span in spans(page.read_text()):
        words = re.fullmatch(r"[a-z]+:?( [a-z]+)+", span)
        if words and not re.match(r"meridian |[a-z]+: [a-z]+$", span):
            assert any(span in text for text in texts()), span


def trees() -> Iterator[ast.AST]:
    for folder in ("service", "ops"):
        for file in (ROOT / folder).rglob("*.py"):
            yield from ast.walk(ast.parse(file.read_text()))


@cache
def texts() -> frozenset[str]:
    """Every text of the service and of the command."""
    return frozenset(
        node.value
        for node in trees()
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


@cache
def messages() -> frozenset[str]:
    """What `service.telemetry.log` is called with."""
    return frozenset(
        node.args[1].value
        for node in trees()
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "log"
        and len(node.args) == 2
        and isinstance(node.args[1], ast.Constant)
    )


def test_the_services_messages_are_found() -> None:
    assert len(messages()) > 60
    assert "epoch begun" in messages()


@NAMED
def test_every_code_is_one_of_the_contract(page: Path) -> None:
    for cell in column(page.read_text(), "code"):
        assert set(spans(cell)) <= set(STATUS), cell


@NAMED
def test_every_chart_that_a_page_names_is_on_the_dashboard(page: Path) -> None:
    rows = world_board(plan("prod")).rows
    titles = {tile.title for row in rows for tile in row}
    text = page.read_text().replace("\n   ", " ").replace("\n", " ")
    assert set(re.findall(r'charts? "([^"]+)"', text)) <= titles


@NAMED
def test_every_key_of_the_catalogue_exists(page: Path) -> None:
    table = (ROOT / "docs" / "parameters.md").read_text()
    known = set(re.findall(r"^\| `([^`]+)` \|", table, re.M))
    first = {key.split(".")[0] for key in known if "." in key}
    named = [s for s in spans(page.read_text()) if re.fullmatch(r"[a-z_.*]+", s)]
    assert {s for s in named if "." in s and s.split(".")[0] in first} <= known


@pytest.mark.parametrize(
    ("page", "said", "value", "meant"),
    [
        ("region-behind", "log for two hours", duties.RETENTION_SECONDS, 7200),
        ("snapshots-old", "two hours on", duties.RETENTION_SECONDS, 7200),
        ("region-behind", "for ten seconds", health.MOST_LAG_SECONDS, 10),
        ("region-behind", "1 on an instance", overload.REFUSED_AT["free"], 1),
        ("notifications-slow", "from 1 on", overload.REFUSED_AT["free"], 1),
        ("notifications-slow", "above 0.5", overload.LOW, 0.5),
        ("notifications-slow", "50 ms", knobs.KNOBS["batch_window_ms"].high, 50),
        ("notifications-slow", "each 0.25 s", relay._POLL, 0.25),
        ("notifications-slow", "ends at 10 s", telemetry._FAST[-1], 10),
        ("requests-failing", "primary for 5 s", commit.DEADLINE, 5),
        ("requests-failing", "nears 5 s", copies.PATIENCE, 5),
    ],
)
def test_a_number_in_a_page_is_the_services(
    page: str, said: str, value: float, meant: float
) -> None:
    text = (ROOT / "docs" / "runbooks" / f"{page}.md").read_text()
    assert said in re.sub(r"\s+", " ", text)
    assert value == meant
