"""Every cell of the shared page `reference/gcp.md`, sections 1.4 to 2, that says if
a changed field replaces its resource or is changed in place, asked of the provider.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import struct_pb2
from pulumi.runtime.proto import provider_pb2

from localcloud.provider.servicer import Provider
from localcloud.types import UnknownTypeError, lookup

PAGE = Path(__file__).resolve().parents[3] / "shared" / "reference" / "gcp.md"
REPLACE, IN_PLACE, NOTHING = "replace", "update", "none"
Json = dict[str, Any]

REDIS = "gcp:redis/instance:Instance"
CLUSTER = "gcp:redis/cluster:Cluster"
VALKEY = "gcp:memorystore/instance:Instance"
BUCKET = "gcp:storage/bucket:Bucket"
SUBSCRIPTION = "gcp:pubsub/subscription:Subscription"
SECRET = "gcp:secretmanager/secret:Secret"
SUBNET = "gcp:compute/subnetwork:Subnetwork"
REPOSITORY = "gcp:artifactregistry/repository:Repository"
API = "gcp:projects/service:Service"
NETWORK = "gcp:compute/network:Network"
ADDRESS = "gcp:compute/globalAddress:GlobalAddress"
SERVICE = "gcp:cloudrunv2/service:Service"
NEG = "gcp:compute/regionNetworkEndpointGroup:RegionNetworkEndpointGroup"
BACKEND = "gcp:compute/backendService:BackendService"
CACHE = "gcp:compute/backendBucket:BackendBucket"
HTTPS = "gcp:compute/targetHttpsProxy:TargetHttpsProxy"
RULE = "gcp:compute/globalForwardingRule:GlobalForwardingRule"
CERTIFICATE = "gcp:certificatemanager/certificate:Certificate"
ARMOR = "gcp:compute/securityPolicy:SecurityPolicy"
SQL = "gcp:sql/databaseInstance:DatabaseInstance"
PREFERENCE = "gcp:cloudquota/sQuotaPreference:SQuotaPreference"
OVERRIDE = "gcp:serviceusage/consumerQuotaOverride:ConsumerQuotaOverride"
DASHBOARD = "gcp:monitoring/dashboard:Dashboard"
ALERT = "gcp:monitoring/alertPolicy:AlertPolicy"
CHANNEL = "gcp:monitoring/notificationChannel:NotificationChannel"
SLO = "gcp:monitoring/slo:Slo"
CUSTOM = "gcp:monitoring/customService:CustomService"
UPTIME = "gcp:monitoring/uptimeCheckConfig:UptimeCheckConfig"
PIPELINE = "gcp:clouddeploy/deliveryPipeline:DeliveryPipeline"
TARGET = "gcp:clouddeploy/target:Target"
AUTOMATION = "gcp:clouddeploy/automation:Automation"

MODES = "Replace on change: tier, connect_mode"
HERE = "In place: memory_size_gb, redis_configs"
ONCE = "`read_replicas_mode`, only at create"
SHARDED = "`zone_distribution_config`, `mode` replace"
GCS = "**GCS**: location immutable"
PUBSUB = "`enable_message_ordering` and `filter` replace"
SECRETS = "`replication` replaces the secret"
ARTIFACTS = "`mode` and `remote_repository_config` replace"
APIS = "| APIs | `projects.Service`"
NETWORKS = "| network | `compute.Network`"
PSA = "| PSA | `compute.GlobalAddress`"
RUN = "| service | `cloudrunv2.Service`"
GROUP = "| NEG | `compute.RegionNetworkEndpointGroup`"
BACKENDS = "| backend | `compute.BackendService`"
CACHES = "| cache bucket | `compute.BackendBucket`"
FRONT = "| front | `compute.URLMap`"
CERTS = "| certs | `certificatemanager.Certificate"
ARMORS = "| Armor | `compute.SecurityPolicy`"
SQLS = "| SQL | `sql.DatabaseInstance`"
STORAGE = "| storage | `storage.Bucket`"
MESSAGES = "| messages | `pubsub.Topic`"
VAULT = "| secrets | `secretmanager.Secret`"
QUOTA = "| quota | `cloudquota.SQuotaPreference`"
MONITORING = "| monitoring | `monitoring.Dashboard"
DELIVERY = "| delivery | `clouddeploy.DeliveryPipeline"

REPLICAS = {"readReplicasMode": "READ_REPLICAS_ENABLED"}
LESS = json.dumps({"displayName": "d", "labels": {"a": ""}})
MORE = json.dumps({"displayName": "d", "labels": {"a": "", "b": ""}})

# (cell, type, path, before, after, expected); None stands for a field left out.
CELLS: list[tuple[str, str, str, Any, Any, str]] = [
    (MODES, REDIS, "tier", "BASIC", "STANDARD_HA", REPLACE),
    (MODES, REDIS, "connectMode", None, "PRIVATE_SERVICE_ACCESS", REPLACE),
    (MODES, REDIS, "reservedIpRange", "10.0.0.0/29", "10.0.1.0/29", REPLACE),
    (MODES, REDIS, "transitEncryptionMode", None, "SERVER_AUTHENTICATION", REPLACE),
    (MODES, REDIS, "authorizedNetwork", "a", "b", REPLACE),
    (MODES, REDIS, "locationId", "us-central1-a", "us-central1-b", REPLACE),
    (MODES, REDIS, "alternativeLocationId", "us-central1-a", "us-west1-b", REPLACE),
    (MODES, REDIS, "name", "a", "b", REPLACE),
    (MODES, REDIS, "region", "us-central1", "us-west1", REPLACE),
    (ONCE, REDIS, "readReplicasMode", None, "READ_REPLICAS_ENABLED", REPLACE),
    (HERE, REDIS, "memorySizeGb", 16, 32, IN_PLACE),
    (HERE, REDIS, "redisConfigs.maxmemory-policy", "noeviction", "lru", IN_PLACE),
    (HERE, REDIS, "replicaCount", 1, 2, IN_PLACE),
    (HERE, REDIS, "authEnabled", False, True, IN_PLACE),
    (SHARDED, CLUSTER, "authorizationMode", None, "AUTH_MODE_IAM_AUTH", REPLACE),
    (SHARDED, CLUSTER, "transitEncryptionMode", None, "SERVER", REPLACE),
    (SHARDED, CLUSTER, "zoneDistributionConfig.mode", "A", "B", REPLACE),
    (SHARDED, VALKEY, "authorizationMode", "AUTH_DISABLED", "IAM_AUTH", REPLACE),
    (SHARDED, VALKEY, "transitEncryptionMode", None, "SERVER", REPLACE),
    (SHARDED, VALKEY, "zoneDistributionConfig.zone", "a", "b", REPLACE),
    (SHARDED, VALKEY, "mode", "CLUSTER", "CLUSTER_DISABLED", REPLACE),
    (GCS, BUCKET, "location", "US", "EU", REPLACE),
    (GCS, BUCKET, "hierarchicalNamespace.enabled", False, True, REPLACE),
    (GCS, BUCKET, "enableObjectRetention", False, True, REPLACE),
    (GCS, BUCKET, "customPlacementConfig.dataLocations", ["A"], ["B"], REPLACE),
    (PUBSUB, SUBSCRIPTION, "enableMessageOrdering", False, True, REPLACE),
    (PUBSUB, SUBSCRIPTION, "filter", "a", "b", REPLACE),
    (SECRETS, SECRET, "replication.auto", {}, None, REPLACE),
    (ARTIFACTS, REPOSITORY, "mode", "STANDARD", "REMOTE", REPLACE),
    (ARTIFACTS, REPOSITORY, "remoteRepositoryConfig.description", "a", "b", REPLACE),
    (APIS, API, "service", "run.googleapis.com", "redis.googleapis.com", REPLACE),
    (NETWORKS, NETWORK, "description", "a", "b", REPLACE),
    (NETWORKS, NETWORK, "autoCreateSubnetworks", False, True, REPLACE),
    (NETWORKS, SUBNET, "ipCidrRange", "10.0.0.0/20", "10.0.0.0/24", REPLACE),
    (NETWORKS, SUBNET, "ipCidrRange", "10.0.0.0/24", "10.1.0.0/20", REPLACE),
    (NETWORKS, SUBNET, "ipCidrRange", "10.0.0.0/24", "10.0.0.0/20", IN_PLACE),
    (NETWORKS, SUBNET, "region", "us-west1", "us-east1", REPLACE),
    (NETWORKS, SUBNET, "network", "a", "b", REPLACE),
    (PSA, ADDRESS, "address", "10.0.0.0", "10.1.0.0", REPLACE),
    (PSA, ADDRESS, "addressType", "EXTERNAL", "INTERNAL", REPLACE),
    (PSA, ADDRESS, "description", "a", "b", REPLACE),
    (PSA, ADDRESS, "ipVersion", "IPV4", "IPV6", REPLACE),
    (PSA, ADDRESS, "name", "a", "b", REPLACE),
    (PSA, ADDRESS, "network", "a", "b", REPLACE),
    (PSA, ADDRESS, "prefixLength", 16, 20, REPLACE),
    (PSA, ADDRESS, "project", "a", "b", REPLACE),
    (PSA, ADDRESS, "purpose", None, "VPC_PEERING", REPLACE),
    (RUN, SERVICE, "location", "us-west1", "us-east1", REPLACE),
    (RUN, SERVICE, "name", "a", "b", REPLACE),
    (RUN, SERVICE, "project", "a", "b", REPLACE),
    (RUN, SERVICE, "tags.a", "b", "c", REPLACE),
    (GROUP, NEG, "appEngine.service", "a", "b", REPLACE),
    (GROUP, NEG, "cloudFunction.function", "a", "b", REPLACE),
    (GROUP, NEG, "cloudRun.service", "a", "b", REPLACE),
    (GROUP, NEG, "description", "a", "b", REPLACE),
    (GROUP, NEG, "name", "a", "b", REPLACE),
    (GROUP, NEG, "network", "a", "b", REPLACE),
    (GROUP, NEG, "networkEndpointType", "SERVERLESS", "INTERNET", REPLACE),
    (GROUP, NEG, "project", "a", "b", REPLACE),
    (GROUP, NEG, "pscData.producerPort", "1", "2", REPLACE),
    (GROUP, NEG, "pscTargetService", "a", "b", REPLACE),
    (GROUP, NEG, "region", "us-west1", "us-east1", REPLACE),
    (GROUP, NEG, "serverlessDeployment.platform", "a", "b", REPLACE),
    (GROUP, NEG, "subnetwork", "a", "b", REPLACE),
    (BACKENDS, BACKEND, "name", "a", "b", REPLACE),
    (BACKENDS, BACKEND, "project", "a", "b", REPLACE),
    (CACHES, CACHE, "name", "a", "b", REPLACE),
    (FRONT, HTTPS, "httpKeepAliveTimeoutSec", 60, 600, REPLACE),
    (FRONT, HTTPS, "tlsEarlyData", "DISABLED", "STRICT", REPLACE),
    (FRONT, RULE, "ipAddress", "a", "b", REPLACE),
    (FRONT, RULE, "portRange", "80", "443", REPLACE),
    (CERTS, CERTIFICATE, "managed.domains", ["a"], ["b"], REPLACE),
    (ARMORS, ARMOR, "name", "a", "b", REPLACE),
    (ARMORS, ARMOR, "type", "CLOUD_ARMOR", "CLOUD_ARMOR_EDGE", REPLACE),
    (SQLS, SQL, "name", "a", "b", REPLACE),
    (SQLS, SQL, "region", "us-west1", "us-east1", REPLACE),
    (SQLS, SQL, "masterInstanceName", "a", "b", REPLACE),
    (SQLS, SQL, "masterInstanceName", None, "a", REPLACE),
    (SQLS, SQL, "masterInstanceName", "a", None, IN_PLACE),
    (STORAGE, BUCKET, "location", "EU", "ASIA", REPLACE),
    (MESSAGES, SUBSCRIPTION, "filter", None, "a", REPLACE),
    (MESSAGES, SUBSCRIPTION, "enableMessageOrdering", None, True, REPLACE),
    (VAULT, SECRET, "replication.userManaged", {"replicas": []}, None, REPLACE),
    (QUOTA, PREFERENCE, "parent", "projects/a", "projects/b", REPLACE),
    (QUOTA, OVERRIDE, "service", "a", "b", REPLACE),
    (QUOTA, OVERRIDE, "metric", "a", "b", REPLACE),
    (QUOTA, OVERRIDE, "limit", "a", "b", REPLACE),
    (QUOTA, OVERRIDE, "project", "a", "b", REPLACE),
    (MONITORING, DASHBOARD, "project", "a", "b", REPLACE),
    (MONITORING, ALERT, "project", "a", "b", REPLACE),
    (MONITORING, CHANNEL, "project", "a", "b", REPLACE),
    (MONITORING, SLO, "project", "a", "b", REPLACE),
    (MONITORING, SLO, "service", "a", "b", REPLACE),
    (MONITORING, CUSTOM, "project", "a", "b", REPLACE),
    (MONITORING, UPTIME, "project", "a", "b", REPLACE),
    (MONITORING, DASHBOARD, "dashboardJson", MORE, LESS, NOTHING),
    (MONITORING, DASHBOARD, "dashboardJson", LESS, MORE, IN_PLACE),
    (DELIVERY, PIPELINE, "name", "a", "b", REPLACE),
    (DELIVERY, PIPELINE, "location", "us-west1", "us-east1", REPLACE),
    (DELIVERY, TARGET, "name", "a", "b", REPLACE),
    (DELIVERY, TARGET, "location", "us-west1", "us-east1", REPLACE),
    (DELIVERY, AUTOMATION, "name", "a", "b", REPLACE),
    (DELIVERY, AUTOMATION, "location", "us-west1", "us-east1", REPLACE),
    (DELIVERY, REPOSITORY, "repositoryId", "a", "b", REPLACE),
    (DELIVERY, REPOSITORY, "location", "us-west1", "us-east1", REPLACE),
]
COUNT = 105
NOT_DECLARED = {
    # gcp.md 2, secrets: data. No secret value is an input of ours (design.md 5).
    "gcp:secretmanager/secretVersion:SecretVersion",
    # gcp.md 2, delivery: images are built by `meridian image build`.
    "gcp:cloudbuild/trigger:Trigger",
}
"""Types of cells that the provider refuses by name."""


def with_value(inputs: Json, path: str, value: Any) -> Json:
    """The inputs with one more field, or without where the value is None."""
    made = copy.deepcopy(inputs)
    *blocks, last = path.split(".")
    target = made
    for block in blocks:
        target = target.setdefault(block, {})
    if value is not None:
        target[last] = value
    return made


async def diff(token: str, old: Json, new: Json) -> Any:
    structs = []
    for inputs in (old, new):
        struct = struct_pb2.Struct()
        struct.update(inputs)
        structs.append(struct)
    request = provider_pb2.DiffRequest(
        urn=f"urn:pulumi:prod::meridian::{token}::it",
        old_inputs=structs[0],
        news=structs[1],
    )
    return await Provider(None, None).Diff(request, None)


@pytest.mark.parametrize(
    ("cell", "token", "path", "before", "after", "expected"),
    CELLS,
    ids=[f"{c[1].rsplit(':')[-1]}.{c[2]}-{n}" for n, c in enumerate(CELLS)],
)
async def test_a_changed_field_previews_as_the_page_says(
    cell: str, token: str, path: str, before: Any, after: Any, expected: str
) -> None:
    common = REPLICAS if path == "replicaCount" else {}
    old, new = with_value(common, path, before), with_value(common, path, after)
    answer = await diff(token, old, new)
    changed = answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    top = path.split(".")[0]
    assert changed == (expected != NOTHING)
    assert list(answer.diffs) == ([top] if changed else [])
    assert list(answer.replaces) == ([top] if expected == REPLACE else [])


@pytest.mark.parametrize("token", sorted(NOT_DECLARED))
def test_types_of_the_page_that_are_not_declared_are_refused(token: str) -> None:
    with pytest.raises(UnknownTypeError):
        lookup(token)


def test_the_table_is_complete() -> None:
    assert len(CELLS) == COUNT
    assert len({(c[1], c[2], str(c[3]), str(c[4])) for c in CELLS}) == COUNT


@pytest.mark.skipif(not PAGE.exists(), reason="no reference page beside this clone")
def test_every_cell_of_the_page_that_tells_of_a_change_is_in_the_table() -> None:
    """Each cited cell is there, and each cell with something to say is cited."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("### 1.4"))
    end = next(i for i, line in enumerate(lines) if line.startswith("## 3"))
    text = lines[start:end]
    cited = {cell for cell, *_ in CELLS}
    assert [cell for cell in cited if not any(cell in line for line in text)] == []
    rows = [line for line in text if line.startswith("| ") and line.count("|") == 6]
    telling = [row for row in rows if row.split("|")[4].strip()]
    telling = [r for r in telling if "see 1.4" not in r and "---" not in r]
    prose = [
        line
        for line in text
        if not line.startswith("|") and ("eplace" in line or "n place" in line)
    ]
    silent = [
        line[:80]
        for line in [*telling[1:], *prose]
        if not any(cell in line for cell in cited)
    ]
    assert silent == []
