"""What workers do at intervals, and the age at which somebody must look."""

from collections.abc import Mapping

from dashboards.alerts import Alert, Severity
from dashboards.widgets import Chart, Series, Unit

DIGEST_SECONDS = 600
"""Between two comparisons with another hub (ADR 0017), as the service has it where
`MERIDIAN_DIGEST_SECONDS` is not set; a test holds the two together."""
SNAPSHOT_SECONDS = 1800
"""After which a snapshot is brought up to date (ADR 0019), where
`MERIDIAN_SNAPSHOT_SECONDS` is not set; held by the same test."""
MISSED = 3
"""Intervals after which something does not go by itself.

What is compared in time is at most 1.2 intervals old and the length of a round, and 2.2
after a restart, which spreads rounds out; a failed round is tried again each tenth. A
snapshot is at most 1.1 old and the time it takes to write. Three of its intervals are
90 minutes: half an hour is left until the log does not reach back to it.
"""
COMPARED = MISSED * DIGEST_SECONDS
"""Greatest age of a comparison, in seconds."""
KEPT = MISSED * SNAPSHOT_SECONDS
"""Greatest age of a snapshot, in seconds."""

# Only the active worker has it. While one takes over from another the later one counts.
_COMPARED = "min by (region, peer) (meridian_digest_age_seconds)"
# All look at the same snapshots. One that has just started may have seen none yet, and
# must not hide what another one knows.
_KEPT = "max by (region) (meridian_snapshot_age_seconds)"


def charts() -> list[Chart]:
    """A row: the ages of comparisons and of snapshots."""
    return [
        Chart(
            title="Since a hub was compared with another",
            unit=Unit.SECONDS,
            label="seconds",
            threshold=float(COMPARED),
            series=[Series(query=_COMPARED, legend="{{region}} with {{peer}}")],
        ),
        Chart(
            title="Age of the oldest snapshot by region",
            unit=Unit.SECONDS,
            label="seconds",
            threshold=float(KEPT),
            series=[Series(query=_KEPT, legend="{{region}}")],
        ),
    ]


def alerts(runbooks: str) -> Mapping[str, Alert]:
    """Nothing fails yet, but what makes failures harmless has stopped.

    runbooks: address under which their pages are found.
    """
    return {
        "states-not-compared": Alert(
            name="StatesNotCompared",
            title="A hub is not compared with another",
            query=f"{_COMPARED} > {COMPARED}",
            lasting_seconds=60,
            every_seconds=30,
            severity=Severity.WARNING,
            summary=(
                f"No comparison with another hub was complete for {COMPARED // 60} "
                "minutes, three times the interval: what a hub missed stays missing. "
                "Find out whether the other hub's worker runs and answers."
            ),
            runbook=f"{runbooks}/states-not-compared",
        ),
        "snapshots-old": Alert(
            name="SnapshotsOld",
            title="Snapshots are old",
            query=f"{_KEPT} > {KEPT}",
            lasting_seconds=60,
            every_seconds=30,
            severity=Severity.WARNING,
            summary=(
                f"A region's snapshot was not brought up to date for {KEPT // 60} "
                "minutes, three times the interval: new instances will load from the "
                "database, all at once when load grows. Look at the worker's log."
            ),
            runbook=f"{runbooks}/snapshots-old",
        ),
    }
