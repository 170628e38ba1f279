"""Cloud Run Admin v2."""

from localcloud.types.base import Json, Operation, ResourceType

SOURCE = "run.googleapis.com v2 discovery; defaults: gcp-http-goldens runservicebasic; pulumi_gcp 10.2.0 cloudrunv2"
CONTAINERS = {
    "template.containers[].buildInfos": "buildInfo",
    "template.containers[].commands": "command",
    "template.containers[].dependsOns": "dependsOn",
    "template.containers[].envs": "env",
    "template.sandboxes.templates[].commands": "command",
    "template.sandboxes.templates[].envs": "env",
}
RENAME = {**CONTAINERS, "traffics": "traffic"}
UNWRAP = frozenset({"template.containers[].buildInfos"})
WRAP = frozenset({"template.containers[].ports"})
DROP = frozenset(
    {"deletionProtection", "deletionPolicy", "location", "name", "project"}
)


def _defaults(body: Json) -> None:
    template = body.setdefault("template", {})
    template.setdefault("maxInstanceRequestConcurrency", 80)
    template.setdefault("timeout", "300s")
    template.setdefault("executionEnvironment", "EXECUTION_ENVIRONMENT_GEN2")
    for container in template.get("containers", ()):
        limits = container.setdefault("resources", {}).setdefault("limits", {})
        limits.setdefault("cpu", "1000m")
        limits.setdefault("memory", "512Mi")
    latest = {"percent": 100, "type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"}
    body.setdefault("traffic", [latest])
    body.setdefault("launchStage", "GA")


def _worker_defaults(body: Json) -> None:
    body.setdefault("launchStage", "GA")


def _outputs(inputs: Json, body: Json, path: str) -> Json:
    return {
        "uri": body.get("uri", ""),
        "latestReadyRevision": body.get("latestReadyRevision", ""),
        "latestCreatedRevision": body.get("latestCreatedRevision", ""),
    }


TYPES = (
    ResourceType(
        token="gcp:cloudrunv2/service:Service",
        api="run.googleapis.com",
        schema="GoogleCloudRunV2Service",
        path="v2/projects/{project}/locations/{location}/services/{id}",
        source=SOURCE,
        id_param="serviceId",
        operation=Operation.LONG_RUNNING,
        kind="google.cloud.run.v2.Service",
        rename=RENAME,
        wrap=WRAP,
        unwrap=UNWRAP,
        drop=DROP | {"tags", "template.containers[].readinessProbe.successThreshold"},
        replace=frozenset({"location", "name", "project", "tags"}),
        defaults=_defaults,
        outputs=_outputs,
        runs="processes of the service",
    ),
    ResourceType(
        token="gcp:cloudrunv2/workerPool:WorkerPool",
        api="run.googleapis.com",
        schema="GoogleCloudRunV2WorkerPool",
        path="v2/projects/{project}/locations/{location}/workerPools/{id}",
        source=SOURCE,
        id_param="workerPoolId",
        operation=Operation.LONG_RUNNING,
        kind="google.cloud.run.v2.WorkerPool",
        rename=CONTAINERS,
        # v2 documents a count alone; the provider has the rest from a preview.
        drop=DROP
        | {
            "scaling.maxInstanceCount",
            "scaling.minInstanceCount",
            "scaling.scalingMode",
        },
        replace=frozenset({"location", "name", "project"}),
        defaults=_worker_defaults,
        outputs=_outputs,
        runs="processes of the service",
    ),
)
