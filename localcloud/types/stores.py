"""Cloud SQL, Memorystore, Secret Manager, Cloud Storage, Artifact Registry."""

from localcloud.types.base import Create, Json, Operation, ResourceType

SQL = "sqladmin.googleapis.com"
SQL_SOURCE = "sqladmin v1 discovery; pulumi_gcp 10.2.0 sql; gcp.md 1.5 and 2"
NOWHERE = "192.0.2.1"
"""An address for documentation, RFC 5737."""
SWITCHES = frozenset({"deletionProtection", "deletionPolicy", "project"})


def _sql_outputs(inputs: Json, body: Json, path: str) -> Json:
    addresses = [a["ipAddress"] for a in body.get("ipAddresses", ())]
    project = path.split("/")[2]
    name = path.rsplit("/", 1)[-1]
    connection = f"{project}:{inputs.get('region')}:{name}"
    return {
        "privateIpAddress": addresses[0] if addresses else "",
        "connectionName": connection,
    }


def _bucket_body(body: Json) -> Json:
    access = body.setdefault("iamConfiguration", {})
    uniform = body.pop("uniformBucketLevelAccess", None)
    if uniform is not None:
        access["uniformBucketLevelAccess"] = {"enabled": uniform}
    prevention = body.pop("publicAccessPrevention", None)
    if prevention:
        access["publicAccessPrevention"] = prevention
    rules = body.pop("lifecycleRules", None)
    if rules:
        body["lifecycle"] = {"rule": rules}
    return body


def _bucket_outputs(inputs: Json, body: Json, path: str) -> Json:
    return {"url": f"gs://{path.rsplit('/', 1)[-1]}"}


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


def _secret_body(body: Json) -> Json:
    replication = body.get("replication", {})
    if "auto" in replication:
        replication["automatic"] = replication.pop("auto")
    return body


def _repository_outputs(inputs: Json, body: Json, path: str) -> Json:
    parts = path.split("/")
    return {"registryUri": f"{parts[4]}-docker.pkg.dev/{parts[2]}/{parts[6]}"}


TYPES = (
    ResourceType(
        token="gcp:sql/databaseInstance:DatabaseInstance",
        api=SQL,
        path="v1/projects/{project}/instances/{id}",
        source=SQL_SOURCE,
        create=Create.BODY,
        operation=Operation.SQL,
        kind="sql#instance",
        rename={
            "settings.diskSize": "dataDiskSizeGb",
            "settings.diskType": "dataDiskType",
            "settings.diskAutoresize": "storageAutoResize",
        },
        drop=SWITCHES,
        replace=frozenset({"name", "region", "project", "masterInstanceName"}),
        outputs=_sql_outputs,
        runs="Postgres 18",
    ),
    ResourceType(
        token="gcp:sql/database:Database",
        api=SQL,
        path="v1/projects/{project}/instances/{instance}/databases/{id}",
        source=SQL_SOURCE,
        create=Create.BODY,
        operation=Operation.SQL,
        kind="sql#database",
        drop=SWITCHES | {"instance"},
        replace=frozenset({"name", "instance", "project"}),
        runs="Postgres 18",
    ),
    ResourceType(
        token="gcp:sql/user:User",
        api=SQL,
        path="v1/projects/{project}/instances/{instance}/users/{id}",
        source=SQL_SOURCE,
        create=Create.BODY,
        operation=Operation.SQL,
        kind="sql#user",
        drop=SWITCHES | {"instance"},
        replace=frozenset({"name", "instance", "project", "type"}),
        runs="Postgres 18",
    ),
    ResourceType(
        token="gcp:redis/instance:Instance",
        api="redis.googleapis.com",
        path="v1/projects/{project}/locations/{location}/instances/{id}",
        source="redis v1 discovery; gcp.md 1.4; pulumi_gcp 10.2.0 redis",
        id_param="instanceId",
        operation=Operation.LONG_RUNNING,
        drop=SWITCHES | {"region", "name"},
        replace=frozenset(
            {
                "authorizedNetwork",
                "connectMode",
                "name",
                "project",
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
        path="v1/projects/{project}/locations/{location}/clusters/{id}",
        source="redis v1 discovery; gcp.md 1.4; pulumi_gcp 10.2.0 redis",
        id_param="clusterId",
        operation=Operation.LONG_RUNNING,
        drop=SWITCHES | {"region", "name"},
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
    ResourceType(
        token="gcp:secretmanager/secret:Secret",
        api="secretmanager.googleapis.com",
        path="v1/projects/{project}/secrets/{id}",
        source="secretmanager v1 discovery; gcp.md 1.6",
        id_input="secretId",
        id_param="secretId",
        drop=SWITCHES | {"secretId"},
        replace=frozenset({"replication", "secretId", "project"}),
        body=_secret_body,
        runs="control plane, values encrypted at rest",
    ),
    ResourceType(
        token="gcp:storage/bucket:Bucket",
        api="storage.googleapis.com",
        path="storage/v1/b/{id}",
        source="storage v1 discovery; gcp.md 1.6; pulumi_gcp 10.2.0 storage",
        create=Create.BODY,
        drop=SWITCHES | {"forceDestroy"},
        replace=frozenset({"location", "name", "project", "hierarchicalNamespace"}),
        body=_bucket_body,
        outputs=_bucket_outputs,
        runs="files of the control plane",
    ),
    ResourceType(
        token="gcp:artifactregistry/repository:Repository",
        api="artifactregistry.googleapis.com",
        path="v1/projects/{project}/locations/{location}/repositories/{id}",
        source="artifactregistry v1 discovery; gcp.md 1.6",
        id_input="repositoryId",
        id_param="repositoryId",
        operation=Operation.LONG_RUNNING,
        drop=SWITCHES | {"repositoryId", "location"},
        replace=frozenset({"format", "location", "mode", "project", "repositoryId"}),
        outputs=_repository_outputs,
    ),
)
