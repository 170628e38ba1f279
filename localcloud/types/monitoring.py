"""Cloud Monitoring and billing budgets."""

from localcloud.types.base import Create, ResourceType

SOURCE = "monitoring v1/v3 and billingbudgets v1 discovery; gcp.md 1.6 and 2"
DROP = frozenset({"deletionPolicy", "project"})


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
    ),
)
