"""A new passphrase for every state of this clone, by the engine's own command.

Stack by stack, each with a salt of its own from then on. Until the last one is done,
`rotation/` holds the new passphrase and which stacks have it; a run that was stopped
goes on where it was, and nothing else touches a stack meanwhile.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from ops import engine, stack
from ops.errors import CommandError
from ops.paths import CATALOGUES, WORK
from ops.stack import Stack
from topology import load, slices

FOLDER = WORK / "rotation"
NEW = "passphrase"
SECONDS = 60.0
"""How long the engine may take for one stack."""


def refuse_unfinished() -> None:
    """While stacks have different passphrases, only a rotation may go on."""
    if FOLDER.exists():
        raise CommandError(
            "a change of the passphrase was stopped half-way: `meridian state rotate` "
            "ends it"
        )


def rotate(say: Callable[[str], None]) -> int:
    """Give every stack a new passphrase; the number of stacks."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    new = FOLDER / NEW
    if not new.exists() and any(FOLDER.iterdir()):
        # Stopped after its last step.
        shutil.rmtree(FOLDER)
        return len(list(stacks()))
    if not new.exists():
        _write_secret(new, secrets.token_urlsafe(32))
    found = list(stacks())
    for number, target in enumerate(found, 1):
        mark = FOLDER / f"{target.project}.{target.name}"
        if mark.exists():
            continue
        say(f"{number} of {len(found)}: {target.project}/{target.name}")
        stack.break_stale_lock(target)
        mark.write_text(_changed(target) or _change(target, new.read_text()))
    _keep_salts(found)
    os.replace(new, WORK / "passphrase")
    shutil.rmtree(FOLDER)
    return len(found)


def _keep_salts(found: list[Stack]) -> None:
    """Salts of the new passphrase; a stack that is made later takes the first one."""
    for salt in (WORK / "stacks").glob("*.salt"):
        salt.unlink()
    for target in reversed(found):
        text = (FOLDER / f"{target.project}.{target.name}").read_text()
        target.own_salt.write_text(text)
        target.shared_salt.write_text(text)


def stacks() -> Iterator[Stack]:
    """Every stack of this clone that has a state."""
    for file in sorted(CATALOGUES.glob("*.yaml")):
        environment = file.stem
        pieces = (slices.WORLD, *slices.sliced(load(environment)))
        every = (stack.stack(environment, piece) for piece in pieces)
        yield from (target for target in every if target.state.exists())


def _changed(target: Stack) -> str | None:
    """The salt in the state, where the engine had ended and this command had not."""
    latest = json.loads(target.state.read_text())["checkpoint"].get("latest") or {}
    salt: str | None = latest.get("secrets_providers", {}).get("state", {}).get("salt")
    return salt if salt != target.salt.read_text() else None


def _change(target: Stack, new: str) -> str:
    """Have the engine encrypt a stack anew; the salt that goes with it.

    In a scratch project: the engine writes the salt into the stack's settings file.
    """
    scratch = WORK / "stacks" / "rotate"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    settings = scratch / f"Pulumi.{target.name}.yaml"
    settings.write_text(yaml.safe_dump({"encryptionsalt": target.salt.read_text()}))
    project = {"name": target.project, "runtime": "python"}
    (scratch / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    values = engine.environment(target, offline=True)
    values.pop("PULUMI_OPTION_CONFIG_FILE")
    words = ("stack", "change-secrets-provider", "passphrase")
    done = subprocess.run(
        ["pulumi", *words, "-s", target.name, "--non-interactive"],
        cwd=scratch,
        env={**os.environ, **values},
        input=f"{new}\n",
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        raise CommandError(
            f"{target.project}/{target.name}: {done.stderr.strip()}\nnothing of it was "
            "changed; `meridian state rotate` goes on"
        )
    salt: str = yaml.safe_load(settings.read_text())["encryptionsalt"]
    shutil.rmtree(scratch)
    return salt


def _write_secret(file: Path, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(file, flags, 0o600), "w") as out:
        out.write(text)
