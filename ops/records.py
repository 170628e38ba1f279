"""Records of what was applied: who, when, which revision, what was accepted.

One file a run, `.meridian/records/<environment>/<id>.json`, with the catalogue beside
it: what a roll-back applies again.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import shutil
import socket
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ops import backend
from ops.paths import CATALOGUES, ROOT, WORK

Json = dict[str, Any]
FOLDER = WORK / "records"
SOURCES = ("topology", "components", "stacks", "dashboards")
"""Folders that the declared resources are made from."""
UNDER_WAY, DONE, FAILED, ROLLED_BACK = "under way", "done", "failed", "rolled back"


@dataclass
class Record:
    """One run of `apply` or `up`."""

    environment: str
    """Environment."""
    ident: str
    """Time and part of the source's hash; sorts by time."""
    who: str
    """User and host."""
    revision: str
    """Commit of the clone, `+` where files differ from it."""
    source: str
    """Hash of the programs and catalogues."""
    digest: str | None
    """Image digest that the stacks were given."""
    plan: str = ""
    """Hash of the plan that was applied."""
    accepted: list[Json] = field(default_factory=list)
    """Findings accepted for this run."""
    waves: list[list[str]] = field(default_factory=list)
    """Slices applied, wave by wave."""
    result: str = UNDER_WAY
    """How it ended."""

    @property
    def catalogues(self) -> Path:
        """Folder of the catalogue as it was."""
        return FOLDER / self.environment / self.ident

    def save(self) -> None:
        """Write it whole or not at all."""
        file = FOLDER / self.environment / f"{self.ident}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch = file.with_suffix(".new")
        scratch.write_text(json.dumps(asdict(self), indent=2) + "\n")
        os.replace(scratch, file)


def begin(environment: str, plan: str = "") -> Record:
    """A record of a run that starts now; the catalogue is kept with it."""
    source = source_hash()
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    record = Record(
        environment=environment,
        ident=f"{now}-{source[:8]}",
        who=f"{getpass.getuser()}@{socket.gethostname()}",
        revision=revision(),
        source=source,
        digest=backend.tree_digest() if environment == "local" else None,
        plan=plan,
    )
    record.catalogues.mkdir(parents=True)
    shutil.copy2(CATALOGUES / f"{environment}.yaml", record.catalogues)
    record.save()
    return record


def all_of(environment: str) -> list[Record]:
    """Every record, the oldest first."""
    files = sorted((FOLDER / environment).glob("*.json"))
    return [Record(**json.loads(file.read_text())) for file in files]


def last_done(environment: str) -> Record | None:
    """What a roll-back goes back to."""
    done = [r for r in all_of(environment) if r.result == DONE]
    return done[-1] if done else None


def unfinished(environment: str) -> Record | None:
    """The newest run, when it did not come to its end."""
    found = all_of(environment)
    return found[-1] if found and found[-1].result in (UNDER_WAY, FAILED) else None


def source_hash(tree: Path = ROOT) -> str:
    """Hash of all files that programs read: the revision, committed or not."""
    total = hashlib.sha256()
    for name in SOURCES:
        for file in sorted((tree / name).rglob("*")):
            if file.is_file() and file.suffix in {".py", ".yaml", ".csv", ".json"}:
                total.update(str(file.relative_to(tree)).encode() + b"\0")
                total.update(file.read_bytes())
    return total.hexdigest()


def revision() -> str:
    """The commit that is checked out; `unknown` outside a repository."""
    commit = _git("rev-parse", "--short", "HEAD")
    if not commit:
        return "unknown"
    return f"{commit}+" if _git("status", "--porcelain") else commit


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""
