"""Copies of an environment's states: taken before a move, or by hand, and put back."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import topology
from ops import fleet, stack
from ops.errors import BAD_INPUT, CommandError
from ops.paths import WORK, relative
from ops.stack import Stack
from topology import slices

FOLDER = WORK / "state-backups"


def save(stacks: Iterable[Stack]) -> Path:
    """Copy the states of these stacks; the folder they went to."""
    folder = FOLDER / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    folder.mkdir(parents=True)
    for one in stacks:
        if one.state.exists():
            place = folder / one.project
            place.mkdir(exist_ok=True)
            shutil.copy2(one.state, place)
    return folder


def save_all(environment: str) -> Path:
    """Copy every state of an environment, those of both layouts."""
    found = [one for one in _every(environment) if stack.resources(one)]
    if not found:
        text = f"{environment} has no state here: nothing was ever applied"
        raise CommandError(text, BAD_INPUT)
    return save(found)


def restore(environment: str, name: str | None) -> tuple[Path, int]:
    """Put a backup back, the newest without a name; where from, and how many stacks.

    What stands now is backed up first. Stacks that the backup does not have are left
    without resources: they were not there then.
    """
    stack.stack(environment)
    folder = _chosen(environment, name)
    every = list(_every(environment))
    for one in every:
        stack.break_stale_lock(one)
    held = [one for one in every if stack.resources(one)]
    if held:
        save(held)
    count = 0
    for one in every:
        kept = folder / one.project / one.state.name
        if kept.exists():
            _put(one, kept.read_bytes())
            count += 1
        elif one in held:
            document = json.loads(one.state.read_text())
            document["checkpoint"]["latest"]["resources"] = []
            _put(one, json.dumps(document).encode())
    return folder, count


def _put(target: Stack, content: bytes) -> None:
    target.state.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.state.with_suffix(".new")
    scratch.write_bytes(content)
    os.replace(scratch, target.state)


def _every(environment: str) -> Iterator[Stack]:
    catalogue = topology.load(environment)
    yield stack.stack(environment, slices.WORLD)
    for piece in slices.sliced(catalogue):
        yield stack.stack(environment, piece)
    yield from fleet.retired(catalogue)


def _chosen(environment: str, name: str | None) -> Path:
    """The backup of this name, or the newest that has a state of the environment."""
    found = sorted(
        folder
        for folder in FOLDER.glob("*")
        if any(_is_of(file, environment) for file in folder.glob("*/*.json"))
    )
    if name is None and found:
        return found[-1]
    for folder in found:
        if folder.name == name:
            return folder
    known = ", ".join(folder.name for folder in found) or "none"
    text = f"backup {name!r} of {environment}: in {relative(FOLDER)} there are {known}"
    raise CommandError(text, BAD_INPUT)


def _is_of(file: Path, environment: str) -> bool:
    return file.stem.partition(".")[0] == environment
