"""One changed resource: which values, how bad it can be, and how it is undone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from ops.stateful import STATEFUL
from policy.field import Opaque
from policy.record import plain
from topology import facts

Json = dict[str, Any]
MASKED = "[secret]"
UNKNOWN = "[not known yet]"
COMPUTED = "[computed]"
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
    protected: bool = False
    """Whether the engine refuses to delete or replace it as it stands."""

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
        if self.protected and self.op in ("delete", "replace"):
            return "not needed yet: it is protected, so an `up` refuses this change"
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


def changes(plan: Json, before: Iterable[Json] = ()) -> list[Change]:
    """Every changed resource of the engine's plan, once, the worst first.

    `before` are the resources of the state: what was protected there.
    """
    protected = {r["urn"] for r in before if r.get("protect")}
    by_urn: dict[str, list[Json]] = {}
    for step in plan.get("steps", ()):
        if step["op"] not in ("same", "read") or _unprotects(step, protected):
            by_urn.setdefault(step["urn"], []).append(step)
    found = [_change(steps, urn in protected) for urn, steps in by_urn.items()]
    ours = [c for c in found if not c.token.startswith("pulumi:")]
    return sorted(ours, key=lambda c: (c.risk, c.path))


def _unprotects(step: Json, protected: set[str]) -> bool:
    """The engine calls a lost protection no change; a reviewer does not."""
    return step["urn"] in protected and not (step.get("newState") or {}).get("protect")


def region_of(name: str) -> str | None:
    """Region that a logical name begins with."""
    known = [r for r in facts.places() if name == r or name.startswith(f"{r}-")]
    return max(known, key=len, default=None)


def _change(steps: list[Json], protected: bool) -> Change:
    ops = {step["op"] for step in steps}
    step = next((s for s in steps if s.get("detailedDiff")), steps[0])
    op = "replace" if any("replace" in o for o in ops) else next(iter(ops))
    path = step["urn"].split("::", 2)[2]
    chain, _, name = path.partition("::")
    because = {r for s in steps for r in s.get("replaceReasons") or ()}
    values = list(_values(step))
    if op not in ("create", "delete") and _unprotects(step, {step["urn"]}) & protected:
        values.append(Value(path="protect", before=True, after=False))
    return Change(
        op="update" if op in ("same", "read") else op,
        token=chain.rsplit("$", 1)[-1],
        name=name,
        path=path,
        region=region_of(name),
        values=tuple(values) if op not in ("create", "delete") else (),
        because=tuple(sorted(because)),
        protected=protected,
    )


def _values(step: Json) -> Iterator[Value]:
    before, after = (
        plain((step.get(key) or {}).get("inputs") or {})
        for key in ("oldState", "newState")
    )
    paths = sorted(step.get("detailedDiff") or ())
    lists = {root for path in paths if (root := _resized(path, before, after))}
    for root in sorted(lists):
        yield from _members(root, at(before, root), at(after, root))
    for path in paths:
        if any(path.startswith(f"{root}[") for root in lists):
            continue
        old, new = (shown(path, at(side, path), side) for side in (before, after))
        # Of what is computed anew, a rehearsal knows neither value.
        yield from _inside(named(path, after), COMPUTED if new == UNKNOWN else old, new)


def _resized(path: str, before: Any, after: Any) -> str | None:
    """The list that a path goes through, when it has got longer or shorter."""
    for match in re.finditer(r"\[\d+\]", path):
        root = path[: match.start()]
        old, new = at(before, root), at(after, root)
        if isinstance(old, list) and isinstance(new, list) and len(old) != len(new):
            return root
    return None


def _members(root: str, before: list[Any], after: list[Any]) -> Iterator[Value]:
    """What left a list and what came, wherever it stood: positions only shift."""
    old, new = (
        [shown(f"{root}[]", item, side) for item in side] for side in (before, after)
    )
    for item in _besides(old, new):
        yield Value(path=root, before=item, after=None)
    for item in _besides(new, old):
        yield Value(path=root, before=None, after=item)


def _besides(items: list[Any], others: list[Any]) -> list[Any]:
    """Items that the others do not have, each as often as it is missing there."""
    left = list(others)
    found = []
    for item in items:
        if item in left:
            left.remove(item)
        else:
            found.append(item)
    return found


def _inside(path: str, before: Any, after: Any) -> Iterator[Value]:
    """A text that holds JSON is compared inside."""
    old, new = _document(before), _document(after)
    if old is None or new is None:
        yield Value(path=path, before=before, after=after)
        return
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            where = f"{path}:{key}"
            yield Value(
                path=where,
                before=shown(where, old.get(key)),
                after=shown(where, new.get(key)),
            )


def _document(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, str) or not value.startswith("{"):
        return None
    try:
        found = json.loads(value)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def named(path: str, inputs: Any) -> str:
    """The path with list items called by their name, where they have one."""

    def name(match: re.Match[str]) -> str:
        item = at(inputs, path[: match.end()])
        known = item.get("name") if isinstance(item, dict) else None
        return f"[{known}]" if isinstance(known, str) else match[0]

    return re.sub(r"\[\d+\]", name, path)


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
        return bool(value.before == "PREVENT")
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
