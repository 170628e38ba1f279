"""Which code a control plane runs, so that `meridian up` can tell an old one."""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("localcloud", "topology")


def code_version() -> str:
    """Digest of the sources that the control plane is made of."""
    total = hashlib.sha256()
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            total.update(str(file.relative_to(ROOT)).encode() + b"\0")
            total.update(file.read_bytes())
    return total.hexdigest()[:16]
