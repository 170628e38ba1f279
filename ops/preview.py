"""What an `up` would change, without the engine's state in the answer."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import topology
from ops import backend, engine, fleet, inline, policy, records, stack, world
from ops.engine import OFFLINE, PLUGIN, PREVIEW, QUIET
from ops.errors import BAD_INPUT, CommandError
from ops.paths import ROOT, WORK
from policy.record import Record, from_preview
from topology import slices

Json = dict[str, Any]
PLANNED = "MERIDIAN_PLANNED"
"""Folder of planned outputs; read by `stacks.upstream`."""
WORKERS = os.cpu_count() or 1


def preview(
    environment: str, *, live: bool, chosen: Sequence[slices.Slice] = ()
) -> Json:
    """`{"provider", "steps": [{"op", "urn", "type"}], "summary": {op: n}}`.

    Without a choice, the stacks that own the environment are previewed.
    """
    catalogue = topology.load(environment)
    pieces = tuple(chosen) or slices.owners(catalogue)
    made = (
        _whole(environment, live=live)
        if slices.WORLD in pieces
        else _sliced(catalogue, pieces, live=live)
    )
    summary = Counter(step["op"] for step in made["steps"])
    broken = _policy(environment, made.pop("records"))
    return {
        "environment": environment,
        "provider": "google" if live else "local",
        **made,
        "summary": dict(sorted(summary.items())),
        "hash": plan_hash(made["steps"]),
        "policy": broken,
    }


def _policy(environment: str, records: list[Record]) -> Json:
    """Rules that the planned resources break, exemptions applied."""
    judged = policy.judge(environment, records)
    found = policy.answer(environment, records, judged)
    return {
        "violations": found["violations"],
        "refused": policy.code(judged) != 0,
    }


def plan_hash(steps: Iterable[Json], tree: Path = ROOT) -> str:
    """Names a plan: the source that is applied, and each change that it makes.

    Values are left out: they follow from the source and from what the state holds.
    Stacks are, too: a revision is approved on a rehearsal and applied in slices.
    """
    made = sorted(
        (s["op"], s["urn"].split("::", 2)[2], sorted(s.get("changes", ())))
        for s in steps
        if s["op"] not in ("same", "read") and not s["type"].startswith("pulumi:")
    )
    content = json.dumps([records.source_hash(tree), made])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def steps_of(text: str) -> list[Json]:
    """Steps in the engine's own answer."""
    return steps(json.loads(text))


def steps(plan: Json) -> list[Json]:
    """Steps of a plan, without inputs and state."""
    return [_step(step) for step in plan.get("steps", ())]


def _whole(environment: str, *, live: bool) -> Json:
    target = stack.stack(environment)
    backend.prepare(target)
    extra = {} if live else _offline(environment)
    text = engine.run(target, list(PREVIEW), offline=not live, extra=extra)
    plan = json.loads(text)
    return {
        "steps": steps(plan),
        "versions": list(_versions(plan)),
        "diagnostics": _diagnostics(plan),
        "records": from_preview(plan),
    }


def _offline(environment: str) -> dict[str, str]:
    """What the local provider is told; where it has a world, imports look into it."""
    if environment != "local" or not world.alive():
        return dict(QUIET)
    return {**QUIET, "MERIDIAN_CONTROL_PLANE": world.world().control}


def _sliced(
    catalogue: topology.Catalogue, pieces: Sequence[slices.Slice], *, live: bool
) -> Json:
    """Previews of several stacks in layer order, each on what those before it plan.

    What a chosen slice reads and was never applied is previewed with it.
    """
    if live:
        raise CommandError(
            "--live previews one stack by plain `pulumi`: "
            'eval "$(meridian env --region NAME)" and `pulumi preview` there',
            BAD_INPUT,
        )
    name = catalogue.environment
    gone = [] if len(pieces) == 1 else fleet.retired(catalogue)
    asked = _with_unborn(catalogue, pieces)
    targets = {piece: stack.stack(name, piece) for piece in asked}
    for target in targets.values():
        backend.prepare(target)
    planned = any(not stack.outputs(targets[p]) for p in asked) or len(asked) > 1
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        extra = _offline(name) | ({PLANNED: folder} if planned else {})
        found = _run_all(catalogue, targets, extra, Path(folder))
    shown = [answer for piece, answer in found.items() if piece in pieces]
    shown += [_destroyed(target) for target in gone]
    return {
        "slices": [piece.name for piece in pieces],
        "wiring": "planned" if planned else "live",
        "steps": [step for answer in shown for step in answer["steps"]],
        "versions": [found for answer in shown for found in answer["versions"]],
        "diagnostics": _each_once(d for a in shown for d in a["diagnostics"]),
        "records": [record for answer in shown for record in answer["records"]],
    }


def _run_all(
    catalogue: topology.Catalogue,
    targets: Mapping[slices.Slice, stack.Stack],
    extra: Mapping[str, str],
    folder: Path,
) -> dict[slices.Slice, Json]:
    """Preview the slices in order; their outputs go into the folder."""

    def tell(target: stack.Stack, event: Json) -> None:
        done = event.get("resOutputsEvent", {}).get("metadata", {})
        if "outputs" in done:
            file = folder / f"{target.piece.name}.json"
            file.write_text(json.dumps(done["outputs"]))

    def begin(piece: slices.Slice) -> inline.Task:
        return inline.Task(target=targets[piece], command=PREVIEW, extra=extra)

    def needs(piece: slices.Slice) -> Iterator[slices.Slice]:
        return slices.producers(catalogue, piece)

    inline.warm()
    plans: dict[slices.Slice, Json] = {}
    for result in inline.in_order(list(targets), needs, begin, WORKERS, tell):
        if result.error:
            raise CommandError(f"{result.target.piece.name}: {result.error}")
        plans[result.target.piece] = _answer(result.target, result.output)
    return {piece: plans[piece] for piece in targets}


def _destroyed(target: stack.Stack) -> Json:
    """A cell that the catalogue no longer has: all of it would be deleted."""
    backend.prepare(target)
    command = ["destroy", "--preview-only", "--json"]
    return _answer(target, engine.run(target, command, offline=True, extra=QUIET))


def _answer(target: stack.Stack, output: str) -> Json:
    where, plan = {"slice": target.piece.name}, json.loads(output)
    return {
        "steps": [where | step for step in steps(plan)],
        "versions": [where | found for found in _versions(plan)],
        "diagnostics": [where | d for d in _diagnostics(plan)],
        "records": from_preview(plan),
    }


def _versions(plan: Json) -> Iterator[Json]:
    """Providers of another release than the one that wrote the state."""
    for step in plan.get("steps", ()):
        kind = step["urn"].split("::")[2].rsplit("$", 1)[-1]
        if not kind.startswith("pulumi:providers:") or not step.get("oldState"):
            continue
        old, new = (
            ((step.get(side) or {}).get("inputs") or {}).get("version")
            for side in ("oldState", "newState")
        )
        if old != new and new:
            package = kind.rsplit(":", 1)[-1]
            yield {"package": package, "state": old, "program": new}


def _each_once(diagnostics: Iterable[Json]) -> list[Json]:
    """What several slices say alike is said once, with all their names."""
    found: dict[tuple[str, str], Json] = {}
    for said in diagnostics:
        first = found.setdefault(
            (said["level"], said["message"]),
            {"level": said["level"], "message": said["message"], "slices": []},
        )
        first["slices"].append(said["slice"])
    return list(found.values())


def _with_unborn(
    catalogue: topology.Catalogue, pieces: Sequence[slices.Slice]
) -> list[slices.Slice]:
    """The slices and, in order, those they read from that were never applied."""
    wanted = set(pieces)
    while more := {
        producer
        for piece in wanted
        for producer in slices.producers(catalogue, piece)
        if producer not in wanted
        and not stack.outputs(stack.stack(catalogue.environment, producer))
    }:
        wanted |= more
    return [piece for piece in slices.sliced(catalogue) if piece in wanted]


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
    found = changed(answer)
    if answer.get("wiring") == "planned":
        shown[0] += "; values between slices are planned: what their previews return"
    shown += _upgrades(answer["versions"])
    place = ""
    for step in found:
        if step.get("slice", "") != place:
            place = step["slice"]
            shown.append(f"  {place}:")
        name = step["urn"].rsplit("::", 1)[-1]
        shown.append(f"  {SIGNS.get(step['op'], step['op']):>2} {step['type']}  {name}")
        shown += [f"        {p}: {k}" for p, k in step.get("changes", {}).items()]
    for diagnostic in answer["diagnostics"]:
        shown.append(f"  {diagnostic['level']}: {diagnostic['message']}")
    shown += [
        f"  {broken['level']} rule {broken['rule']}: {broken['message']}"
        for broken in answer["policy"]["violations"]
    ]
    counts = ", ".join(f"{n} {op}" for op, n in answer["summary"].items())
    shown += ["" if found else "  no change", f"  {counts}", f"  plan {answer['hash']}"]
    return shown


def _upgrades(versions: Iterable[Json]) -> list[str]:
    """Each change of a provider's release once, with how many stacks it is in."""
    pairs = Counter((v["package"], v["state"], v["program"]) for v in versions)
    return [
        f"  provider {package}: the state is of {old}, the program brings {new} "
        f"({count} stack{'s' if count > 1 else ''}): look for changes nobody made"
        for (package, old, new), count in pairs.items()
    ]


SIGNS = {
    "create": "+",
    "import": "<",
    "update": "~",
    "delete": "-",
    "replace": "+-",
    "create-replacement": "++",
    "delete-replaced": "--",
}
