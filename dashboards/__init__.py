"""Dashboards and alert policies as typed builders that end in canonical JSON.

Layout, in reading order:

widgets     tiles: charts, scorecards, text; the mosaic that places them
alerts      alert policies over PromQL
canonical   JSON without anything the server would drop: zeros, nulls, empty values
validation  a process that holds the JSON against Google's own message types
upkeep      charts and alerts of what workers do at intervals
world       the dashboard and the alert policies of this platform
"""

from dashboards.world import alert_policies, dashboards

__all__ = ["alert_policies", "dashboards"]
