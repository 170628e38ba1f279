"""Cloud Deploy, quota preferences, Private Service Connect policies. Declared, not run:
nobody rolls out here but Pulumi, and nobody grants.
"""

from localcloud.types.base import Create, Json, Operation, ResourceType, by_key

DEPLOY = "clouddeploy.googleapis.com"
SOURCE = "clouddeploy v1 discovery; gcp.md 1.6 and 2; pulumi_gcp 10.2.0 clouddeploy"
PLACE = "v1/projects/{project}/locations/{location}"
DROP = frozenset({"deletionPolicy", "location", "name", "project"})
FIXED = frozenset({"location", "name", "project"})


def _target_body(body: Json) -> Json:
    if isinstance(body.get("associatedEntities"), list):
        body["associatedEntities"] = by_key(body["associatedEntities"], "entityId")
    return body


TYPES = (
    ResourceType(
        token="gcp:clouddeploy/target:Target",
        api=DEPLOY,
        schema="Target",
        path=f"{PLACE}/targets/{{id}}",
        source=SOURCE,
        id_param="targetId",
        operation=Operation.LONG_RUNNING,
        drop=DROP,
        replace=FIXED,
        body=_target_body,
    ),
    ResourceType(
        token="gcp:clouddeploy/deliveryPipeline:DeliveryPipeline",
        api=DEPLOY,
        schema="DeliveryPipeline",
        path=f"{PLACE}/deliveryPipelines/{{id}}",
        source=SOURCE,
        id_param="deliveryPipelineId",
        operation=Operation.LONG_RUNNING,
        rename={"**.commands": "command"},
        drop=DROP,
        replace=FIXED,
    ),
    ResourceType(
        token="gcp:clouddeploy/automation:Automation",
        api=DEPLOY,
        schema="Automation",
        path=f"{PLACE}/deliveryPipelines/{{deliveryPipeline}}/automations/{{id}}",
        source=SOURCE,
        id_param="automationId",
        operation=Operation.LONG_RUNNING,
        drop=DROP | {"deliveryPipeline"},
        replace=FIXED | {"deliveryPipeline"},
    ),
    ResourceType(
        token="gcp:cloudquota/sQuotaPreference:SQuotaPreference",
        api="cloudquotas.googleapis.com",
        path="v1/projects/{project}/locations/global/quotaPreferences/{id}",
        source="cloudquotas v1 discovery; gcp.md 2 (parent replaces)",
        id_param="quotaPreferenceId",
        drop=frozenset({"name", "parent"}),
        replace=frozenset({"dimensions", "name", "parent", "quotaId", "service"}),
    ),
    ResourceType(
        token="gcp:serviceusage/consumerQuotaOverride:ConsumerQuotaOverride",
        api="serviceusage.googleapis.com",
        schema="QuotaOverride",
        path="v1beta1/projects/{project}/services/{service}/consumerQuotaMetrics/"
        "{metric}/limits/{limit}/consumerOverrides/{id}",
        source="serviceusage v1beta1 discovery; gcp.md 1.6 and 2 (parent replaces)",
        create=Create.SERVER,
        operation=Operation.LONG_RUNNING,
        drop=frozenset(
            {"deletionPolicy", "force", "limit", "metric", "project", "service"}
        ),
        replace=frozenset({"dimensions", "limit", "metric", "project", "service"}),
    ),
    ResourceType(
        token="gcp:networkconnectivity/serviceConnectionPolicy:ServiceConnectionPolicy",
        api="networkconnectivity.googleapis.com",
        schema="ServiceConnectionPolicy",
        path=f"{PLACE}/serviceConnectionPolicies/{{id}}",
        source="networkconnectivity v1 discovery; gcp.md 1.4 and 2",
        id_param="serviceConnectionPolicyId",
        operation=Operation.LONG_RUNNING,
        rename={
            "pscConfig.allowedGoogleProducersResourceHierarchyLevels": (
                "allowedGoogleProducersResourceHierarchyLevel"
            ),
        },
        drop=DROP,
        replace=FIXED | {"network", "serviceClass"},
    ),
)
