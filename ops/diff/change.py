"""One changed resource: which values, how bad it can be, and how it is undone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from policy.field import Opaque
from policy.record import plain
from topology import facts

Json = dict[str, Any]
STATEFUL = {
    "gcp:sql/databaseInstance:DatabaseInstance": "the last backup",
    "gcp:sql/database:Database": "the last backup",
    "gcp:redis/instance:Instance": "the database: the feed is filled again",
    "gcp:storage/bucket:Bucket": "soft delete, while its days last",
    "gcp:secretmanager/secret:Secret": "whoever holds its values",
}
"""Types that hold what cannot be made again, and where it may be had from."""
MASKED = "[secret]"
UNKNOWN = "[not known yet]"
SECRET_NAME = re.compile(
    r"passw|secret(?!\w*(?:Id|Version|manager))|token|credential|private.?key|api.?key"
    r"|auth.?string",
    re.I,
)
"""Names whose values are never shown, marked as secret or not."""
LOWERED = re.compile(
    r"deletionProtection|deletionPolicy|protect$|retain|softDelete|pointInTime|backup",
    re.I,
)
"""Fields that keep data from being lost."""
OPENED = re.compile(
    r"ingress|ipv4Enabled|authorizedNetworks|publicAccess|invokerIam|defaultUri"
    r"|securityPolicy|minTlsVersion|sslPolicy|authEnabled|transitEncryption|sourceRanges"
    r"|members?$|role$|permissions",
    re.I,
)
"""Fields that decide who can reach what."""
CLOSED_WORDS = ("INTERNAL", "PRIVATE", "DISABLED", "ENFORCED", "REQUIRE")


class Risk(IntEnum):
    """What a reviewer reads first, the worst first."""

    DATA = 1
    """Data is deleted or replaced."""
    PROTECTION = 2
    """Something that keeps data from being lost is lowered."""
    EXPOSURE = 3
    """Somebody may reach, or do, more than before."""
    REPLACE = 4
    """Made again: gone for a moment, and its computed values change."""
    DELETE = 5
    """Gone."""
    UPDATE = 6
    """Changed in place."""
    CREATE = 7
    """New."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """One property before and after."""

    path: str
    """Path in the inputs."""
    before: Any
    """None when it was not there; masked where it is a secret."""
    after: Any
    """None when it is gone."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One resource that an `up` would touch."""

    op: str
    """create, update, replace or delete."""
    token: str
    """Type."""
    name: str
    """Logical name."""
    path: str
    """Its URN without stack and project."""
    region: str | None
    """Region that it belongs to."""
    values: tuple[Value, ...]
    """Properties that differ; none for what is created or deleted."""
    because: tuple[str, ...]
    """Properties that force a replace."""

    @property
    def risk(self) -> Risk:
        """The worst that it is."""
        if self.op in ("replace", "delete") and self.token in STATEFUL:
            return Risk.DATA
        if any(_lowers(value) for value in self.values):
            return Risk.PROTECTION
        if _grants(self) or any(_opens(value) for value in self.values):
            return Risk.EXPOSURE
        return Risk[self.op.upper()]

    @property
    def undo(self) -> str:
        """How to get back."""
        if self.risk is Risk.DATA:
            return f"none by Pulumi: its data comes back only from {self._source}"
        if self.op == "create":
            return "apply the base again: it is deleted"
        if self.op == "update":
            return "apply the base again: the values before"
        return "apply the base again: it is made anew"

    @property
    def _source(self) -> str:
        return STATEFUL[self.token]


def changes(plan: Json) -> list[Change]:
    """Every changed resource of the engine's plan, once, the worst first."""
    by_urn: dict[str, list[Json]] = {}
    for step in plan.get("steps", ()):
        if step["op"] not in ("same", "read"):
            by_urn.setdefault(step["urn"], []).append(step)
    found = [_change(steps) for steps in by_urn.values()]
    ours = [c for c in found if not c.token.startswith("pulumi:")]
    return sorted(ours, key=lambda c: (c.risk, c.path))


def region_of(name: str) -> str | None:
    """Region that a logical name begins with."""
    known = [r for r in facts.places() if name == r or name.startswith(f"{r}-")]
    return max(known, key=len, default=None)


def _change(steps: list[Json]) -> Change:
    ops = {step["op"] for step in steps}
    step = next((s for s in steps if s.get("detailedDiff")), steps[0])
    op = "replace" if any("replace" in o for o in ops) else next(iter(ops))
    path = step["urn"].split("::", 2)[2]
    chain, _, name = path.partition("::")
    old, new = (step.get(k) or {} for k in ("oldState", "newState"))
    because = {r for s in steps for r in s.get("replaceReasons") or ()}
    return Change(
        op=op,
        token=chain.rsplit("$", 1)[-1],
        name=name,
        path=path,
        region=region_of(name),
        values=tuple(_values(step, old, new)) if op in ("update", "replace") else (),
        because=tuple(sorted(because)),
    )


def _values(step: Json, old: Json, new: Json) -> Iterator[Value]:
    before, after = plain(old.get("inputs") or {}), plain(new.get("inputs") or {})
    for path in sorted(step.get("detailedDiff") or ()):
        yield Value(
            path=path,
            before=shown(path, at(before, path), before),
            after=shown(path, at(after, path), after),
        )
    for option in ("protect", "retainOnDelete"):
        if bool(old.get(option)) != bool(new.get(option)):
            yield Value(
                path=option, before=bool(old.get(option)), after=bool(new.get(option))
            )


def at(inputs: Any, path: str) -> Any:
    """The value below a path such as `template.containers[0].image`; None without."""
    for key in re.findall(r'\["([^"]+)"\]|\[(\d+)\]|([^.\[\]]+)', path):
        name, index, word = key
        try:
            inputs = inputs[int(index)] if index else inputs[name or word]
        except (KeyError, IndexError, TypeError):
            return inputs if isinstance(inputs, Opaque) else None
    return inputs


def shown(path: str, value: Any, inputs: Any = None) -> Any:
    """A value as people may see it: secrets masked, unknowns named."""
    if value is Opaque.SECRET or (value is not None and SECRET_NAME.search(path)):
        return MASKED
    if value is Opaque.UNKNOWN:
        return UNKNOWN
    if inputs is not None and _named_secret(path, inputs):
        return MASKED
    if isinstance(value, Mapping):
        masked = "value" in value and SECRET_NAME.search(str(value.get("name", "")))
        return {
            k: MASKED if masked and k == "value" else shown(str(k), v)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [shown("", item) for item in value]
    return value


def _named_secret(path: str, inputs: Any) -> bool:
    """Whether the value stands beside a name that says it is secret, as in an `env`."""
    if not path.endswith(".value"):
        return False
    name = at(inputs, f"{path.removesuffix('value')}name")
    return isinstance(name, str) and bool(SECRET_NAME.search(name))


def _lowers(value: Value) -> bool:
    if not LOWERED.search(value.path):
        return False
    if value.path.endswith("deletionPolicy"):
        return value.before == "PREVENT"
    if isinstance(value.before, bool) or value.before is None:
        return bool(value.before) and not value.after
    if isinstance(value.before, int | float) and isinstance(value.after, int | float):
        return bool(value.after < value.before)
    return not value.after


def _opens(value: Value) -> bool:
    """Whether a field of reach changed to something that is not plainly closed."""
    if not OPENED.search(value.path):
        return False
    closed = isinstance(value.after, str) and any(
        word in value.after for word in CLOSED_WORDS
    )
    return not closed or "encryption" in value.path.lower()


def _grants(change: Change) -> bool:
    """A new member of a policy, or the loss of a guard."""
    name = change.token.rsplit(":", 1)[-1]
    if name.lower().endswith(("iammember", "iambinding", "iampolicy")):
        return change.op in ("create", "replace")
    return name in ("SecurityPolicy", "SSLPolicy") and change.op == "delete"


def count(found: Iterable[Change]) -> dict[str, int]:
    """Number of changes by operation."""
    totals: dict[str, int] = {}
    for change in found:
        totals[change.op] = totals.get(change.op, 0) + 1
    return dict(sorted(totals.items()))
