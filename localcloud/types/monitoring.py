"""Cloud Monitoring and billing budgets."""

from localcloud.types.base import Create, Json, ResourceType, visit

SOURCE = "monitoring v1/v3 and billingbudgets v1 discovery; gcp.md 1.6 and 2"
DROP = frozenset({"deletionPolicy", "project"})


SLI = "serviceLevelIndicator"
SECRET_LABELS = {
    "authToken": "auth_token",
    "password": "password",
    "serviceKey": "service_key",
}
"""Names in Pulumi and keys at Google."""
DAY_SECONDS = 86400


def _budget_body(body: Json) -> Json:
    visit(body, ["amount", "lastPeriodAmount"], _mark)
    visit(body, ["budgetFilter", "labels"], _lists)
    return body


def _mark(container: Json, key: str) -> None:
    """What is true in Pulumi is there, and empty, at Google."""
    if container[key] is True:
        container[key] = {}


def _lists(container: Json, key: str) -> None:
    if isinstance(container[key], dict):
        container[key] = {k: [v] for k, v in container[key].items()}


def _objective_body(body: Json) -> Json:
    days = body.pop("rollingPeriodDays", None)
    if isinstance(days, int):
        body["rollingPeriod"] = f"{days * DAY_SECONDS}s"
    return body


def _channel_body(body: Json) -> Json:
    """Google has labels and their secret ones in one map."""
    secret = body.pop("sensitiveLabels", None)
    labels = body.setdefault("labels", {})
    if isinstance(secret, dict) and isinstance(labels, dict):
        labels.update(secret)
    return body


TYPES = (
    ResourceType(
        token="gcp:monitoring/dashboard:Dashboard",
        api="monitoring.googleapis.com",
        schema="Dashboard",
        path="v1/projects/{project}/dashboards/{id}",
        source=SOURCE,
        create=Create.SERVER,
        drop=DROP,
        replace=frozenset({"project"}),
        body_input="dashboardJson",
        ignore_removed=frozenset({"dashboardJson"}),
        runs="page, drawn from Prometheus",
    ),
    ResourceType(
        token="gcp:monitoring/alertPolicy:AlertPolicy",
        api="monitoring.googleapis.com",
        schema="AlertPolicy",
        path="v3/projects/{project}/alertPolicies/{id}",
        source=SOURCE,
        create=Create.SERVER,
        drop=DROP,
        replace=frozenset({"project"}),
        rename={
            "alertStrategy.notificationChannelStrategies": "notificationChannelStrategy"
        },
        runs="Prometheus rules",
    ),
    ResourceType(
        token="gcp:billing/budget:Budget",
        api="billingbudgets.googleapis.com",
        schema="GoogleCloudBillingBudgetsV1Budget",
        path="v1/billingAccounts/{billingAccount}/budgets/{id}",
        source=SOURCE,
        create=Create.SERVER,
        drop=DROP | {"billingAccount"},
        replace=frozenset({"billingAccount"}),
        rename={"allUpdatesRule": "notificationsRule"},
        body=_budget_body,
    ),
    ResourceType(
        token="gcp:monitoring/notificationChannel:NotificationChannel",
        api="monitoring.googleapis.com",
        schema="NotificationChannel",
        path="v3/projects/{project}/notificationChannels/{id}",
        source=SOURCE,
        create=Create.SERVER,
        rename={
            f"sensitiveLabels.{secret}{suffix}": secret_name
            for secret, secret_name in SECRET_LABELS.items()
            for suffix in ("", "Wo")
            if suffix or secret != secret_name
        },
        drop=DROP
        | {"forceDelete"}
        | {f"sensitiveLabels.{secret}WoVersion" for secret in SECRET_LABELS},
        replace=frozenset({"project"}),
        body=_channel_body,
    ),
    ResourceType(
        token="gcp:monitoring/customService:CustomService",
        api="monitoring.googleapis.com",
        schema="Service",
        path="v3/projects/{project}/services/{id}",
        source=SOURCE,
        create=Create.SERVER,
        drop=DROP | {"serviceId"},
        replace=frozenset({"project", "serviceId"}),
        body=lambda body: {**body, "custom": {}},
    ),
    ResourceType(
        token="gcp:monitoring/slo:Slo",
        api="monitoring.googleapis.com",
        schema="ServiceLevelObjective",
        path="v3/projects/{project}/services/{service}/serviceLevelObjectives/{id}",
        source=SOURCE,
        create=Create.SERVER,
        rename={
            "basicSli": f"{SLI}.basicSli",
            "requestBasedSli": f"{SLI}.requestBased",
            "windowsBasedSli": f"{SLI}.windowsBased",
            "**.locations": "location",
            "**.methods": "method",
            "**.versions": "version",
        },
        drop=DROP | {"**.availability.enabled", "service", "sloId"},
        replace=frozenset({"project", "service", "sloId"}),
        body=_objective_body,
    ),
    ResourceType(
        token="gcp:monitoring/uptimeCheckConfig:UptimeCheckConfig",
        api="monitoring.googleapis.com",
        schema="UptimeCheckConfig",
        path="v3/projects/{project}/uptimeCheckConfigs/{id}",
        source=SOURCE,
        create=Create.SERVER,
        rename={"httpCheck.authInfo.passwordWo": "password"},
        drop=DROP | {"httpCheck.authInfo.passwordWoVersion"},
        replace=frozenset(
            {
                "checkerType",
                "httpCheck.requestMethod",
                "monitoredResource",
                "project",
                "resourceGroup",
                "syntheticMonitor",
            }
        ),
    ),
)
