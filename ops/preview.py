"""What an `up` would change, without the engine's state in the answer."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from ops import engine
from ops.engine import PLUGIN

Json = dict[str, Any]
OFFLINE = "offline, local provider"


def preview(environment: str, *, live: bool) -> Json:
    """`{"provider", "steps": [{"op", "urn", "type"}], "summary": {op: n}}`."""
    target = engine.stack(environment)
    engine.prepare(target)
    extra = {} if live else {"MERIDIAN_QUIET_PROVIDER": "1"}
    text = engine.run(
        target, ["preview", "--json", "--show-sames"], offline=not live, extra=extra
    )
    plan = json.loads(text)
    steps = [_step(step) for step in plan.get("steps", ())]
    summary = Counter(step["op"] for step in steps)
    return {
        "environment": environment,
        "provider": "google" if live else "local",
        "steps": steps,
        "summary": dict(sorted(summary.items())),
        "diagnostics": _diagnostics(plan),
    }


def _step(step: Json) -> Json:
    kind = step["urn"].split("::")[2].rsplit("$", 1)[-1]
    made: Json = {"op": step["op"], "urn": step["urn"], "type": kind}
    if step.get("detailedDiff"):
        made["changes"] = {
            path: change["kind"] for path, change in step["detailedDiff"].items()
        }
    if step.get("replaceReasons"):
        made["replaced_because"] = step["replaceReasons"]
    return made


def _diagnostics(plan: Json) -> list[Json]:
    return [
        {"level": d["severity"], "message": _text(d)}
        for d in plan.get("diagnostics") or ()
        if d.get("severity") in ("error", "warning") and PLUGIN not in d["message"]
    ]


def _text(diagnostic: Json) -> str:
    text: str = diagnostic["message"].strip()
    return text.removeprefix(f"{diagnostic['severity']}: ")


def changed(answer: Json) -> list[Json]:
    """Steps that are not `same`."""
    return [step for step in answer["steps"] if step["op"] not in ("same", "read")]


def lines(answer: Json) -> list[str]:
    """What a person reads."""
    first = OFFLINE if answer["provider"] == "local" else "Google's provider"
    shown = [first, ""]
    steps = changed(answer)
    for step in steps:
        name = step["urn"].rsplit("::", 1)[-1]
        shown.append(f"  {SIGNS.get(step['op'], step['op']):>2} {step['type']}  {name}")
        shown += [f"        {p}: {k}" for p, k in step.get("changes", {}).items()]
    for diagnostic in answer["diagnostics"]:
        shown.append(f"  {diagnostic['level']}: {diagnostic['message']}")
    counts = ", ".join(f"{n} {op}" for op, n in answer["summary"].items())
    shown += ["" if steps else "  no change", f"  {counts}"]
    return shown


SIGNS = {
    "create": "+",
    "update": "~",
    "delete": "-",
    "replace": "+-",
    "create-replacement": "++",
    "delete-replaced": "--",
}
