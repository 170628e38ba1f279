"""Prices: the peer's bill, the plan's own, and what happens where one is missing."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from topology import bill, events, load, make_plan, peer, what_if
from topology.bill import price_items
from topology.blocks import EventSettings
from topology.findings import Level
from topology.marks import Mark
from topology.prices import HOURS, price_book
from topology.reader import ROOT
from topology.trace import Model

BOOK = price_book()
CASES = yaml.safe_load((ROOT / "tests" / "data" / "peer_bill.yaml").read_text())
GOLDENS = ROOT.parent / "shared" / "pricing" / "infracost_goldens"


@pytest.fixture(scope="module")
def model() -> Model:
    return make_plan(load("prod")).model


@pytest.mark.parametrize("row", CASES["rows"], ids=lambda row: row["row"])
def test_a_row_of_the_peers_bill_comes_out_within_a_percent(row: Any) -> None:
    made = price_items(BOOK, row["row"], row["items"]).amount
    assert made is not None
    assert made * row.get("times", 1) == pytest.approx(row["usd"], rel=0.01)


@pytest.mark.parametrize("service", CASES["lines"])
def test_a_line_of_the_peers_bill_comes_out_within_a_percent(service: str) -> None:
    amounts = {line.service: line.amount for line in peer.bill(BOOK).lines}
    assert amounts[service] == pytest.approx(CASES["lines"][service], rel=0.01)


def test_the_peers_totals_come_out_within_a_percent() -> None:
    made = peer.bill(BOOK)
    egress = made.by("service")["Internet egress"]
    assert made.complete
    assert made.total == pytest.approx(9_051_000, rel=0.01)
    assert made.total - egress == pytest.approx(4_018_000, rel=0.01)


def test_the_peers_event_is_the_price_of_ten_times_not_fifty() -> None:
    assert peer.burst(BOOK, 45_000, 3, "request") == pytest.approx(88_569, rel=0.001)
    assert peer.burst(BOOK, 45_000, 3, "instance") == pytest.approx(59_136, rel=0.001)
    assert peer.burst(BOOK, 45_000, 4, "request") == pytest.approx(118_092, rel=0.001)
    assert peer.burst(BOOK, 245_000, 3, "request") == pytest.approx(482_207, rel=0.001)
    assert peer.burst(BOOK, 245_000, 3, "instance") == pytest.approx(321_965, rel=0.001)


def test_every_difference_to_the_peer_is_explained(model: Model) -> None:
    month = bill.month(model)
    rows = peer.compare(model, month)
    assert sum(row["plan"] for row in rows) == pytest.approx(month.total)
    for row in rows:
        theirs, ours = row["peer_at_list"], row["plan"]
        if abs(theirs - ours) > 0.01 * max(theirs, ours):
            assert "peer: " in row["why"] and "plan: " in row["why"], row


def test_the_lines_add_up_and_so_do_regions_and_services(model: Model) -> None:
    month = bill.month(model)
    assert month.total == pytest.approx(model.value("price_month"))
    assert sum(month.by("region").values()) == pytest.approx(month.total)
    assert sum(month.by("service").values()) == pytest.approx(month.total)
    body = json.loads(json.dumps(month.to_json()))
    assert set(body) == {"currency", "month", "lines"}
    assert set(body["month"]) == {"total", "complete"}
    assert all(
        set(row) == {"service", "region", "amount", "mark"} for row in body["lines"]
    )


def test_commitments_give_the_prices_of_the_bill(model: Model) -> None:
    found = what_if.billing_models(model)
    assert found["instance-based"] == pytest.approx(1_475_885, rel=0.001)
    assert found["instance-based, one_year commitment"] == pytest.approx(1_062_637)
    assert found["instance-based, three_years commitment"] == pytest.approx(796_978)


def test_a_price_that_is_removed_is_unknown_and_the_total_a_lower_bound() -> None:
    whole = bill.month(make_plan(load("prod")).model)
    plan = make_plan(load("prod"), BOOK.without("egress.internet", "me-west1"))
    month = bill.month(plan.model)
    (line,) = [line for line in month.to_json()["lines"] if line["amount"] == "unknown"]
    assert (line["service"], line["region"]) == ("Internet egress", "me-west1")
    assert not month.complete and month.total < whole.total
    assert plan.model.value("unpriced") == 1
    (finding,) = [f for f in plan.findings if f.code == "price-unknown"]
    assert str(finding) == (
        "error: me-west1 has no price for Internet egress, so the budget of 5,000,000 "
        "cannot be held against the plan: add the missing rows to "
        "topology/data/prices.csv [price-unknown]"
    )


def test_a_region_without_any_price_is_refused() -> None:
    book = BOOK.without("index.managed", "europe-west1")
    plan = make_plan(load("prod"), book)
    (finding,) = [f for f in plan.findings if f.code == "price-unknown"]
    assert finding.level is Level.ERROR
    assert "no price for Memorystore, Cloud SQL" in finding.message


def test_an_estimate_is_marked_and_a_price_of_google_is_not(model: Model) -> None:
    marks = {(li.service, li.region): li.mark for li in bill.month(model).lines}
    assert marks["Memorystore", "europe-west3"] is Mark.ASSUMED
    assert marks["Memorystore", "us-central1"] is Mark.DERIVED
    assert marks["Cloud Run instances", "europe-west3"] is Mark.DERIVED


def test_every_price_has_a_source_and_a_date() -> None:
    for price in BOOK.prices.values():
        assert price.source and re.fullmatch(r"20\d\d(-\d\d){1,2}", price.date), price
        assert all(usd >= 0 for _, usd in price.tiers)


def test_the_sweep_finds_where_a_budget_stops_holding(model: Model) -> None:
    found = what_if.most_bytes(model, 2_750_000)
    assert found is not None
    at = what_if.with_bytes(model, found).value("price_month")
    assert at == pytest.approx(2_750_000, rel=0.001)
    assert what_if.most_bytes(model, 1000) is None
    prices = list(what_if.sweep_bytes(model).values())
    assert prices == sorted(prices)


@settings(deadline=None, max_examples=60)
@given(st.floats(0, 1e8), st.floats(0, 1e8))
def test_graded_prices_never_fall_nor_pay_a_byte_twice(a: float, b: float) -> None:
    for price in BOOK.prices.values():
        if len(price.tiers) == 1:
            continue
        low, high = sorted((a, b))
        dearest = max(usd for _, usd in price.tiers)
        assert price.cost(low) <= price.cost(high) + 1e-6
        assert price.cost(high) <= high * dearest + 1e-6


@settings(deadline=None, max_examples=30)
@given(times=st.floats(1, 20), hours=st.floats(0.5, 48))
def test_an_event_costs_more_the_longer_and_larger(times: float, hours: float) -> None:
    model = make_plan(load("local")).model
    start = "2026-07-19T18:00Z"

    def total(multiplier: float, span: float) -> float:
        event = EventSettings(start=start, hours=span, multiplier=multiplier)
        return events.bill(model, event).total or 0.0

    assert total(times, hours) <= total(times, hours * 2) + 1e-9
    assert total(times, hours) <= total(times * 2, hours) + 1e-9
    assert (
        events.bill(model, EventSettings(start=start, hours=hours, multiplier=1)).extra
        == 0
    )


GOLDEN = re.compile(r"[├└]─ (.+?)\s{2,}([\d,.]+)\s{2,}(.+?)\s{2,}\$([\d,.]+)")


def golden(name: str) -> dict[tuple[str, str], float]:
    """Unit prices of a golden by resource and line."""
    found: dict[tuple[str, str], float] = {}
    resource = ""
    for line in (GOLDENS / f"{name}_test.golden").read_text().splitlines():
        if re.match(r" google_", line):
            resource = line.split(".", 1)[1].split()[0]
        match = GOLDEN.search(line)
        if match:
            what, amount, _, cost = match.groups()
            quantity = float(amount.replace(",", ""))
            found[resource, what.strip()] = float(cost.replace(",", "")) / quantity
    return found


CHECKS = [
    ("cloud_run_v2_service", ("throttling_disabled", "CPU allocation time (tier 2)"),
     "run.instance.cpu", "europe-west3", 1.0),
    ("cloud_run_v2_service", ("throttling_disabled", "Memory allocation time (tier 2)"),
     "run.instance.memory", "europe-west3", 1.0),
    ("cloud_run_v2_service", ("throttling_enabled", "CPU allocation time (tier 2)"),
     "run.request.cpu", "europe-west3", 1.0),
    ("cloud_run_v2_service", ("throttling_enabled", "Memory allocation time (tier 2)"),
     "run.request.memory", "europe-west3", 1.0),
    ("cloud_run_v2_service", ("throttling_enabled", "Number of requests"),
     "run.requests", "global", 1e-6),
    ("redis_instance", ("standard_m5", "Redis instance (standard, M5)"),
     "redis.standard.m5", "us-central1", HOURS),
    ("redis_instance", ("standard_m4", "Redis instance (standard, M4)"),
     "redis.standard.m4", "us-central1", HOURS),
    ("redis_instance", ("standard_m3", "Redis instance (standard, M3)"),
     "redis.standard.m3", "us-central1", HOURS),
    ("pubsub_topic", ("usage", "Message ingestion data"),
     "pubsub.throughput", "global", 1024),
    ("pubsub_subscription", ("usage", "Message delivery data"),
     "pubsub.throughput", "global", 1024),
    ("service_networking_connection",
     ("my_usage_connection", "Traffic within Europe"),
     "egress.near", "europe-west1", 1),
    ("service_networking_connection",
     ("my_usage_connection", "Traffic between continents (excludes Oceania)"),
     "egress.far", "europe-west1", 1),
    ("artifact_registry_repository", ("us_east1_usage", "Storage"),
     "artifact.storage", "global", 1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "row", "price", "place", "times"), CHECKS, ids=lambda v: str(v)[:40]
)
def test_a_price_is_infracosts(
    name: str, row: tuple[str, str], price: str, place: str, times: float
) -> None:
    if not Path(GOLDENS).is_dir():
        pytest.skip("infracost's goldens are not beside the repository")
    found = BOOK.find(price, place)
    assert found is not None
    assert found.tiers[-1][1] * times == pytest.approx(golden(name)[row], rel=0.005)
