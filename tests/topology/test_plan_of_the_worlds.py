"""The plans of production and of the local world."""

import dataclasses
import json
import subprocess
import sys

import pytest

from topology import Plan, load, make_plan
from topology.blocks import Collector, TelemetrySettings
from topology.facts import places, round_trips
from topology.findings import Level, fold
from topology.reader import ROOT

QUOTA = {"quota-memory", "quota-cpu"}


@pytest.fixture(scope="module")
def prod() -> Plan:
    return make_plan(load("prod"))


@pytest.fixture(scope="module")
def local() -> Plan:
    return make_plan(load("local"))


def test_production_has_the_sizes_of_the_capacity_table(prod: Plan) -> None:
    hub, regional = prod.regions["us-central1"], prod.regions["me-west1"]
    assert (hub.streams, hub.instances, hub.instances_max) == (80_000_000, 800, 8000)
    assert (regional.streams, regional.instances) == (10_000_000, 100)
    assert hub.addresses == 1600
    assert (hub.vcpu, hub.memory_gib) == (802 * 4, 802 * 16)
    totals = prod.totals
    assert totals["instances"] == 5000
    assert totals["instances_max"] == 50_000
    assert totals["streams"] == 500_000_000
    assert (totals["regions"], totals["primaries"], totals["replicas"]) == (15, 5, 10)


def test_production_is_not_possible_as_granted_and_says_why(prod: Plan) -> None:
    codes = {finding.code for finding in prod.errors}
    budgets = {"budget-monthly", "budget-daily", "budget-hourly"}
    assert codes == QUOTA | budgets | {"image-digest", "sql-connections"}
    assert len([f for f in prod.errors if f.code == "quota-memory"]) == 15
    first = next(f for f in prod.errors if f.place == "us-central1")
    assert first.code == "quota-memory", "memory binds first"
    assert str(first) == (
        "error: us-central1 needs 128,192 GiB (8,012 instances x 16), 400 granted: "
        "request `MemAllocPerProjectRegion` >= 137,645,111,902,208 bytes, or set "
        "max_instances to 13 [quota-memory]"
    )
    assert prod.verdict.startswith(
        "impossible because of budget-monthly (costs 13,583,741 USD monthly at baseline"
    )
    assert prod.verdict.endswith(
        "sql-connections (in 5 places); besides, only after these quota requests: "
        "quota-memory (in 15 places), quota-cpu (in 15 places); run `meridian image "
        "build` and put its digest under image.digest"
    )
    assert prod.verdicts["us-east1"] == (
        "possible after these quota requests: quota-memory (needs 16,192 GiB (1,012 "
        "instances x 16), 400 granted), quota-cpu (needs 4,048 vCPU (1,012 instances x "
        "4), 200 granted)"
    )


def test_the_remedy_of_a_finding_removes_it(prod: Plan) -> None:
    catalogue = prod.catalogue
    regions = {
        name: dataclasses.replace(region, min_instances=10, max_instances=11)
        for name, region in catalogue.regions.items()
    }
    image = dataclasses.replace(catalogue.image, digest=f"sha256:{'a' * 64}")
    budget = dataclasses.replace(
        catalogue.budget, monthly=14_000_000, daily=450_000, hourly=20_000
    )
    cured = dataclasses.replace(catalogue, regions=regions, image=image, budget=budget)
    assert make_plan(cured).errors == ()


def test_failover_beyond_the_goal_is_a_warning_in_five_regions(prod: Plan) -> None:
    far = {f.place: f for f in prod.findings if f.code == "failover-distance"}
    assert set(far) == {
        "asia-south1",
        "australia-southeast1",
        "me-west1",
        "southamerica-east1",
        "us-west1",
    }
    assert "(estimated)" in far["me-west1"].message
    assert {f.level for f in far.values()} == {Level.WARNING}


def test_an_estimate_does_not_choose_a_failover_target(prod: Plan) -> None:
    assert prod.regions["asia-south1"].failover[0] == "asia-southeast1"


def test_the_local_world_is_possible(local: Plan) -> None:
    assert local.errors == ()
    assert local.verdict == "possible"
    assert local.totals["instances_max"] == 300
    assert {region.instances for region in local.regions.values()} == {1}


def test_hubs_are_created_before_the_regions_that_copy_them(prod: Plan) -> None:
    order = [region.name for region in prod.creation_order]
    for region in prod.regions.values():
        origin = region.database.replica_of
        assert origin is None or order.index(origin) < order.index(region.name)


def test_a_region_that_does_not_serve_is_nobodys_stand_in(local: Plan) -> None:
    catalogue = local.catalogue
    off = dataclasses.replace(catalogue.regions["us-east1"], serving=False)
    regions = {**catalogue.regions, "us-east1": off}
    plan = make_plan(dataclasses.replace(catalogue, regions=regions))
    assert "us-east1" not in plan.serving
    assert all("us-east1" not in r.failover for r in plan.regions.values())


def test_a_region_can_be_taken_out_of_the_local_world(local: Plan) -> None:
    catalogue = local.catalogue
    regions = {n: r for n, r in catalogue.regions.items() if n != "me-west1"}
    plan = make_plan(dataclasses.replace(catalogue, regions=regions))
    assert len(plan.regions) == 14
    assert sum(region.share for region in plan.regions.values()) == pytest.approx(1)


def test_eleven_replicas_of_one_primary_are_refused(local: Plan) -> None:
    catalogue = local.catalogue
    regions = {
        name: region
        if name == "us-central1"
        else dataclasses.replace(
            region,
            tier=catalogue.regions["us-east1"].tier,
            hub="us-central1",
            replica_of=None,
        )
        for name, region in list(catalogue.regions.items())[:12]
    }
    plan = make_plan(dataclasses.replace(catalogue, regions=regions))
    (finding,) = [f for f in plan.errors if f.code == "sql-replicas"]
    assert str(finding) == (
        "error: us-central1 has 11 read replicas, 10 are allowed a primary: give some "
        "regions another hub, or make one of them a hub [sql-replicas]"
    )


def test_connections_count_every_region_that_writes_to_a_hub(local: Plan) -> None:
    # us-central1 and three regions write, two connections each; its own read, four,
    # and its worker has five more.
    hub = local.regions["us-central1"].database
    assert hub.connections == 4 * (1 + 1) * 2 + (1 + 1) * 4 + 5
    assert hub.connections_max == 4 * (20 + 2 + 1) * 2 + (20 + 2 + 1) * 4 + 5
    assert local.regions["us-east1"].database.connections == (1 + 1) * 4 + 5
    limit = local.catalogue.database.max_connections
    assert all(r.database.connections_max <= limit for r in local.regions.values())


def test_the_plan_has_the_shape_that_others_rely_on(prod: Plan) -> None:
    body = json.loads(json.dumps(prod.to_json()))
    assert body == prod.to_json()
    assert set(body) >= {"regions", "totals", "findings", "verdict"}
    for region in body["regions"].values():
        assert set(region) >= {"instances", "vcpu", "memory_gib", "addresses"}
    for finding in body["findings"]:
        assert set(finding) == {"level", "code", "place", "message", "remedy"}
    levels = [finding["level"] for finding in body["findings"]]
    assert levels == sorted(levels, key=["error", "warning", "info"].index)


def test_the_service_is_told_every_limit(local: Plan) -> None:
    assert set(json.loads(local.service_limits())) == {
        "concurrency",
        "max_batch_items",
        "max_body_bytes",
        "max_collection_bytes",
        "max_dimension",
        "max_metadata_bytes",
        "max_streams_per_connection",
    }


def test_findings_fold_over_regions(prod: Plan) -> None:
    lines = fold(prod.errors)
    assert len(lines) == 7
    memory = next(line for line in lines if "[quota-memory]" in line)
    assert memory.endswith("southamerica-east1, us-east1, us-west1, "
                           "northamerica-northeast1, europe-west2, europe-west3, "
                           "europe-north1, me-west1, asia-south1, "
                           "australia-southeast1, asia-east1")  # fmt: skip


def test_every_pair_of_regions_has_a_round_trip() -> None:
    names = list(places())
    assert len(names) == 15
    pairs = {(a, b) for a in names for b in names if a != b}
    assert set(round_trips()) == pairs
    estimated = {a for (a, _), trip in round_trips().items() if not trip.measured}
    assert {p for p in pairs if not round_trips()[p].measured} == {
        pair for pair in pairs if "me-west1" in pair
    }
    assert "me-west1" in estimated


def test_the_model_needs_no_pulumi() -> None:
    code = (
        "import sys, topology; topology.make_plan(topology.load('prod')).to_json(); "
        "print(sorted({n.split('.')[0] for n in sys.modules} & "
        "{'pulumi', 'pulumi_gcp', 'grpc', 'components', 'stacks', 'dashboards'}))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert (answer.returncode, answer.stdout) == (0, "[]\n"), answer.stderr


def test_a_collectors_image_without_a_sidecar_is_said_to_be_of_no_use(
    local: Plan,
) -> None:
    def codes(collector: Collector, image: str | None) -> set[str]:
        telemetry = TelemetrySettings(collector=collector, image=image)
        made = make_plan(dataclasses.replace(local.catalogue, telemetry=telemetry))
        return {f.code for f in made.findings}

    image = f"example.com/collector@sha256:{'c' * 64}"
    assert "collector-image" in codes(Collector.SERVICE, image)
    assert "collector-image" in codes(Collector.PLATFORM, image)
    assert "collector-image" not in codes(Collector.SIDECAR, image)
    assert "collector-image" not in codes(Collector.SERVICE, None)
