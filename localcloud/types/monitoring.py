"""Cloud Monitoring and billing budgets."""

import json

from localcloud.types.base import Create, Json, ResourceType

SOURCE = "monitoring v1/v3 and billingbudgets v1 discovery; gcp.md 1.6 and 2"
DROP = frozenset({"deletionPolicy", "project"})


def _dashboard_body(body: Json) -> Json:
    parsed: Json = json.loads(body["dashboardJson"])
    return parsed


def _budget_body(body: Json) -> Json:
    rule = body.pop("allUpdatesRule", None)
    if rule:
        body["notificationsRule"] = rule
    return body


TYPES = (
    ResourceType(
        token="gcp:monitoring/dashboard:Dashboard",
        api="monitoring.googleapis.com",
        path="v1/projects/{project}/dashboards/{id}",
        source=SOURCE,
        create=Create.SERVER,
        drop=DROP,
        replace=frozenset({"project"}),
        body=_dashboard_body,
        runs="page, drawn from Prometheus",
    ),
    ResourceType(
        token="gcp:monitoring/alertPolicy:AlertPolicy",
        api="monitoring.googleapis.com",
        path="v3/projects/{project}/alertPolicies/{id}",
        source=SOURCE,
        create=Create.SERVER,
        drop=DROP,
        replace=frozenset({"project"}),
        runs="Prometheus rules",
    ),
    ResourceType(
        token="gcp:billing/budget:Budget",
        api="billingbudgets.googleapis.com",
        path="v1/billingAccounts/{billingAccount}/budgets/{id}",
        source=SOURCE,
        create=Create.SERVER,
        drop=DROP | {"billingAccount"},
        replace=frozenset({"billingAccount"}),
        body=_budget_body,
    ),
)
