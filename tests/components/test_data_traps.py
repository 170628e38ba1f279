"""How caches, databases and buckets are declared, and guarded; see `docs/traps.md`."""

import dataclasses

from recording import Declare, Registration
from registrations import STATEFUL, of

from topology import Catalogue, Durability


def test_redis_is_private_and_asks_for_auth_and_tls(prod: list[Registration]) -> None:
    for redis in [r for r in prod if r.token == "gcp:redis/instance:Instance"]:
        assert redis.inputs["connectMode"] == "PRIVATE_SERVICE_ACCESS"
        assert redis.inputs["authEnabled"] is True
        assert redis.inputs["transitEncryptionMode"] == "SERVER_AUTHENTICATION"
        assert redis.inputs["tier"] == "STANDARD_HA"
        assert "readReplicasMode" not in redis.inputs


def test_databases_are_private_and_know_no_password(prod: list[Registration]) -> None:
    for server in of(prod, "DatabaseInstance"):
        settings = server.inputs["settings"]
        flags = {flag["name"]: flag["value"] for flag in settings["databaseFlags"]}
        assert settings["edition"] == "ENTERPRISE"
        assert flags["cloudsql.iam_authentication"] == "on"
        assert settings["ipConfiguration"]["ipv4Enabled"] is False
        assert settings["ipConfiguration"]["sslMode"] == "ENCRYPTED_ONLY"
        assert server.inputs["name"].endswith("-g1")
        assert server.ignore_changes == ("settings.diskSize",)
    for user in [r for r in prod if r.token == "gcp:sql/user:User"]:
        assert user.inputs["type"] == "CLOUD_IAM_SERVICE_ACCOUNT"
        assert not user.inputs["name"].endswith(".gserviceaccount.com")
        assert user.deleted_with


def test_primaries_are_backed_up_and_replicas_are_not(
    prod: list[Registration],
) -> None:
    for server in of(prod, "DatabaseInstance"):
        settings = server.inputs["settings"]
        if "masterInstanceName" in server.inputs:
            assert settings["availabilityType"] == "ZONAL"
            assert "backupConfiguration" not in settings
        else:
            assert settings["availabilityType"] == "REGIONAL"
            assert settings["backupConfiguration"]["pointInTimeRecoveryEnabled"]


def test_guarded_data_is_protected_in_every_layer(prod: list[Registration]) -> None:
    for resource in [r for r in prod if r.token in STATEFUL]:
        assert resource.protect, resource.urn
        assert resource.inputs["deletionPolicy"] == "PREVENT"
        assert not resource.retain_on_delete
    for server in of(prod, "DatabaseInstance"):
        assert server.inputs["deletionProtection"] is True
        assert server.inputs["settings"]["deletionProtectionEnabled"] is True
    edge = [r for r in of(prod, "GlobalAddress") if "ipVersion" in r.inputs]
    assert len(edge) == 2
    assert all(address.protect for address in edge)


def test_ephemeral_data_goes_when_it_is_told_to(local: list[Registration]) -> None:
    assert not [r.urn for r in local if r.protect or r.retain_on_delete]
    for resource in [r for r in local if r.token in STATEFUL]:
        assert resource.inputs["deletionPolicy"] == "DELETE"
    for server in of(local, "DatabaseInstance"):
        assert server.inputs["deletionProtection"] is False
    assert all(b.inputs["forceDestroy"] is True for b in of(local, "Bucket"))


def test_sealed_data_outlives_its_stack(declare: Declare, small: Catalogue) -> None:
    world = declare(dataclasses.replace(small, durability=Durability.SEALED))
    sealed = [r for r in world if r.token in STATEFUL]
    assert len(sealed) == 1 + 2 * 4
    assert all(r.retain_on_delete and r.protect for r in sealed)
