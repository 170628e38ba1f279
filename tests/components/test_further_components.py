"""What no catalogue asks for yet: delivery, quotas, sharded caches, disaster pairs."""

import dataclasses
import json
import re
from typing import Any

import pulumi
import pytest
import recording
import test_provider_fields
from recording import Registration

from components._sharded import NODES, CacheEngine, shards
from components.cache import CacheTier, CacheTierArgs
from components.database import Database, DatabaseArgs, PrivateEndpoint
from components.delivery import Delivery, DeliveryArgs, DeliveryWave
from components.quotas import QuotaRequest, Quotas, QuotasArgs
from policy.check import check
from policy.record import Record, from_registrations
from policy.rules import every
from topology import Durability
from topology.messages import REPAIR

WAVES = [
    DeliveryWave(name="canary", regions=["us-west1"]),
    DeliveryWave(name="rest", regions=["us-central1", "europe-west3"]),
]


def of(world: list[Registration], kind: str) -> list[Registration]:
    found = [r for r in world if r.token.endswith(f":{kind}")]
    assert found, kind
    return found


def test_a_request_names_region_quota_and_units() -> None:
    args = QuotasArgs(
        project="p",
        contact_email="platform@example.com",
        requests=[
            QuotaRequest(region="us-central1", vcpu=3200, memory_gib=12_800),
            QuotaRequest(region="us-east1", memory_gib=64),
        ],
    )
    made = of(recording.record(lambda: Quotas("quotas", args)), "SQuotaPreference")
    found = {
        (r.inputs["dimensions"]["region"], r.inputs["quotaId"]): r.inputs for r in made
    }
    assert len(found) == 3
    cpu = found["us-central1", "CpuAllocPerProjectRegion"]
    assert cpu["quotaConfig"] == {"preferredValue": "3200000"}
    memory = found["us-east1", "MemAllocPerProjectRegion"]
    assert memory["quotaConfig"] == {"preferredValue": str(64 * 2**30)}
    assert {r.inputs["service"] for r in made} == {"run.googleapis.com"}
    assert {r.inputs["parent"] for r in made} == {"projects/p"}
    assert not [r for r in made if "ignoreSafetyChecks" in r.inputs]


def test_only_repairs_have_a_schema_and_it_is_what_the_service_sends(
    prod: list[Registration],
) -> None:
    topics = {
        r.inputs["name"]: r.inputs.get("schemaSettings") for r in of(prod, "Topic")
    }
    assert topics.pop("meridian-repairs")["encoding"] == "JSON"
    assert set(topics.values()) == {None}, "frames with raw vectors match no schema"
    (schema,) = of(prod, "Schema")
    assert json.loads(schema.inputs["definition"]) == REPAIR
    senders = {
        file.stem: file.read_text()
        for file in (recording.ROOT / "service").rglob("*.py")
        if "_settings.topic_repairs" in file.read_text()
    }
    assert set(senders) == {"inbox", "lanes", "mail", "succession"}
    # What these make fits the schema: `tests/service/test_request.py`.
    made = r"from service\.log\.request import (hole|question)_request"
    assert all(re.search(made, text) for text in senders.values())


def delivery(**more: Any) -> list[Registration]:
    args = DeliveryArgs(
        prefix="meridian",
        project="p",
        location="us-west1",
        waves=WAVES,
        account_email="deliver@p.iam.gserviceaccount.com",
        bake_seconds=600,
        **more,
    )
    return recording.record(lambda: Delivery("delivery", args))


def test_a_release_goes_through_the_waves_by_canary() -> None:
    world = delivery()
    (pipeline,) = of(world, "DeliveryPipeline")
    stages = pipeline.inputs["serialPipeline"]["stages"]
    assert [s["targetId"] for s in stages] == [
        "meridian-wave-canary",
        "meridian-wave-rest",
    ]
    for stage in stages:
        canary = stage["strategy"]["canary"]
        assert canary["canaryDeployment"]["percentages"] == [1, 10, 50]
        traffic = canary["runtimeConfig"]["cloudRun"]
        assert traffic == {"automaticTrafficControl": True}


def test_a_region_has_a_target_beside_the_pipeline() -> None:
    targets = {r.inputs["name"]: r.inputs for r in of(delivery(), "Target")}
    assert len(targets) == 3 + 2
    assert {t["location"] for t in targets.values()} == {"us-west1"}
    region = targets["meridian-europe-west3"]
    assert region["run"] == {"location": "projects/p/locations/europe-west3"}
    wave = targets["meridian-wave-rest"]
    assert wave["multiTarget"] == {
        "targetIds": ["meridian-us-central1", "meridian-europe-west3"]
    }


def test_a_phase_goes_on_after_its_bake_and_back_when_it_fails() -> None:
    rules = {r.inputs["name"]: r.inputs["rules"] for r in of(delivery(), "Automation")}
    advance, promote = rules["advance"]
    assert advance["advanceRolloutRule"]["wait"] == "600s"
    assert advance["advanceRolloutRule"]["sourcePhases"] == [
        "canary-1",
        "canary-10",
        "canary-50",
    ]
    assert promote["promoteReleaseRule"]["destinationTargetId"] == "@next"
    (repair,) = rules["repair"]
    (phase,) = repair["repairRolloutRule"]["repairPhases"]
    assert phase == {"rollback": {"destinationPhase": "stable"}}


@pytest.mark.parametrize("bad", [[10, 1], [0, 50], [50, 100], [10, 10]])
def test_percentages_that_google_refuses_are_named(bad: list[int]) -> None:
    with pytest.raises(Exception, match=r"percentages: \[.*each must be 1 to 99"):
        delivery(percentages=bad)


def cache(**more: Any) -> list[Registration]:
    args = CacheTierArgs(
        **{
            "region": "us-east1",
            "prefix": "meridian",
            "memory_gib": 128,
            "version": "VALKEY_8_0",
            "eviction": "noeviction",
            "transit_encryption": True,
            "network": "projects/p/global/networks/n",
            "subnets": ["projects/p/regions/us-east1/subnetworks/s"],
            "project": "p",
            **more,
        }
    )
    read: dict[str, Any] = {}

    def program() -> None:
        made = CacheTier("cache", args)
        pulumi.Output.all(made.host, made.port, made.tls).apply(
            lambda found: read.update(outputs=found)
        )

    world = recording.record(program)
    assert read["outputs"][1:] == [6379, "1"]
    return world


@pytest.mark.parametrize(
    ("engine", "kind", "service_class"),
    [
        (CacheEngine.CLUSTER, "Cluster", "gcp-memorystore-redis"),
        (CacheEngine.VALKEY, "Instance", "gcp-memorystore"),
    ],
)
def test_a_sharded_cache_stands_on_its_connection_policy(
    engine: CacheEngine, kind: str, service_class: str
) -> None:
    world = cache(engine=engine)
    (policy,) = of(world, "ServiceConnectionPolicy")
    (made,) = of(world, kind)
    assert policy.urn in made.depends_on
    assert policy.inputs["serviceClass"] == service_class
    # gcp.md 1.4: 128 GB are 13 shards of highmem-medium.
    assert made.inputs["shardCount"] == 13
    assert made.inputs["replicaCount"] == 1
    assert made.inputs["authorizationMode"].endswith("IAM_AUTH")
    assert made.inputs["transitEncryptionMode"].endswith("SERVER_AUTHENTICATION")
    assert made.inputs["zoneDistributionConfig"] == {"mode": "MULTI_ZONE"}
    assert made.protect and made.inputs["deletionProtectionEnabled"] is True
    assert made.inputs["deletionPolicy"] == "PREVENT"


def test_shards_follow_the_node_and_an_unknown_node_is_named() -> None:
    assert shards(128, "highmem-xlarge") == 3
    assert [shards(1, node) for node in NODES] == [1] * len(NODES)
    with pytest.raises(ValueError, match="node_type: 'nano' is no node type"):
        shards(1, "nano")


def test_a_sharded_cache_without_subnets_or_project_says_what_to_do() -> None:
    with pytest.raises(Exception, match="subnets: none given: the cluster engine"):
        cache(engine=CacheEngine.CLUSTER, subnets=None)
    with pytest.raises(Exception, match="project: none given: Valkey"):
        cache(engine=CacheEngine.VALKEY, project=None)


PRIMARY = DatabaseArgs(
    region="us-central1",
    instance="m-us-central1-g1",
    version="POSTGRES_17",
    edition="ENTERPRISE_PLUS",
    cpu=4,
    memory_gib=32,
    disk_gib=100,
    database="meridian",
    flags={},
    backup_hour_utc=3,
    backups_kept=7,
    log_days=7,
    network="projects/p/global/networks/n",
    users={"worker": "w@p.iam.gserviceaccount.com"},
    owner="worker",
    pooled_connections=800,
    failover_replica="m-us-east4-g1",
    durability=Durability.EPHEMERAL,
)


def test_a_primary_names_its_replica_for_disasters() -> None:
    world = recording.record(lambda: Database("db", PRIMARY))
    (server,) = of(world, "DatabaseInstance")
    pair = {"failoverDrReplicaName": "m-us-east4-g1"}
    assert server.inputs["replicationCluster"] == pair
    plain = dataclasses.replace(PRIMARY, failover_replica=None)
    (server,) = of(recording.record(lambda: Database("db", plain)), "DatabaseInstance")
    assert "replicationCluster" not in server.inputs


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"edition": "ENTERPRISE"}, "on a ENTERPRISE primary"),
        ({"primary": "m-us-east1-g1"}, "on a ENTERPRISE_PLUS replica"),
    ],
)
def test_a_pair_that_google_refuses_is_named(more: Any, said: str) -> None:
    args = dataclasses.replace(PRIMARY, **more)
    with pytest.raises(Exception, match=f"failover_replica: m-us-east4-g1 {said}"):
        recording.record(lambda: Database("db", args))


def test_every_field_of_these_exists_in_the_provider() -> None:
    quotas = QuotasArgs(
        project="p",
        contact_email="a@example.com",
        requests=[QuotaRequest(region="us-east1", vcpu=1)],
        justification="a launch",
    )
    world = [
        *delivery(suspended=True, require_approval=True),
        *cache(engine=CacheEngine.CLUSTER),
        *cache(engine=CacheEngine.VALKEY),
        *recording.record(lambda: Quotas("quotas", quotas)),
        *recording.record(lambda: Database("db", PRIMARY)),
    ]
    found, checked = test_provider_fields.faults(world)
    assert not found, "\n".join(sorted(found))
    assert checked > 80


@pytest.mark.parametrize("engine", [CacheEngine.CLUSTER, CacheEngine.VALKEY])
def test_the_rules_know_sharded_caches(engine: CacheEngine) -> None:
    def broken(records: list[Record]) -> set[str]:
        found = check(records, every())
        return {v.rule for v in found if v.name.startswith("cache-")}

    records = from_registrations(cache(engine=engine))
    # Recorded alone: the provider of its stack is not there.
    alone = {"explicit-provider"}
    assert broken(records) <= alone
    open_to_all = [
        dataclasses.replace(r, inputs={**r.inputs, "authorizationMode": "DISABLED"})
        if "shardCount" in r.inputs
        else r
        for r in records
    ]
    assert broken(open_to_all) - alone == {"redis-cluster-guarded"}


def test_a_server_with_an_endpoint_of_its_own_is_in_no_peered_range() -> None:
    args = dataclasses.replace(
        PRIMARY,
        pooled_connections=None,
        failover_replica=None,
        durability=None,
        private_endpoint=PrivateEndpoint(
            prefix="meridian", project="p", subnets=["meridian-us-central1"]
        ),
    )
    ends: list[str] = []
    world = recording.record(
        lambda: Database("db", args).endpoint.apply(ends.append) and None
    )
    assert ends == ["192.0.2.9:5432"]
    (server,) = of(world, "DatabaseInstance")
    path = server.inputs["settings"]["ipConfiguration"]
    assert "privateNetwork" not in path
    assert not path["ipv4Enabled"]
    (consumer,) = path["pscConfigs"]
    assert consumer["allowedConsumerProjects"] == ["p"]
    (policy,) = of(world, "ServiceConnectionPolicy")
    assert policy.inputs["serviceClass"] == "google-cloud-sql"
    assert policy.urn in server.depends_on
    judged = check(from_registrations(world), every())
    assert [v.rule for v in judged if v.name == "db-server"] == []
