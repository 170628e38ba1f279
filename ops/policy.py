"""The rules of `policy/` over a planned environment, a preview or a state."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ops.errors import BAD_INPUT, DONE, FINDINGS, CommandError
from ops.paths import CATALOGUES, ROOT, WORK, relative
from policy import corpus, exemptions
from policy.check import check
from policy.exemptions import ExemptionError, Judgement
from policy.record import FormatError, Record, from_preview, from_state
from policy.rule import Level, Violation
from policy.rules import by_id, every

Json = dict[str, Any]
Say = Callable[[str], None]
PARTS = (
    "Pulumi.yaml",
    "components",
    "dashboards",
    "localcloud/provider",
    "localcloud/types",
    "requirements/dev.txt",
    "stacks",
    "topology",
)
"""What a plan is made of, besides configuration and state."""
KEPT = {
    "custom",
    "dependencies",
    "ignoreChanges",
    "inputs",
    "parent",
    "propertyDependencies",
    "protect",
    "provider",
    "retainOnDelete",
    "type",
    "urn",
}
"""Fields of a planned resource that records are made of."""


def planned(environment: str, say: Say) -> list[Record]:
    """Every resource of an environment, as the engine plans it offline.

    The plan is kept: while nothing that it is made of changes, it is only read.
    """
    from ops import backend, engine, stack

    target = stack.stack(environment)
    backend.prepare(target)
    kept = WORK / "policy" / f"{environment}.json"
    key = _key([*(ROOT / name for name in PARTS), target.config, target.state])
    document = _kept(kept, key)
    if document is None:
        say(f"{engine.OFFLINE}: planning {environment}, some ten seconds")
        command = list(engine.PREVIEW)
        text = engine.run(target, command, offline=True, extra=engine.QUIET)
        document = {"key": key, "steps": _trimmed(json.loads(text))}
        kept.parent.mkdir(parents=True, exist_ok=True)
        scratch = kept.with_suffix(f".{os.getpid()}")
        scratch.write_text(json.dumps(document))
        os.replace(scratch, kept)
    return from_preview(document)


def _key(paths: list[Path]) -> str:
    """Hash of files, and of all files below folders."""
    total = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                total.update(str(file).encode() + b"\0" + file.read_bytes())
    return total.hexdigest()


def _kept(file: Path, key: str) -> Json | None:
    """A kept plan of the same parts; a broken one is none."""
    try:
        document: Json = json.loads(file.read_text(encoding="utf-8"))
        return document if document["key"] == key else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _trimmed(plan: Json) -> list[Json]:
    """Steps without what names this machine: source positions, stack traces."""
    states = [
        (step["op"], step["newState"])
        for step in plan.get("steps", ())
        if step.get("newState")
    ]
    return [
        {"op": op, "newState": {k: v for k, v in state.items() if k in KEPT}}
        for op, state in states
    ]


def read(file: Path, reader: Callable[[Any], list[Record]]) -> list[Record]:
    """Records of a document that somebody kept."""
    try:
        return reader(json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        text = f"{relative(file)} cannot be read: {error.strerror}"
        raise CommandError(text, BAD_INPUT) from error
    except (ValueError, FormatError) as error:
        raise CommandError(f"{relative(file)}: {error}", BAD_INPUT) from error


def gather(
    environment: str, preview: Path | None, state: Path | None, say: Say
) -> list[Record]:
    """Records from the one source that is asked for."""
    if preview and state:
        text = "--preview and --state exclude each other: pass one of them"
        raise CommandError(text, BAD_INPUT)
    if preview:
        return read(preview, from_preview)
    if state:
        return read(state, from_state)
    return planned(environment, say)


def today() -> datetime.date:
    """The date that exemptions end by."""
    return datetime.datetime.now(datetime.UTC).date()


def judge(environment: str, records: list[Record]) -> Judgement:
    """What stands against the records, exemptions of the environment applied."""
    file = exemptions.file_of(CATALOGUES, environment)
    try:
        excused = exemptions.load(file, by_id(), today())
        return exemptions.apply(check(records, every()), excused, today())
    except ExemptionError as error:
        raise CommandError(f"{relative(file)}:\n{error}", BAD_INPUT) from error


def answer(environment: str, records: list[Record], found: Judgement) -> Json:
    """`{"rules": [{"id", "level", "source"}], "violations": [...]}` and more."""
    return {
        "environment": environment,
        "resources": sum(record.custom for record in records),
        "rules": [
            {"id": r.id, "level": r.level.value, "says": r.says, "source": r.source}
            for r in every()
        ],
        "violations": [_violation(violation) for violation in found.standing],
        "exempted": [
            {**_violation(v), "reason": e.reason, "until": e.until.isoformat()}
            for v, e in found.excused
        ],
        "unused_exemptions": [
            {"rule": e.rule, "place": e.place, "until": e.until.isoformat()}
            for e in found.unused
        ],
    }


def _violation(violation: Violation) -> Json:
    return {
        "rule": violation.rule,
        "level": violation.level.value,
        "urn": violation.urn,
        "place": violation.fault.place,
        "message": violation.message,
        "remedy": violation.fault.remedy,
    }


def code(found: Judgement) -> int:
    """Exit code: findings when a mandatory rule is broken."""
    mandatory = any(v.level is Level.MANDATORY for v in found.standing)
    return FINDINGS if mandatory else DONE


def lines(given: Json) -> list[str]:
    """What a person reads."""
    shown = [f"{v['level']}: {v['message']} [{v['rule']}]" for v in given["violations"]]
    shown += [
        f"exempted until {v['until']}: {v['message']} [{v['rule']}]: {v['reason']}"
        for v in given["exempted"]
    ]
    shown += [
        f"the exemption of {e['place']} from {e['rule']} excuses nothing: remove it"
        for e in given["unused_exemptions"]
    ]
    levels = [v["level"] for v in given["violations"]]
    counts = ", ".join(f"{levels.count(k.value)} {k.value}" for k in Level)
    return [
        *shown,
        f"{given['resources']} resources of {given['environment']}, "
        f"{len(given['rules'])} rules: {counts} broken",
    ]


def map_of_faults() -> Json:
    """The corpus, with every example executed now."""
    examples = {}
    for rule in every():
        example = corpus.examples().get(rule.id)
        accepted, refused = example.run() if example else ([], [])
        examples[rule.id] = {
            "level": rule.level.value,
            "source": rule.source,
            "says": rule.says,
            "change": example.place if example else "",
            "accepted": example is not None and not accepted,
            "refused": bool(refused),
            "message": refused[0].message if refused else "",
        }
    return {
        "faults": [
            {
                "id": row.id,
                "fault": row.fault,
                "rules": list(row.rules),
                "not_declarable": row.reason,
            }
            for row in corpus.rows()
        ],
        "rules": examples,
        "wrong": [
            name
            for name, found in examples.items()
            if not (found["accepted"] and found["refused"])
        ],
    }


def map_lines(given: Json) -> list[str]:
    """The corpus as a person reads it."""
    shown = []
    for row in given["faults"]:
        found = ", ".join(row["rules"]) or f"not declarable: {row['not_declarable']}"
        shown.append(f"{row['id']:>4} {row['fault']}: {found}")
    shown.append("")
    for name, found in given["rules"].items():
        verdicts = [
            "accepted" if found["accepted"] else "NOT ACCEPTED",
            "refused" if found["refused"] else "NOT REFUSED",
        ]
        shown.append(f"{name} ({found['level']}; {found['source']})")
        shown.append(f"     passing {verdicts[0]}, failing {verdicts[1]}")
        shown.append(f"     {found['message']}")
    mapped = sum(bool(row["rules"]) for row in given["faults"])
    refused = sum(found["refused"] for found in given["rules"].values())
    shown += [
        "",
        f"{mapped} of {len(given['faults'])} faults mapped, "
        f"{refused} of {len(given['rules'])} rules refuse their failing example",
    ]
    return shown
