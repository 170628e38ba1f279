"""Where stacks are kept in this clone: backend, passphrase, salt, configuration."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import subprocess
from pathlib import Path

import yaml

from ops import acceptances, engine, rotation
from ops.errors import CommandError
from ops.paths import ROOT, WORK, relative
from ops.stack import ORGANIZATION, Stack

IMAGE_INPUTS = ("service", "topology")
"""Folders that the container image is made of."""


def prepare(target: Stack, digest: str | None = None) -> None:
    """Make backend, passphrase, stack and generated configuration, where missing.

    `digest` is the image of an earlier revision; the working tree's when left out.
    """
    rotation.refuse_unfinished()
    (WORK / "state").mkdir(parents=True, exist_ok=True)
    passphrase = WORK / "passphrase"
    if not passphrase.exists():
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(passphrase, flags, 0o600), "w") as out:
            out.write(secrets.token_urlsafe(32))
    if not target.salt.exists():
        _initialise(target)
    if not target.state.exists():
        begin(target)
    committed = target.folder / f"Pulumi.{target.name}.yaml"
    content = yaml.safe_load(committed.read_text()) if committed.exists() else {}
    content["encryptionsalt"] = target.salt.read_text()
    content.setdefault("config", {})
    accepted = acceptances.known(target.environment)
    if accepted:
        listed = json.dumps([each.to_json() for each in accepted])
        content["config"]["meridian:accepted"] = listed
    if target.environment == "local":
        content["config"]["meridian:imageDigest"] = digest or tree_digest()
    target.config.write_text(yaml.safe_dump(content))


def _initialise(target: Stack) -> None:
    """`stack init` in a scratch project, so that no committed file gains a salt."""
    scratch = WORK / "stacks" / f"init-{target.environment}"
    scratch.mkdir(parents=True, exist_ok=True)
    settings = scratch / f"Pulumi.{target.name}.yaml"
    settings.unlink(missing_ok=True)
    project = {"name": target.project, "runtime": "python"}
    (scratch / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    values = engine.environment(target, offline=True)
    values.pop("PULUMI_OPTION_CONFIG_FILE")
    lost = list((WORK / "state").rglob(f"{target.environment}*.json"))
    if lost:
        text = (
            f"{relative(target.salt)} is missing but {relative(lost[0])} exists: "
            "put the salt back, or `make clean` and again"
        )
        raise CommandError(text)
    command = ["pulumi", "stack", "init", target.name, "--non-interactive"]
    done = subprocess.run(
        command,
        cwd=scratch,
        env={**os.environ, **values},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandError(f"the stack cannot be made: {done.stderr.strip()}")
    target.shared_salt.write_text(
        yaml.safe_load(settings.read_text())["encryptionsalt"]
    )


def begin(target: Stack) -> None:
    """An empty stack beside the first one: what `stack init` writes, 17 times over,
    without starting the engine for each.
    """
    name = f"{ORGANIZATION}/{target.project}/{target.name}"
    target.state.parent.mkdir(parents=True, exist_ok=True)
    empty = {"version": 3, "checkpoint": {"stack": name, "latest": None}}
    scratch = target.state.with_suffix(".new")
    scratch.write_text(json.dumps(empty))
    os.replace(scratch, target.state)


def mend(target: Stack) -> str | None:
    """Replace a state that a killed engine left half-written; what was done.

    Its backup is the state before. Without one, a local stack begins anew: creation
    adopts what stands. Elsewhere a lost state is for people to decide on.
    """
    torn = _drop_torn_attributes(target)
    if not target.state.exists() or _is_whole(target.state):
        return "half-written attributes of its state removed" if torn else None
    backup = target.state.with_name(f"{target.state.name}.bak")
    if backup.exists() and _is_whole(backup):
        shutil.copy2(backup, target.state)
        return "half-written state replaced by its backup"
    if target.environment != "local":
        raise CommandError(
            f"{relative(target.state)} cannot be read: `meridian state restore "
            f"--env {target.environment}` puts a backup back"
        )
    begin(target)
    return "half-written state begun anew: what stands is adopted"


def _drop_torn_attributes(target: Stack) -> bool:
    """Remove what a killed engine left of the attributes that it writes beside a state.

    A file backend needs none, and cannot read a state past half of them.
    """
    found = target.state.parent.glob(f"{target.state.name}*.attrs")
    torn = [file for file in found if not _is_json(file)]
    for file in torn:
        file.unlink(missing_ok=True)
    return bool(torn)


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_text())
    except ValueError:
        return False
    return True


def _is_whole(file: Path) -> bool:
    try:
        return "checkpoint" in json.loads(file.read_text())
    except (ValueError, TypeError):
        return False


def tree_digest(tree: Path = ROOT) -> str:
    """Digest of what the image holds, for services run from the working tree."""
    total = hashlib.sha256()
    for name in IMAGE_INPUTS:
        for file in sorted((tree / name).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                total.update(str(file.relative_to(tree)).encode() + b"\0")
                total.update(file.read_bytes())
    return f"sha256:{total.hexdigest()}"
