"""Explanations say what was computed, verdicts what can be done."""

import dataclasses
import json

import pytest
from typer.testing import CliRunner

from ops.cli import app
from topology import Plan, explain, load, make_plan
from topology.explain import UnknownQuantityError
from topology.finding import Level
from topology.marks import Mark
from topology.notes import load_notes
from topology.peer import judge
from topology.plan import FIGURES
from topology.quantities import registry
from topology.reader import ROOT
from topology.revision import revision
from topology.trace import WORLD, Per, walk

GRANTED = ROOT / "tests" / "data"


@pytest.fixture(scope="module")
def prod() -> Plan:
    return make_plan(load("prod"), notes=load_notes("prod"))


@pytest.mark.parametrize("environment", ["prod", "local", "staging"])
def test_what_is_explained_is_what_is_planned(environment: str) -> None:
    plan = make_plan(load(environment))
    for name, region in plan.regions.items():
        for figure in FIGURES:
            node = explain.find(plan.model, f"{name}.{figure}")
            assert node.value == getattr(region, figure), (name, figure)
        database = region.database
        for figure in ("connections", "connections_max", "connections_limit"):
            node = explain.find(plan.model, f"{name}.sql_{figure}")
            assert node.value == getattr(database, figure)
        assert explain.find(plan.model, f"{name}.cache_gib").value == (
            region.cache.memory_gib
        )
    for total in set(plan.totals) & set(registry()) - {"price"}:
        assert explain.find(plan.model, total).value == plan.totals[total], total


def test_every_quantity_can_be_explained_everywhere(prod: Plan) -> None:
    for name, quantity in registry().items():
        places = [WORLD] if quantity.per is Per.WORLD else list(prod.regions)[:2]
        for place in places:
            node = explain.find(prod.model, f"{place}.{name}")
            assert node.formula and list(explain.lines(node))
            json.dumps(explain.to_json(node))


def test_every_given_value_has_a_mark_and_a_source(prod: Plan) -> None:
    roots = [prod.model.node("price_month"), prod.model.node("addresses_rollout")]
    leaves = [n for root in roots for n in walk(root) if not n.inputs]
    assert leaves
    assert all(leaf.source for leaf in leaves if leaf.mark is not Mark.DERIVED)
    assert {leaf.mark for leaf in leaves} >= {Mark.SOURCED, Mark.ASSUMED}


def test_a_chain_ends_in_the_catalogue_with_what_its_comments_say(prod: Plan) -> None:
    lines = list(explain.lines(prod.model.node("instances", "us-central1")))
    assert lines[0].startswith("us-central1.instances = 800 instances [derived]")
    text = "\n".join(lines)
    assert "traffic.streams = 500,000,000 standing queries [sourced] peer: 5 x" in text
    assert "service.runtime_mib = 128 MiB [assumed] assumption: twice" in text
    assert prod.regions["us-central1"].binding == "connections"


@pytest.mark.parametrize(
    ("key", "binding"),
    [
        ("bytes_per_stream", "memory"),
        ("queries_per_instance", "queries"),
        ("concurrency", "connections"),
    ],
)
def test_what_binds_is_said(prod: Plan, key: str, binding: str) -> None:
    values = {"bytes_per_stream": 2**20, "queries_per_instance": 1.0, "concurrency": 1}
    service = dataclasses.replace(prod.catalogue.service, **{key: values[key]})
    plan = make_plan(dataclasses.replace(prod.catalogue, service=service))
    assert plan.regions["us-central1"].binding == binding
    assert plan.regions["us-central1"].instances > 800


def test_an_unknown_quantity_or_region_has_near_matches(prod: Plan) -> None:
    with pytest.raises(UnknownQuantityError, match="did you mean instances"):
        explain.find(prod.model, "us-central1.instnces")
    with pytest.raises(UnknownQuantityError, match="did you mean us-central1"):
        explain.find(prod.model, "us-central.instances")


def test_production_with_all_that_it_asks_for_is_possible() -> None:
    granted = load("prod-granted", GRANTED)
    plan = make_plan(granted)
    assert plan.errors == ()
    assert plan.verdict == "possible"
    assert set(plan.verdicts.values()) == {"possible"}


def test_only_what_findings_ask_for_differs_from_production() -> None:
    granted, prod = load("prod-granted", GRANTED), load("prod")
    keys = {f.name for f in dataclasses.fields(prod)}
    differ = {key for key in keys if getattr(granted, key) != getattr(prod, key)}
    assert differ == {"environment", "image", "database", "budget", "quota", "tiers"}


def test_quota_alone_is_a_request_not_an_impossibility() -> None:
    granted = load("prod-granted", GRANTED)
    poor = dataclasses.replace(granted, quota=load("prod").quota)
    assert make_plan(poor).verdict == (
        "possible after these quota requests: quota-memory (in 15 places), quota-cpu "
        "(in 15 places)"
    )


def test_a_pace_that_is_too_slow_is_an_impossibility_with_its_remedy() -> None:
    granted = load("prod-granted", GRANTED)
    hasty = dataclasses.replace(granted.scaling, seconds_to_capacity=60)
    plan = make_plan(dataclasses.replace(granted, scaling=hasty))
    first = next(f for f in plan.errors if f.place == "us-central1")
    assert str(first) == (
        "error: us-central1 takes 4,327 s from 800 to 8,000 instances at 100 starts a "
        "minute, 60 s are wanted: keep 7,912 instances warm, or set "
        "scaling.seconds_to_capacity to 4,327 or more [start-rate]"
    )
    assert plan.verdict == "impossible because of start-rate (in 15 places)"


def test_budgets_that_contradict_each_other_are_said() -> None:
    granted = load("prod-granted", GRANTED)
    budget = dataclasses.replace(granted.budget, hourly=20_000)
    plan = make_plan(dataclasses.replace(granted, budget=budget))
    (finding,) = [f for f in plan.findings if f.code == "budget-order"]
    assert str(finding) == (
        "warning: world has budget.hourly 20,000 x 24 = 480,000 above budget.daily "
        "450,000: the hourly one is never met first: set budget.hourly to 18,750 or "
        "less [budget-order]"
    )


def test_a_region_in_another_project_than_the_edge_is_refused() -> None:
    catalogue = load("local")
    region = dataclasses.replace(catalogue.regions["me-west1"], project="other-project")
    regions = {**catalogue.regions, "me-west1": region}
    plan = make_plan(dataclasses.replace(catalogue, regions=regions))
    (finding,) = plan.errors
    assert str(finding) == (
        "error: me-west1 runs in project other-project, the edge is in meridian-local: "
        "backend service, group and Cloud Run service must share a project: give the "
        "region the edge's project, or set serving: false for other-project "
        "[project-edge]"
    )


def test_a_lone_region_has_no_partner_and_that_is_an_error() -> None:
    catalogue = load("local")
    lone = {"us-central1": catalogue.regions["us-central1"]}
    plan = make_plan(dataclasses.replace(catalogue, regions=lone))
    (finding,) = [f for f in plan.errors if f.code == "failover-none"]
    assert finding.level is Level.ERROR


def test_a_stated_stand_in_goes_first() -> None:
    catalogue = load("local")
    region = dataclasses.replace(catalogue.regions["us-east1"], failover="us-west1")
    regions = {**catalogue.regions, "us-east1": region}
    plan = make_plan(dataclasses.replace(catalogue, regions=regions))
    made = plan.regions["us-east1"]
    assert made.failover[0] == "us-west1" and made.failover.count("us-west1") == 1
    assert made.failover_ms == plan.model.value("failover_ms", "us-east1")


def test_the_peers_promises_are_judged_by_the_same_arithmetic(prod: Plan) -> None:
    rows = {row["promise"]: row for row in judge(prod.model)["promises"]}
    assert rows["instances at baseline"]["holds"]
    assert not rows["streams an instance"]["holds"]
    assert not rows["burst of 50x"]["holds"]
    assert rows["time to the ceiling"]["found"] == "4,327 s"
    assert rows["event of 3 h at 10x, instances alone"]["holds"]
    assert not rows["event of 3 h at 50x, instances alone"]["holds"]
    assert not rows["price of a month"]["holds"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["plan", "--env", "prod"], 3),
        (["plan", "--catalogue", "tests/data/prod-granted.yaml"], 0),
        (["plan", "--explain", "us-central1.vcpu"], 0),
        (["plan", "--peer", "--json"], 0),
        (["cost", "--json", "--event", "10x3h", "--compare", "peer"], 0),
    ],
)
def test_commands_end_as_they_should(
    arguments: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    answer = CliRunner().invoke(app, arguments)
    assert answer.exit_code == code, answer.output
    if "--json" in arguments:
        json.loads(answer.output)


def test_assumptions_of_the_model_make_no_cell_stale() -> None:
    catalogue = load("local")
    service = dataclasses.replace(catalogue.service, bytes_per_stream=8192)
    other = dataclasses.replace(catalogue, service=service)
    before, after = (
        revision(make_plan(made), "us-east1") for made in (catalogue, other)
    )
    assert before == after
