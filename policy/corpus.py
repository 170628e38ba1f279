"""One accepted and one refused example of every rule, and the faults of a published
platform with the rules that find them.

An example is a part of `examples/good.yaml` and one change to it:

    run-timeout-range: {of: [service], change: inputs.template.timeout, to: 7200s}

The accepted example is the part as it stands (after `with`, `from`, `copies` and
`many`, where it needs what the part does not have); the refused one has the change.
The first name in `of` is the resource that is changed, unless `change` begins with
another name and a colon. Without `to` the field is removed; `times` repeats a text.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from policy.check import check
from policy.record import Record, plain
from policy.rule import Rule, Violation
from policy.rules import by_id, every

FOLDER = Path(__file__).resolve().parent
Stack = dict[str, dict[str, Any]]
"""Resources as plain data, by logical name."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A stack that a rule accepts, and the same with one field changed."""

    rule: Rule
    """The rule."""
    accepted: Stack
    """Resources that it accepts."""
    refused: Stack
    """The same with one field changed, added or removed."""
    place: str
    """The change: `resource:path`."""

    def run(self) -> tuple[list[Violation], list[Violation]]:
        """What the rule says of the accepted and of the refused one."""
        found = [check(records(s), [self.rule]) for s in (self.accepted, self.refused)]
        return found[0], found[1]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One fault of the published platform."""

    id: str
    """T1 to T35."""
    fault: str
    """What was wrong."""
    rules: tuple[str, ...]
    """Rules that find it; empty where none can."""
    reason: str
    """Why none can; empty where one does."""


def records(stack: Stack) -> list[Record]:
    """A stack as records."""
    urns = {name: _urn(name, entry) for name, entry in stack.items()}
    return [
        Record(
            urn=urns[name],
            token=entry["token"],
            name=name,
            inputs=plain(entry.get("inputs", {})),
            provider=entry.get("provider", ""),
            # A name that is not in this part of the platform is left out.
            depends_on=tuple(
                urns[other] for other in entry.get("depends_on", ()) if other in urns
            ),
            protect=entry.get("protect", False),
            ignore_changes=tuple(entry.get("ignore_changes", ())),
        )
        for name, entry in stack.items()
    ]


def _urn(name: str, entry: Mapping[str, Any]) -> str:
    return f"urn:pulumi:example::meridian::{entry['token']}::{name}"


@cache
def good() -> Stack:
    """The platform that no rule objects to."""
    made: Stack = _load(FOLDER / "examples" / "good.yaml")
    return made


@cache
def examples() -> dict[str, Example]:
    """The example of every rule, by its id."""
    made: dict[str, Example] = {}
    for file in sorted((FOLDER / "examples").glob("*.yaml")):
        if file.stem != "good":
            for name, entry in _load(file).items():
                made[name] = _example(by_id()[name], entry)
    return made


def _example(rule: Rule, entry: Mapping[str, Any]) -> Example:
    accepted = {name: copy.deepcopy(good()[name]) for name in entry["of"]}
    first, last = entry["of"][0], entry["of"][-1]
    for number in range(1, entry.get("copies", 0) + 1):
        accepted[f"{last}-{number}"] = _clone(accepted[last], number)
    for path, count in entry.get("many", {}).items():
        _multiply(accepted[first], path, count)
    resource, path = _place(entry["change"], first)
    settings = dict(entry.get("with", {}))
    if "from" in entry:
        settings[f"{resource}:{path}"] = entry["from"]
    for place, value in settings.items():
        other, where = _place(place, first)
        put(accepted[other], where, copy.deepcopy(value))
    refused = copy.deepcopy(accepted)
    if "to" in entry:
        times = entry.get("times")
        put(refused[resource], path, entry["to"] * times if times else entry["to"])
    else:
        remove(refused[resource], path)
    place = f"{resource}:{path}"
    return Example(rule=rule, accepted=accepted, refused=refused, place=place)


def _clone(entry: dict[str, Any], number: int) -> dict[str, Any]:
    """The same resource under another name."""
    made = copy.deepcopy(entry)
    made["inputs"]["name"] = f"{made['inputs'].get('name', 'clone')}-{number}"
    return made


def _multiply(entry: dict[str, Any], path: str, count: int) -> None:
    """Fill a list or map up to a number of entries."""
    *steps, last = path.split(".")
    for step in steps:
        entry = entry[step]
    old = entry[last]
    if isinstance(old, list):
        entry[last] = [copy.deepcopy(old[0]) for _ in range(count)]
    else:
        entry[last] = {f"key_{number}": "x" for number in range(count)}


def _place(text: str, first: str) -> tuple[str, str]:
    resource, colon, path = text.partition(":")
    return (resource, path) if colon else (first, text)


def put(entry: Any, path: str, value: Any) -> None:
    """Set the value at a dotted path; list items by their index."""
    *steps, last = path.split(".")
    for step in steps:
        entry = entry[int(step)] if isinstance(entry, list) else _into(entry, step)
    if not isinstance(entry, list):
        entry[last] = value
    elif int(last) < len(entry):
        entry[int(last)] = value
    else:
        entry.append(value)


def _into(entry: dict[str, Any], step: str) -> Any:
    return entry.setdefault(step, {})


def remove(entry: Any, path: str) -> None:
    """Remove the value at a dotted path."""
    *steps, last = path.split(".")
    for step in steps:
        entry = entry[int(step)] if isinstance(entry, list) else entry[step]
    del entry[int(last) if isinstance(entry, list) else last]


@cache
def rows() -> tuple[Row, ...]:
    """The faults T1 to T35 in their order."""
    return tuple(
        Row(
            id=name,
            fault=entry["fault"],
            rules=tuple(entry.get("rules", ())),
            reason=entry.get("not declarable", ""),
        )
        for name, entry in _load(FOLDER / "corpus.yaml").items()
    )


def without_example() -> list[str]:
    """Rules that nobody wrote an example for."""
    return [rule.id for rule in every() if rule.id not in examples()]


def _load(file: Path) -> Any:
    # The C loader is ten times as fast, and not in every build.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(file.read_text(encoding="utf-8"), Loader=loader)
