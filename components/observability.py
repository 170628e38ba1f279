"""Dashboards and alert policies as resources; `dashboards` makes their content."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_gcp import monitoring

from components._base import Component, coerce


@dataclass(frozen=True, kw_only=True)
class ObservabilityArgs:
    """Content by a stable name."""

    project: pulumi.Input[str]
    """Project, known once its APIs answer."""
    dashboards: Mapping[str, str]
    """Canonical JSON of each dashboard."""
    alerts: Mapping[str, str]
    """Canonical JSON of each alert policy, in the form of Google's API."""


class Observability(Component):
    """One resource for each dashboard and alert policy."""

    dashboards: pulumi.Output[list[str]]
    """Resource names of the dashboards."""
    alerts: pulumi.Output[list[str]]
    """Resource names of the alert policies."""

    def __init__(
        self,
        name: str,
        args: ObservabilityArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("meridian:index:Observability", name, opts)
        args = coerce(ObservabilityArgs, args)
        boards = [
            monitoring.Dashboard(
                f"{name}-{key}",
                project=args.project,
                dashboard_json=content,
                opts=self.child(),
            )
            for key, content in sorted(args.dashboards.items())
        ]
        policies = [
            self._alert(key, args.project, json.loads(content))
            for key, content in sorted(args.alerts.items())
        ]
        self.dashboards = pulumi.Output.all(*[board.id for board in boards])
        self.alerts = pulumi.Output.all(*[policy.id for policy in policies])
        self.finish()

    def _alert(
        self, key: str, project: pulumi.Input[str], policy: Mapping[str, Any]
    ) -> monitoring.AlertPolicy:
        """API form to arguments: the provider spells the same fields in snake case."""
        condition = policy["conditions"][0]
        query = condition["conditionPrometheusQueryLanguage"]
        documentation = policy["documentation"]
        return monitoring.AlertPolicy(
            f"{self.stem}-{key}",
            project=project,
            display_name=policy["displayName"],
            combiner=policy["combiner"],
            severity=policy["severity"],
            user_labels=policy["userLabels"],
            conditions=[
                {
                    "display_name": condition["displayName"],
                    "condition_prometheus_query_language": {
                        "query": query["query"],
                        "duration": query["duration"],
                        "evaluation_interval": query["evaluationInterval"],
                        "alert_rule": query["alertRule"],
                        # A new project has none of the metrics yet.
                        "disable_metric_validation": True,
                    },
                }
            ],
            documentation={
                "content": documentation["content"],
                "mime_type": documentation["mimeType"],
                "subject": documentation["subject"],
                "links": [
                    {"display_name": link["displayName"], "url": link["url"]}
                    for link in documentation["links"]
                ],
            },
            alert_strategy={"auto_close": policy["alertStrategy"]["autoClose"]},
            opts=self.child(),
        )
