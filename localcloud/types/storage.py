"""Secret Manager, Cloud Storage, Artifact Registry."""

from localcloud.types.base import Create, Json, Operation, ResourceType, by_key, visit

SWITCHES = frozenset({"deletionProtection", "deletionPolicy", "project"})
CONDITION = "lifecycleRules[].condition"
SENT_ZEROS = (
    "sendAgeIfZero",
    "sendDaysSinceCustomTimeIfZero",
    "sendDaysSinceNoncurrentTimeIfZero",
    "sendNumNewerVersionsIfZero",
)
BUCKET_NAMES = {
    f"{CONDITION}.matchesPrefixes": "matchesPrefix",
    f"{CONDITION}.matchesStorageClasses": "matchesStorageClass",
    f"{CONDITION}.matchesSuffixes": "matchesSuffix",
    "cors[].methods": "method",
    "cors[].origins": "origin",
    "cors[].responseHeaders": "responseHeader",
    "lifecycleRules": "lifecycle.rule",
    "publicAccessPrevention": "iamConfiguration.publicAccessPrevention",
    "requesterPays": "billing.requesterPays",
    "uniformBucketLevelAccess": "iamConfiguration.uniformBucketLevelAccess.enabled",
}


def _bucket_body(body: Json) -> Json:
    visit(body, ["lifecycle", "rule[]", "condition", "withState"], _is_live)
    return body


def _is_live(condition: Json, key: str) -> None:
    """Which objects a rule is for is a word in Pulumi and a truth value at Google."""
    state = condition.pop(key)
    if state in ("LIVE", "ARCHIVED"):
        condition["isLive"] = state == "LIVE"


def _bucket_outputs(inputs: Json, body: Json, path: str) -> Json:
    return {"url": f"gs://{path.rsplit('/', 1)[-1]}"}


def _repository_body(body: Json) -> Json:
    if isinstance(body.get("cleanupPolicies"), list):
        body["cleanupPolicies"] = by_key(body["cleanupPolicies"], "id", keep=True)
    return body


def _repository_outputs(inputs: Json, body: Json, path: str) -> Json:
    parts = path.split("/")
    return {"registryUri": f"{parts[4]}-docker.pkg.dev/{parts[2]}/{parts[6]}"}


TYPES = (
    ResourceType(
        token="gcp:secretmanager/secret:Secret",
        api="secretmanager.googleapis.com",
        schema="Secret",
        path="v1/projects/{project}/secrets/{id}",
        source="secretmanager v1 discovery; gcp.md 1.6",
        id_input="secretId",
        id_param="secretId",
        drop=SWITCHES | {"secretId"},
        replace=frozenset({"replication", "secretId", "project"}),
        rename={"replication.auto": "automatic"},
        runs="control plane, values encrypted at rest",
    ),
    ResourceType(
        token="gcp:storage/bucket:Bucket",
        api="storage.googleapis.com",
        schema="Bucket",
        path="storage/v1/b/{id}",
        source="storage v1 discovery; gcp.md 1.6; pulumi_gcp 10.2.0 storage",
        create=Create.BODY,
        rename=BUCKET_NAMES,
        drop=SWITCHES
        | {"enableObjectRetention", "forceDestroy"}
        | {f"{CONDITION}.{switch}" for switch in SENT_ZEROS},
        replace=frozenset(
            {
                "customPlacementConfig",
                "enableObjectRetention",
                "hierarchicalNamespace",
                "location",
                "name",
                "project",
            }
        ),
        body=_bucket_body,
        outputs=_bucket_outputs,
        runs="files of the control plane",
    ),
    ResourceType(
        token="gcp:artifactregistry/repository:Repository",
        api="artifactregistry.googleapis.com",
        schema="Repository",
        path="v1/projects/{project}/locations/{location}/repositories/{id}",
        source="artifactregistry v1 discovery; gcp.md 1.6",
        id_input="repositoryId",
        id_param="repositoryId",
        operation=Operation.LONG_RUNNING,
        drop=SWITCHES | {"repositoryId", "location"},
        replace=frozenset(
            {
                "format",
                "location",
                "mode",
                "project",
                "remoteRepositoryConfig",
                "repositoryId",
            }
        ),
        body=_repository_body,
        outputs=_repository_outputs,
    ),
)
