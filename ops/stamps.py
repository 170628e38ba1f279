"""Stamps: what a stack was applied from, so that nothing is applied twice in vain.

A program is a function of its source, its configuration and what it reads of other
stacks; compared with an unchanged state it changes nothing. Such an `up` is not run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from ops import records, stack
from ops.paths import WORK
from ops.stack import Stack
from topology import Catalogue, slices

FOLDER = WORK / "stamps"


class Stamps:
    """Stamps of one run; the source is hashed once."""

    def __init__(
        self, catalogue: Catalogue, found: Iterable[Stack], world: str
    ) -> None:
        self._catalogue, self._world = catalogue, world
        self._source = records.source_hash()
        self._old = {target: _read(target) for target in found}

    def is_current(self, target: Stack) -> bool:
        """Whether an `up` of the stack would find nothing to do."""
        return self._old.get(target) == self._made(target)

    def keep(self, target: Stack) -> None:
        """Stamp a stack that was just applied."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        _file(target).write_text(self._made(target))

    def _made(self, target: Stack) -> str:
        """Hash of all that the next `up` depends on."""
        read = [
            stack.outputs(stack.stack(self._catalogue.environment, piece))
            for piece in slices.producers(self._catalogue, target.piece)
        ]
        total = hashlib.sha256(f"{self._source} {self._world}".encode())
        total.update(json.dumps(read, sort_keys=True).encode())
        for file in (target.config, target.state):
            total.update(file.read_bytes() if file.exists() else b"-")
        return total.hexdigest()


def _file(target: Stack) -> Path:
    return FOLDER / f"{target.project}.{target.name}"


def _read(target: Stack) -> str:
    file = _file(target)
    return file.read_text() if file.exists() else ""
