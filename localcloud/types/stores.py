"""Memorystore: Redis, Redis Cluster, Valkey."""

from localcloud.types.base import Json, Operation, ResourceType

NOWHERE = "192.0.2.1"
"""An address for documentation, RFC 5737."""
WINDOWS = "maintenancePolicy.weeklyMaintenanceWindows"
SWITCHES = frozenset({"deletionProtection", "deletionPolicy", "project"})


def _redis_outputs(inputs: Json, body: Json, path: str) -> Json:
    fields = ("host", "port", "currentLocationId", "readEndpoint", "readEndpointPort")
    known = {key: body.get(key, "") for key in fields}
    return {**known, "serverCaCerts": body.get("serverCaCerts", [])}


def _first_endpoint(inputs: Json, body: Json, path: str) -> Json:
    """Where a sharded cache would be: an address that leads nowhere, as none runs."""
    return {"discoveryEndpoints": [{"address": NOWHERE, "port": 6379}]}


def _valkey_outputs(inputs: Json, body: Json, path: str) -> Json:
    connection = {"pscAutoConnection": {"ipAddress": NOWHERE, "port": 6379}}
    return {"endpoints": [{"connections": [connection]}]}


def _valkey_body(body: Json) -> Json:
    endpoints = body.pop("desiredAutoCreatedEndpoints", None)
    if endpoints:
        body["pscAutoConnections"] = endpoints
    return body


TYPES = (
    ResourceType(
        token="gcp:redis/instance:Instance",
        api="redis.googleapis.com",
        schema="Instance",
        path="v1/projects/{project}/locations/{location}/instances/{id}",
        source="redis v1 discovery; gcp.md 1.4; pulumi_gcp 10.2.0 redis",
        id_param="instanceId",
        operation=Operation.LONG_RUNNING,
        rename={WINDOWS: "weeklyMaintenanceWindow"},
        drop=SWITCHES | {"region", "name"},
        replace=frozenset(
            {
                "alternativeLocationId",
                "authorizedNetwork",
                "connectMode",
                "locationId",
                "name",
                "project",
                "readReplicasMode",
                "region",
                "reservedIpRange",
                "tier",
                "transitEncryptionMode",
            }
        ),
        outputs=_redis_outputs,
        runs="Redis, without TLS",
    ),
    ResourceType(
        token="gcp:redis/cluster:Cluster",
        api="redis.googleapis.com",
        schema="Cluster",
        path="v1/projects/{project}/locations/{location}/clusters/{id}",
        source="redis v1 discovery; gcp.md 1.4; pulumi_gcp 10.2.0 redis",
        id_param="clusterId",
        operation=Operation.LONG_RUNNING,
        rename={WINDOWS: "weeklyMaintenanceWindow"},
        drop=SWITCHES
        | {
            "crossClusterReplicationConfig.memberships",
            f"{WINDOWS}[].duration",
            "name",
            "region",
        },
        replace=frozenset(
            {
                "authorizationMode",
                "kmsKey",
                "name",
                "project",
                "pscConfigs",
                "region",
                "transitEncryptionMode",
                "zoneDistributionConfig",
            }
        ),
        outputs=_first_endpoint,
    ),
    ResourceType(
        token="gcp:memorystore/instance:Instance",
        api="memorystore.googleapis.com",
        path="v1/projects/{project}/locations/{location}/instances/{id}",
        source="memorystore v1 discovery; gcp.md 1.4; pulumi_gcp 10.2.0 memorystore",
        id_input="instanceId",
        id_param="instanceId",
        operation=Operation.LONG_RUNNING,
        rename={WINDOWS: "weeklyMaintenanceWindow"},
        drop=SWITCHES | {"instanceId", "location"},
        replace=frozenset(
            {
                "authorizationMode",
                "desiredAutoCreatedEndpoints",
                "instanceId",
                "kmsKey",
                "location",
                "mode",
                "project",
                "transitEncryptionMode",
                "zoneDistributionConfig",
            }
        ),
        body=_valkey_body,
        outputs=_valkey_outputs,
    ),
)
