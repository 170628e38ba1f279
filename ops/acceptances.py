"""Accepted findings of this clone: kept until they end, given to every stack."""

from __future__ import annotations

import datetime
import getpass
import json
import socket
from collections.abc import Sequence
from pathlib import Path

from ops.errors import BAD_INPUT, FINDINGS, CommandError
from ops.paths import WORK
from topology import Plan
from topology.acceptance import Acceptance, acceptance, standing
from topology.findings import fold


def today() -> datetime.date:
    """The day that acceptances are counted by."""
    return datetime.datetime.now(datetime.UTC).date()


def file_of(environment: str) -> Path:
    """Where an environment's acceptances are kept."""
    return WORK / "accepted" / f"{environment}.json"


def known(environment: str) -> list[Acceptance]:
    """Acceptances that have not ended."""
    file = file_of(environment)
    if not file.exists():
        return []
    found = (acceptance(each, today()) for each in json.loads(file.read_text()))
    return [each for each in found if each.until >= today()]


def add(
    environment: str, findings: Sequence[str], reason: str | None, until: str | None
) -> None:
    """Accept findings until a day, for a reason."""
    if not findings:
        if reason or until:
            text = "--reason and --until belong to --accept FINDING"
            raise CommandError(text, BAD_INPUT)
        return
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    kept = [each for each in known(environment) if each.finding not in findings]
    for name in findings:
        given = {"finding": name, "reason": reason, "until": until, "who": who}
        try:
            made = acceptance(given, today())
        except ValueError as error:
            raise CommandError(f"--accept {name}: {error}", BAD_INPUT) from error
        if made.until < today():
            text = f"--accept {name}: {until} is past: use today ({today()}) or later"
            raise CommandError(text, BAD_INPUT)
        kept.append(made)
    file = file_of(environment)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([each.to_json() for each in kept], indent=2) + "\n")


def refuse(plan: Plan) -> None:
    """Raise, with the list, when findings stand against an `up`."""
    environment = plan.catalogue.environment
    against = standing(plan.findings, known(environment), today())
    if against:
        listed = "\n".join(f"  {line}" for line in fold(against))
        raise CommandError(
            f"{len(against)} findings of level error stand against this; nothing was "
            "changed. Follow the remedies, or accept one for a while by --accept "
            f"FINDING --reason TEXT --until DATE:\n{listed}",
            FINDINGS,
        )
