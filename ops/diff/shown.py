"""The digest for people and for code hosts: terminal, Markdown, SARIF."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
LIMIT = 60_000
"""Characters of a comment that GitHub takes are 65,536; some are left for a frame."""
VALUE_LENGTH = 120
SIGNS = {"create": "+", "update": "~", "replace": "±", "delete": "-"}
RISKS = {
    "data": "data is deleted or replaced",
    "protection": "protection is lowered",
    "exposure": "reach or rights are widened",
    "replace": "made again",
    "delete": "deleted",
    "update": "changed in place",
    "create": "new",
}
COLOURS = {
    "data": "bold red",
    "protection": "red",
    "exposure": "red",
    "replace": "yellow",
    "delete": "yellow",
    "update": "cyan",
    "create": "green",
}
LEVELS = {"data": "error", "protection": "error", "exposure": "error"}
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
BUNDLE = 3
"""So many resources of one component that come or go together are one line."""
MANY = 8
"""Regions up to this number are named in a line; more are counted."""


def verdict(found: Json) -> str:
    """The first line: how much, how bad, what it costs and needs, what policy says."""
    if not found["resources"]:
        return f"no change: {found['base']} and {found['head']} declare the same"
    parts = [
        f"{found['resources']} resources in {len(found['regions'])} regions",
        f"worst: {RISKS[found['worst']]}",
        _cost(found["cost"]),
        _quota(found["quota"]),
        _policy(found["policy"]),
    ]
    return "; ".join(parts)


def lines(found: Json) -> Iterator[str]:
    """What a terminal shows; rich markup in it."""
    yield f"offline, local provider: {found['base']} -> {found['head']}"
    yield f"[bold]{_safe(verdict(found))}[/]"
    if not found["resources"]:
        return
    for risk, changes in _by_risk(found):
        yield f"\n[{COLOURS[risk]}]{RISKS[risk]}[/]"
        for change in changes:
            yield f"  {SIGNS[change['op']]} {_safe(_head(change))}"
            yield from (f"      {_safe(text)}" for text in _details(change))
    yield from _extra(found)
    yield f"\nplan {found['hash']}: `meridian apply --expect {found['hash']}`"


def markdown(found: Json) -> str:
    """A comment for a code host, folded, below the size that it takes."""
    top = [f"### {verdict(found)}", ""]
    if not found["resources"]:
        return "\n".join(top)
    top += [
        f"`{found['base']}` → `{found['head']}`, {found['environment']}, offline",
        "",
    ]
    top += _table(found)
    end = [*_extra(found), "", f"Plan `{found['hash']}`.", ""]
    blocks = [
        block for risk, changes in _by_risk(found) for block in _section(risk, changes)
    ]
    room = LIMIT - sum(len(text) + 1 for text in (*top, *end)) - 200
    kept = []
    for number, block in enumerate(blocks):
        room -= len(block) + 1
        if room < 0:
            left = len(blocks) - number
            kept.append(f"… {left} more blocks: `meridian diff --json` has them all")
            break
        kept.append(block)
    return "\n".join([*top, *kept, *end])


def sarif(found: Json) -> Json:
    """Changes and broken rules as results of one run."""
    place = f"stacks/catalogue/{found['environment']}.yaml"
    results = [
        _result(f"risk-{c['risk']}", _text(c), place, c) for c in found["changes"]
    ]
    results += [
        {
            **_result(v["rule"], v["message"], place, None),
            "level": "error" if v["level"] == "mandatory" else "warning",
        }
        for v in found["policy"]["new"]
    ]
    ids = sorted({result["ruleId"] for result in results})
    driver = {
        "name": "meridian",
        "rules": [{"id": name, "name": name} for name in ids],
    }
    run = {"tool": {"driver": driver}, "results": results}
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(rule: str, text: str, place: str, change: Json | None) -> Json:
    location = {"physicalLocation": {"artifactLocation": {"uri": place}}}
    risk = change["risk"] if change else ""
    return {
        "ruleId": rule,
        "level": LEVELS.get(risk, "note"),
        "message": {"text": text},
        "locations": [location],
    }


def _text(change: Json) -> str:
    return "\n".join([f"{change['op']} {_head(change)}", *_details(change)])


def _section(risk: str, changes: list[Json]) -> Iterator[str]:
    yield f"\n**{RISKS[risk]}**\n"
    for change in changes:
        details = "\n".join(_details(change))
        head = f"<summary><code>{SIGNS[change['op']]}</code> {_escape(_head(change))}"
        yield f"<details>{head}</summary>\n\n```text\n{details}\n```\n</details>"


def _by_risk(found: Json) -> Iterator[tuple[str, list[Json]]]:
    for risk in RISKS:
        changes = [c for c in found["changes"] if c["risk"] == risk]
        if changes:
            yield risk, list(_bundled(changes))


def _bundled(changes: list[Json]) -> Iterator[Json]:
    """What comes or goes with its component is one line: which types, how many."""
    groups: dict[tuple[Any, ...], list[Json]] = {}
    for change in changes:
        groups.setdefault(_bundle(change), []).append(change)
    for group in groups.values():
        if len(group) < BUNDLE:
            yield from group
            continue
        first = group[0]
        count = Counter(c["type"].rsplit(":", 1)[-1] for c in group)
        listed = (f"{n} {kind}" if n > 1 else kind for kind, n in sorted(count.items()))
        top = first["resources"][0].partition("::")[0].partition("$")[0]
        yield first | {
            "type": top,
            "name": f"({len(group)} resources: {', '.join(listed)})",
        }


def _bundle(change: Json) -> tuple[Any, ...]:
    """What changes must share to be one line; what is worse stays alone."""
    if change["risk"] not in ("create", "delete"):
        return (change["name"], change["type"], *change["resources"])
    top = change["resources"][0].partition("::")[0].partition("$")[0]
    return (change["op"], top, tuple(change["regions"]), change["undo"])


def _head(change: Json) -> str:
    kind = change["type"].rsplit(":", 1)[-1]
    regions = change["regions"]
    if len(change["resources"]) == 1 and not change["name"].startswith("("):
        return f"{kind} {change['name']}"
    where = ", ".join(regions) if len(regions) <= MANY else f"{len(regions)} regions"
    return f"{kind} {change['name']} in {where}"


def _details(change: Json) -> Iterator[str]:
    for value in change["values"]:
        yield f"{value['path']}: {_show(value['before'])} -> {_show(value['after'])}"
    for other in change["differs"]:
        usual = {v["path"]: v for v in change["values"]}
        texts = [
            f"{v['path']}: {_show(v['before'])} -> {_show(v['after'])}"
            for v in other["values"]
            if v != usual.get(v["path"])
        ]
        verb = "differ" if len(other["where"]) > 1 else "differs"
        yield f"{', '.join(other['where'])} {verb}: {'; '.join(texts)}"
    if change["because"]:
        yield f"replaced because of {', '.join(change['because'])}"
    if change["op"] != "create":
        yield f"undo: {change['undo']}"


def _show(value: Any) -> str:
    if value is None:
        return "(none)"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= VALUE_LENGTH else f"{text[:VALUE_LENGTH]}…"


def _cost(cost: Json) -> str:
    before, after = cost["before"], cost["after"]
    if not before or not after:
        return "cost unknown"
    least = "" if after["complete"] and before["complete"] else " at least"
    currency = after["currency"]
    return f"a month{least} {before['total']:,.0f} -> {after['total']:,.0f} {currency}"


def _quota(quota: Json) -> str:
    texts = []
    for name, unit in (("vcpu_max", "vCPU"), ("memory_gib_max", "GiB")):
        before, after = quota[name]["before"], quota[name]["after"]
        if before is None or after is None:
            texts.append(f"{unit} unknown")
        elif before == after:
            texts.append(f"{after:,} {unit}")
        else:
            texts.append(f"{before:,} -> {after:,} {unit}")
    return f"quota needed {', '.join(texts)}"


def _policy(policy: Json) -> str:
    if policy["refused"]:
        return f"policy refuses it (newly broken: {_rules(policy)})"
    return f"policy warns ({_rules(policy)})" if policy["new"] else "policy passes"


def _rules(policy: Json) -> str:
    return ", ".join(broken["rule"] for broken in policy["new"]) or "none"


def _extra(found: Json) -> Iterator[str]:
    """Findings and rules that come and go."""
    for finding in found["findings"]["new"]:
        yield f"\nnew finding: {_safe(finding)}"
    for finding in found["findings"]["gone"]:
        yield f"\nno longer found: {_safe(finding)}"
    standing = found["findings"]["stands"]
    if standing:
        yield f"\n{len(standing)} kinds of findings stand as before: `meridian plan`"
    for broken in found["policy"]["new"]:
        more = len(broken["places"]) - 1
        like = f" ({more} more like it)" if more else ""
        text = _safe(f"{broken['message']}{like}")
        yield f"\n{broken['level']} rule {broken['rule']}: {text}"


def _table(found: Json) -> list[str]:
    """Where the change is, as a table."""
    ops = [op for op in SIGNS if any(op in row for row in found["table"].values())]
    rows = [f"| where | {' | '.join(ops)} |", f"| --- |{' ---: |' * len(ops)}"]
    for name, row in found["table"].items():
        cells = " | ".join(str(row.get(op, "")) for op in ops)
        rows.append(f"| {name} | {cells} |")
    return rows


def _safe(text: str) -> str:
    """Text whose brackets are no markup."""
    return text.replace("[", "\\[")


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
