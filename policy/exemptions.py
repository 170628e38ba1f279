"""Switching a rule off for one resource: for a reason, and until a date.

The file `stacks/catalogue/exemptions/<environment>.yaml` is optional:

    exemptions:
      - rule: run-timeout-for-streams
        place: us-east1-service
        reason: clients of the pilot cannot resume yet, ticket 4711
        until: 2027-01-31

`place` is a logical name, or a pattern such as `*-service` for the logical name or the
whole URN. From the day after `until` on the file is an error until it is mended.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from policy.rule import Rule, Violation

FOLDER = "exemptions"
"""Folder beside the catalogues; they themselves are all `*.yaml` of theirs."""
KEYS = ("rule", "place", "reason", "until")
SHORTEST_REASON = 10
"""Characters; shorter ones explain nothing."""
LONGEST_DAYS = 366
"""How far away the end of an exemption may be."""


class ExemptionError(ValueError):
    """Exemptions that cannot be used; carries every problem, one a line."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


@dataclass(frozen=True, kw_only=True)
class Exemption:
    """One rule, switched off for some resources."""

    rule: str
    """Id of the rule."""
    place: str
    """Logical name, or a pattern for it or for the URN."""
    reason: str
    """Why."""
    until: datetime.date
    """Last day."""

    def covers(self, violation: Violation) -> bool:
        """Whether a violation is excused by this."""
        if violation.rule != self.rule:
            return False
        return fnmatchcase(violation.name, self.place) or fnmatchcase(
            violation.urn, self.place
        )


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Violations, with those that are excused set apart."""

    standing: tuple[Violation, ...]
    """Not excused."""
    excused: tuple[tuple[Violation, Exemption], ...]
    """Excused, with what excuses them."""
    unused: tuple[Exemption, ...]
    """Exemptions that excuse nothing any more."""


def apply(
    violations: Iterable[Violation],
    exemptions: Sequence[Exemption],
    today: datetime.date,
) -> Judgement:
    """Set excused violations apart. An exemption that has ended is an error."""
    ended = [_ended(e, today) for e in exemptions if e.until < today]
    if ended:
        raise ExemptionError(ended)
    standing: list[Violation] = []
    excused: list[tuple[Violation, Exemption]] = []
    for violation in violations:
        found = next((e for e in exemptions if e.covers(violation)), None)
        if found is None:
            standing.append(violation)
        else:
            excused.append((violation, found))
    used = {id(exemption) for _, exemption in excused}
    return Judgement(
        standing=tuple(standing),
        excused=tuple(excused),
        unused=tuple(e for e in exemptions if id(e) not in used),
    )


def _ended(exemption: Exemption, today: datetime.date) -> str:
    return (
        f"the exemption of {exemption.place} from {exemption.rule} ended on "
        f"{exemption.until}, today is {today}: mend the resource and remove the "
        "exemption, or give a new date with a new reason"
    )


def file_of(catalogues: Path, environment: str) -> Path:
    """Where the exemptions of an environment lie."""
    return catalogues / FOLDER / f"{environment}.yaml"


def load(
    file: Path, rules: Mapping[str, Rule], today: datetime.date
) -> tuple[Exemption, ...]:
    """Read and validate a file; without one there are no exemptions."""
    if not file.exists():
        return ()
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        raise ExemptionError([f"{file.name}: not YAML: {text}"]) from error
    entries = document.get("exemptions") if isinstance(document, dict) else None
    if not isinstance(entries, list) or set(document) != {"exemptions"}:
        raise ExemptionError(
            [f"{file.name}: one key `exemptions` with a list is expected"]
        )
    made: list[Exemption] = []
    problems: list[str] = []
    for number, entry in enumerate(entries):
        wrong = _problems(entry, rules, today)
        problems += [f"{file.name}: exemptions[{number}]: {text}" for text in wrong]
        if not wrong:
            made.append(Exemption(**entry))
    if problems:
        raise ExemptionError(problems)
    return tuple(made)


def _problems(entry: Any, rules: Mapping[str, Rule], today: datetime.date) -> list[str]:
    """What is wrong with one entry of the file."""
    if not isinstance(entry, dict):
        return [f"a block with {', '.join(KEYS)} is expected"]
    wrong = [f"{key} is missing: {_HELP[key]}" for key in KEYS if not entry.get(key)]
    unknown = sorted(set(map(str, entry)) - set(KEYS))
    wrong += [f"{key} is not known: use {', '.join(KEYS)}" for key in unknown]
    wrong += [
        f"{key} is {entry[key]!r}: a text is expected"
        for key in ("rule", "place", "reason")
        if entry.get(key) and not isinstance(entry[key], str)
    ]
    return wrong or [*_content(entry, rules, today)]


_HELP = {
    "rule": "the id of a rule, `meridian policy --json` lists them",
    "place": "the logical name of the resource, or a pattern",
    "reason": "say why, and who mends it",
    "until": "the last day, such as 2027-01-31",
}


def _content(
    entry: Mapping[str, Any], rules: Mapping[str, Rule], today: datetime.date
) -> Iterable[str]:
    until, reason = entry["until"], entry["reason"].strip()
    if entry["rule"] not in rules:
        yield f"rule {entry['rule']!r} does not exist: {_HELP['rule']}"
    if len(reason) < SHORTEST_REASON:
        yield f"reason is {reason!r}: {SHORTEST_REASON} characters or more, say why"
    if type(until) is not datetime.date:
        yield f"until is {until!r}: {_HELP['until']}"
    elif (until - today).days > LONGEST_DAYS:
        latest = today + datetime.timedelta(LONGEST_DAYS)
        yield f"until is {until}: {latest} is the latest, an exemption is no rule"
