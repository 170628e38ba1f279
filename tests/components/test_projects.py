"""Staging: three regions and two projects, so nothing is wired to 15 or to one."""

import dataclasses
import json
from collections import Counter
from pathlib import Path

import pytest
import recording

from stacks import upstream
from topology import load, slices

BASE, OWN = "meridian-staging-base", "meridian-staging"


@pytest.fixture(scope="module")
def whole() -> list[recording.Registration]:
    return recording.record_world("staging")


def provider_of(world: list[recording.Registration], urn: str) -> str:
    (made,) = [r for r in world if r.urn == urn.rpartition("::")[0]]
    return str(made.inputs["project"])


def test_staging_declares_three_cells(whole: list[recording.Registration]) -> None:
    tokens = Counter(r.token for r in whole)
    assert tokens["gcp:cloudrunv2/service:Service"] == 2 * 3
    assert tokens["meridian:index:RegionalCell"] == 3
    assert tokens["pulumi:providers:gcp"] == 2


def test_each_layer_is_declared_in_its_project(
    whole: list[recording.Registration],
) -> None:
    found = {
        r.token.removeprefix("gcp:"): provider_of(whole, r.provider)
        for r in whole
        if r.token.startswith("gcp:")
    }
    own = (
        "cloudrunv2/service:Service",
        "compute/backendService:BackendService",
        "compute/regionNetworkEndpointGroup:RegionNetworkEndpointGroup",
        "redis/instance:Instance",
        "sql/databaseInstance:DatabaseInstance",
        "billing/budget:Budget",
    )
    assert found["compute/network:Network"] == BASE
    assert found["serviceaccount/account:Account"] == BASE
    assert {found[token] for token in own} == {OWN}


def test_subnets_lie_in_the_networks_project(
    whole: list[recording.Registration],
) -> None:
    subnets = [r for r in whole if r.token.endswith(":Subnetwork")]
    assert {r.inputs["project"] for r in subnets} == {BASE}
    armor = next(r for r in whole if r.token.endswith(":SecurityPolicy"))
    assert armor.inputs["project"] == OWN
    buckets = {r.inputs["project"] for r in whole if r.token.endswith(":Bucket")}
    assert buckets == {OWN}


def test_only_the_region_that_needs_more_asks_for_quota(
    whole: list[recording.Registration],
) -> None:
    asked = [r for r in whole if r.token.endswith(":SQuotaPreference")]
    found = {(r.inputs["dimensions"]["region"], r.inputs["quotaId"]) for r in asked}
    assert found == {
        ("europe-west1", "CpuAllocPerProjectRegion"),
        ("europe-west1", "MemAllocPerProjectRegion"),
    }
    assert {r.inputs["parent"] for r in asked} == {f"projects/{OWN}"}
    wanted = {r.inputs["quotaConfig"]["preferredValue"] for r in asked}
    assert wanted == {"520000", str(2080 * 2**30)}


def test_apis_are_turned_on_in_every_project(
    whole: list[recording.Registration],
) -> None:
    apis = Counter(
        r.inputs.get("project")
        for r in whole
        if r.token == "gcp:projects/service:Service"
    )
    assert set(apis) == {None, OWN}
    assert len(set(apis.values())) == 1


def test_the_slices_of_staging_are_its_whole(
    whole: list[recording.Registration],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def identity(registration: recording.Registration) -> str:
        inputs = json.dumps(registration.inputs, sort_keys=True, default=repr)
        return f"{registration.urn.split('::', 2)[2]} {inputs}"

    monkeypatch.setenv(upstream.PLANNED, str(tmp_path))
    parts: list[recording.Registration] = []
    for piece in slices.sliced(load("staging")):
        monitor = recording.RecordingMonitor()
        parts += recording.record_slice(piece, "staging", monitor=monitor)
        (tmp_path / f"{piece.name}.json").write_text(json.dumps(monitor.exports))
    declared = [r for r in parts if not r.token.startswith("pulumi:")]
    expected = [r for r in whole if not r.token.startswith("pulumi:")]
    assert Counter(map(identity, declared)) == Counter(map(identity, expected))


def test_a_pooler_stands_before_every_server(declare: recording.Declare) -> None:
    catalogue = load("prod-granted", recording.ROOT / "tests" / "data")
    kept = ("us-central1", "us-east1")
    regions = {name: catalogue.regions[name] for name in kept}
    world = declare(dataclasses.replace(catalogue, regions=regions))
    assert not [r for r in world if r.token == "meridian:index:Quotas"], "all granted"
    servers = [r for r in world if r.token.endswith(":DatabaseInstance")]
    tiers = {r.inputs["settings"]["tier"] for r in servers}
    assert tiers == {"db-perf-optimized-N-4", "db-perf-optimized-N-2"}
    for server in servers:
        (pool,) = server.inputs["settings"]["connectionPoolConfigs"]
        # 800 for two users of one pooler.
        assert pool["flags"] == [{"name": "max_pool_size", "value": "400"}]
    for service in (r for r in world if r.token.endswith("v2/service:Service")):
        (container,) = service.inputs["template"]["containers"]
        values = {env["name"]: env.get("value") for env in container["envs"]}
        assert values["DATABASE_PRIMARY"].endswith(":6432")
        assert values["DATABASE_POOLED"] == "1"
    for workers in (r for r in world if r.token.endswith(":WorkerPool")):
        (container,) = workers.inputs["template"]["containers"]
        values = {env["name"]: env.get("value") for env in container["envs"]}
        for name in ("DATABASE_PRIMARY", "DATABASE_LOCAL"):
            assert values[name].endswith(":5432"), "they listen and lock"
        assert "DATABASE_POOLED" not in values
