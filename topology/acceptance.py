"""Findings that somebody accepted for a while, with a reason."""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from topology.finding import Finding, Level

KEYS = ("finding", "reason", "until", "who")
LONGEST_DAYS = 180
"""An acceptance that never ends is a lower standard. Assumption: half a year."""


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """One accepted finding."""

    finding: str
    """Code of the finding, or `code@place` for one place only."""
    reason: str
    """Why it may stand."""
    until: datetime.date
    """Last day on which it counts."""
    who: str
    """User and host that accepted it."""

    def covers(self, finding: Finding) -> bool:
        """Whether it is about this finding."""
        code, _, place = self.finding.partition("@")
        return finding.code == code and place in ("", finding.place)

    def to_json(self) -> dict[str, str]:
        """As it is recorded."""
        return {
            "finding": self.finding,
            "reason": self.reason,
            "until": self.until.isoformat(),
            "who": self.who,
        }


def acceptance(given: Mapping[str, Any], today: datetime.date) -> Acceptance:
    """One acceptance from its recorded form; raises `ValueError` with the remedy."""
    missing = [key for key in KEYS if not str(given.get(key) or "").strip()]
    if missing:
        raise ValueError(
            f"an acceptance needs {', '.join(missing)}: --accept FINDING --reason TEXT "
            "--until YYYY-MM-DD"
        )
    try:
        until = datetime.date.fromisoformat(str(given["until"]))
    except ValueError:
        text = f"until: {given['until']!r} is no date: use YYYY-MM-DD"
        raise ValueError(text) from None
    latest = today + datetime.timedelta(days=LONGEST_DAYS)
    if until > latest:
        raise ValueError(
            f"until: {until} is more than {LONGEST_DAYS} days away: {latest} at most"
        )
    return Acceptance(
        finding=str(given["finding"]),
        reason=str(given["reason"]),
        until=until,
        who=str(given["who"]),
    )


def standing(
    findings: Iterable[Finding], accepted: Sequence[Acceptance], today: datetime.date
) -> list[Finding]:
    """Errors that refuse an `up`: those that no acceptance of today covers."""
    valid = [each for each in accepted if each.until >= today]
    return [
        finding
        for finding in findings
        if finding.level is Level.ERROR
        and not any(each.covers(finding) for each in valid)
    ]
