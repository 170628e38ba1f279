"""Folders of this clone."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".meridian"
"""Everything that is made here and not committed."""
CATALOGUES = ROOT / "stacks" / "catalogue"


def relative(path: Path) -> str:
    """A path as people see it: from the clone's root where it lies below."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
