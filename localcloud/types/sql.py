"""Cloud SQL."""

from localcloud.types.base import Create, Json, Operation, ResourceType

SQL = "sqladmin.googleapis.com"
SQL_SOURCE = "sqladmin v1 discovery; pulumi_gcp 10.2.0 sql; gcp.md 1.5 and 2"
SWITCHES = frozenset({"deletionProtection", "deletionPolicy", "project"})
MYSQL = (
    "caCertificate",
    "clientCertificate",
    "clientKey",
    "connectRetryInterval",
    "dumpFilePath",
    "masterHeartbeatPeriod",
    "password",
    "sslCipher",
    "username",
    "verifyServerCertificate",
)
"""Fields that the provider has one level above Google."""
INSTANCE_NAMES = {
    **{f"replicaConfiguration.{f}": f"mysqlReplicaConfiguration.{f}" for f in MYSQL},
    "**.consumerServiceProjectId": "consumerProject",
    "encryptionKeyName": "diskEncryptionConfiguration.kmsKeyName",
    "rootPasswordWo": "rootPassword",
    "settings.connectionPoolConfigs": "connectionPoolConfig",
    "settings.denyMaintenancePeriod": "denyMaintenancePeriods",
    "settings.diskAutoresize": "storageAutoResize",
    "settings.diskAutoresizeLimit": "storageAutoResizeLimit",
    "settings.diskSize": "dataDiskSizeGb",
    "settings.diskType": "dataDiskType",
    "settings.ipConfiguration.pscConfigs": "pscConfig",
    "settings.version": "settingsVersion",
}
OTHER_REQUESTS = frozenset(
    {
        "backupdrBackup",
        "blueGreenDeployment",
        "clone",
        "encryptionConfidentialMode",
        "enforceNewSqlNetworkArchitecture",
        "finalBackupDescription",
        "pointInTimeRestoreContext",
        "restoreBackupContext",
        "rootPasswordWoVersion",
        "settings.effectiveAvailabilityType",
    }
)
"""What goes with a clone, a restore, a switch-over or a deletion, not with a body."""


def _sql_outputs(inputs: Json, body: Json, path: str) -> Json:
    addresses = [a["ipAddress"] for a in body.get("ipAddresses", ())]
    project = path.split("/")[2]
    name = path.rsplit("/", 1)[-1]
    connection = f"{project}:{inputs.get('region')}:{name}"
    return {
        "privateIpAddress": addresses[0] if addresses else "",
        "connectionName": connection,
    }


TYPES = (
    ResourceType(
        token="gcp:sql/databaseInstance:DatabaseInstance",
        api=SQL,
        schema="DatabaseInstance",
        path="v1/projects/{project}/instances/{id}",
        source=SQL_SOURCE,
        create=Create.BODY,
        operation=Operation.SQL,
        kind="sql#instance",
        rename=INSTANCE_NAMES,
        wrap=frozenset({"settings.denyMaintenancePeriod"}),
        unwrap=frozenset(
            {"settings.connectionPoolConfigs", "settings.ipConfiguration.pscConfigs"}
        ),
        drop=SWITCHES | OTHER_REQUESTS,
        replace=frozenset({"name", "region", "project", "masterInstanceName"}),
        releases=frozenset({"masterInstanceName"}),
        outputs=_sql_outputs,
        runs="Postgres 18",
    ),
    ResourceType(
        token="gcp:sql/database:Database",
        api=SQL,
        schema="Database",
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
        schema="User",
        path="v1/projects/{project}/instances/{instance}/users/{id}",
        source=SQL_SOURCE,
        create=Create.BODY,
        operation=Operation.SQL,
        kind="sql#user",
        rename={"passwordPolicy.statuses": "status", "passwordWo": "password"},
        unwrap=frozenset({"passwordPolicy.statuses"}),
        drop=SWITCHES | {"instance", "passwordWoVersion"},
        replace=frozenset({"name", "instance", "project", "type"}),
        runs="Postgres 18",
    ),
)
