"""The world program as the engine would see it."""

import dataclasses
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import recording
from recording import Declare

from stacks.environment import InputError, with_digest
from topology import Catalogue, load
from topology.catalogue import Layout

URNS = Path(__file__).parent / "urns"
REGIONS = 15
HUBS = 5

INVENTORY = {
    "gcp:artifactregistry/repository:Repository": 1,
    "gcp:billing/budget:Budget": 1,
    "gcp:certificatemanager/certificate:Certificate": 1,
    "gcp:certificatemanager/certificateMap:CertificateMap": 1,
    "gcp:certificatemanager/certificateMapEntry:CertificateMapEntry": 1,
    "gcp:certificatemanager/dnsAuthorization:DnsAuthorization": 1,
    "gcp:cloudrunv2/service:Service": 2 * REGIONS,
    "gcp:cloudrunv2/workerPool:WorkerPool": REGIONS,
    "gcp:compute/backendService:BackendService": 3,
    "gcp:compute/globalAddress:GlobalAddress": 3,
    "gcp:compute/globalForwardingRule:GlobalForwardingRule": 4,
    "gcp:compute/network:Network": 1,
    "gcp:compute/regionNetworkEndpointGroup:RegionNetworkEndpointGroup": 2 * REGIONS,
    "gcp:compute/sSLPolicy:SSLPolicy": 1,
    "gcp:compute/securityPolicy:SecurityPolicy": 1,
    "gcp:compute/subnetwork:Subnetwork": REGIONS,
    "gcp:compute/targetHttpProxy:TargetHttpProxy": 1,
    "gcp:compute/targetHttpsProxy:TargetHttpsProxy": 1,
    "gcp:compute/uRLMap:URLMap": 2,
    "gcp:monitoring/alertPolicy:AlertPolicy": 6,
    "gcp:monitoring/dashboard:Dashboard": 1,
    "gcp:projects/iAMCustomRole:IAMCustomRole": 1,
    "gcp:projects/iAMMember:IAMMember": 8,
    "gcp:projects/service:Service": 17,
    "gcp:projects/serviceIdentity:ServiceIdentity": 1,
    "gcp:pubsub/schema:Schema": 1,
    "gcp:pubsub/subscription:Subscription": REGIONS + HUBS + 1,
    "gcp:pubsub/subscriptionIAMMember:SubscriptionIAMMember": 2 * (REGIONS + HUBS),
    "gcp:pubsub/topic:Topic": 4,
    "gcp:pubsub/topicIAMMember:TopicIAMMember": 4,
    "gcp:redis/instance:Instance": REGIONS,
    "gcp:secretmanager/secret:Secret": REGIONS,
    "gcp:secretmanager/secretIamMember:SecretIamMember": REGIONS,
    "gcp:serviceaccount/account:Account": 2,
    "gcp:servicenetworking/connection:Connection": 1,
    "gcp:sql/database:Database": HUBS,
    "gcp:sql/databaseInstance:DatabaseInstance": REGIONS,
    "gcp:sql/user:User": 2 * HUBS,
    "gcp:storage/bucket:Bucket": REGIONS,
    "gcp:storage/bucketIAMMember:BucketIAMMember": 2 * REGIONS,
    "meridian:index:BurstBudget": 1,
    "meridian:index:CacheTier": REGIONS,
    "meridian:index:Database": REGIONS,
    "meridian:index:Foundation": 1,
    "meridian:index:GlobalLB": 1,
    "meridian:index:Inbox": REGIONS,
    "meridian:index:Messaging": 1,
    "meridian:index:Network": 1,
    "meridian:index:Observability": 1,
    "meridian:index:RegionalCell": REGIONS,
    "meridian:index:ServiceIdentity": 2,
    "meridian:index:ServiceImage": 1,
    "meridian:index:Vault": REGIONS,
    "pulumi:providers:gcp": 1,
}

ASKED = {
    "gcp:cloudquota/sQuotaPreference:SQuotaPreference": 2 * REGIONS,
    "meridian:index:Quotas": REGIONS,
}
"""What production declares besides: its plan needs more than it is granted."""


def inventory(environment: str) -> dict[str, int]:
    return {**INVENTORY, **(ASKED if environment == "prod" else {})}


def common(world: list[recording.Registration]) -> list[recording.Registration]:
    """A world without its requests for quota."""
    return [r for r in world if r.token not in ASKED]


@pytest.mark.parametrize("environment", ["prod", "local"])
def test_the_inventory_holds_15_cells_and_one_load_balancer(
    environment: str, request: pytest.FixtureRequest
) -> None:
    found = Counter(r.token for r in request.getfixturevalue(environment))
    assert found == inventory(environment)


@pytest.mark.parametrize("environment", ["prod", "local"])
def test_no_urn_changes_without_notice(
    environment: str, request: pytest.FixtureRequest
) -> None:
    urns = sorted(r.urn for r in request.getfixturevalue(environment))
    path = URNS / f"{environment}.txt"
    if os.environ.get("MERIDIAN_UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(urns) + "\n", encoding="utf-8")
    known = path.read_text(encoding="utf-8").splitlines()
    assert urns == known, "alias what was renamed, then MERIDIAN_UPDATE_SNAPSHOTS=1"


def test_both_worlds_have_the_same_resources(
    prod: list[recording.Registration], local: list[recording.Registration]
) -> None:
    def shape(world: list[recording.Registration]) -> list[str]:
        return sorted(r.urn.split("::", 2)[2] for r in world)

    assert shape(common(prod)) == shape(local)
    assert len(prod) - len(common(prod)) == sum(ASKED.values())


def test_every_urn_carries_the_chain_of_its_components(
    prod: list[recording.Registration],
) -> None:
    by_urn = {r.urn: r for r in prod}
    for child in prod:
        parent = by_urn.get(child.parent)
        types = child.urn.split("::")[2].split("$")
        if child.token == "pulumi:providers:gcp":
            continue
        if parent is None:
            assert child.token.startswith("meridian:index:"), child.urn
            assert types == [child.token]
        else:
            assert types[:-1] == parent.urn.split("::")[2].split("$")
            assert types[0].startswith("meridian:index:")


def test_every_resource_uses_the_one_explicit_provider(
    prod: list[recording.Registration],
) -> None:
    (provider,) = [r for r in prod if r.token == "pulumi:providers:gcp"]
    others = [r for r in prod if r.custom and r is not provider]
    assert {r.provider.rpartition("::")[0] for r in others} == {provider.urn}


def test_inputs_differ_between_the_worlds_by_values_only(
    prod: list[recording.Registration], local: list[recording.Registration]
) -> None:
    def keys(world: list[recording.Registration]) -> dict[str, Any]:
        return {r.name: (r.token, sorted(r.inputs)) for r in world}

    assert keys(common(prod)) == keys(local)


def test_a_replica_is_declared_after_its_primary(
    prod: list[recording.Registration],
) -> None:
    order = [r.inputs["name"] for r in prod if r.token.endswith(":DatabaseInstance")]
    for server in prod:
        primary = server.inputs.get("masterInstanceName")
        if primary is not None:
            assert order.index(primary) < order.index(server.inputs["name"])


def test_a_preview_of_an_impossible_plan_lists_and_succeeds(
    prod: list[recording.Registration],
) -> None:
    assert len(prod) == sum(inventory("prod").values())


def test_an_up_of_an_impossible_plan_is_refused_before_anything_is_registered() -> None:
    monitor = recording.RecordingMonitor()
    with pytest.raises(Exception, match="stand against this `up`") as caught:
        recording.record_world("prod", preview=False, monitor=monitor)
    assert monitor.registrations == []
    text = str(caught.value)
    assert "nothing was changed" in text
    assert "us-central1 needs 32,048 vCPU (8,012 instances x 4), 200 granted" in text
    assert "request `CpuAllocPerProjectRegion` >= 32,048,000 mCPU" in text
    assert "14 more like it: europe-west1, asia-northeast1" in text


def test_only_the_layout_that_owns_an_environment_may_up(
    declare: Declare, small: Catalogue
) -> None:
    assert small.layout is Layout.SLICED
    assert declare(small)
    with pytest.raises(InputError) as caught:
        declare(small, preview=False)
    assert str(caught.value) == (
        "local is owned by its sliced layout, this program declares the whole one: it "
        "may preview, not `up`; run the other stacks, or set layout: whole in the "
        "catalogue"
    )


def test_an_up_of_a_possible_world_is_not_refused(declare: Declare) -> None:
    catalogue = dataclasses.replace(load("local"), layout=Layout.WHOLE)
    world = declare(catalogue, preview=False)
    assert len(world) == sum(INVENTORY.values())


def test_programs_stay_small() -> None:
    for path in (recording.ROOT / "stacks").glob("*/__main__.py"):
        assert len(path.read_text().splitlines()) < 40, path


def test_a_digest_of_a_fresh_build_runs_in_place_of_the_catalogues() -> None:
    digest = f"sha256:{'b' * 64}"
    catalogue = with_digest(load("local"), digest)
    assert catalogue.image.digest == digest
    assert with_digest(catalogue, "") is catalogue
    with pytest.raises(InputError) as caught:
        with_digest(catalogue, "latest")
    assert str(caught.value) == (
        "meridian:imageDigest: 'latest' is not sha256: and 64 hexadecimal digits: pass "
        "what `meridian image build` prints"
    )


def test_a_bad_catalogue_ends_the_program_with_its_problems_only() -> None:
    with pytest.raises(InputError) as caught:
        recording.record_world("pord")
    assert str(caught.value).startswith("stacks/catalogue/pord.yaml:1: there is no")
