"""`meridian image build`: the digest that stacks consume."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

from ops import backend
from ops.errors import CommandError
from ops.paths import ROOT

TREE = "no buildah here: digest of the service's tree, which runs from the working tree"


def build() -> dict[str, Any]:
    """Build with buildah where it is installed, else take the tree's digest."""
    if not shutil.which("buildah"):
        return {"digest": backend.tree_digest(), "built": False, "note": TREE}
    tag = "meridian/service"
    command = ["buildah", "build", "-q", "-t", tag, "-f", "service/Containerfile", "."]
    _run(command)
    line = ["buildah", "images", "--format", "{{.Digest}}", tag]
    digest = _run(line).splitlines()[0]
    return {"digest": digest, "built": True, "note": f"image {tag}; push it by digest"}


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CommandError(f"{command[0]} {command[1]}: {done.stderr.strip()[-2000:]}")
    return done.stdout
