"""Alert policies over PromQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

EVALUATION_STEP = 30
"""Google evaluates PromQL at multiples of 30 s (discovery document, 2026-11)."""

MOST_LINKS = 3
"""Links in an alert's documentation (discovery document, 2026-11)."""


class Severity(StrEnum):
    """How soon somebody must look."""

    CRITICAL = "CRITICAL"
    ERROR = "ERROR"
    WARNING = "WARNING"


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One PromQL condition that stays true for a while."""

    name: str
    """Prometheus rule name, such as `SlowNotifications`."""
    title: str
    """Shown to people."""
    query: str
    """PromQL; any result means trouble."""
    lasting_seconds: int
    """How long it must hold."""
    every_seconds: int
    """How often it is evaluated; a multiple of 30."""
    severity: Severity
    """How soon somebody must look."""
    summary: str
    """What it means and what to do first."""
    runbook: str
    """Address of the page."""

    def __post_init__(self) -> None:
        for field in ("lasting_seconds", "every_seconds"):
            seconds = getattr(self, field)
            if seconds % EVALUATION_STEP or seconds <= 0:
                below = max(EVALUATION_STEP, seconds - seconds % EVALUATION_STEP)
                raise ValueError(
                    f"alert {self.name}: {field}: {seconds} s is no multiple of "
                    f"{EVALUATION_STEP} s: use {below} or "
                    f"{below + EVALUATION_STEP}"
                )

    def body(self) -> dict[str, Any]:
        """The policy as Google's API takes it."""
        return {
            "displayName": self.title,
            "combiner": "OR",
            "severity": str(self.severity),
            "userLabels": {"rule": self.name.lower()},
            "conditions": [
                {
                    "displayName": self.title,
                    "conditionPrometheusQueryLanguage": {
                        "query": self.query,
                        "duration": f"{self.lasting_seconds}s",
                        "evaluationInterval": f"{self.every_seconds}s",
                        "alertRule": self.name,
                    },
                }
            ],
            "documentation": {
                "content": self.summary,
                "mimeType": "text/markdown",
                "subject": self.title,
                "links": self._links(),
            },
            "alertStrategy": {"autoClose": "1800s"},
        }

    def _links(self) -> Sequence[dict[str, str]]:
        return [{"displayName": "Runbook", "url": self.runbook}][:MOST_LINKS]
