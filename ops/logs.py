"""`meridian logs`: the end of the files that a region or a part writes."""

from __future__ import annotations

import time
from pathlib import Path

from ops.errors import BAD_INPUT, CommandError
from ops.paths import WORK

POLL_SECONDS = 0.3


def show(part: str, lines: int, *, follow: bool) -> None:
    """Print the last lines of each file; with `follow`, go on until interrupted."""
    files = _files(part)
    for file in files:
        if len(files) > 1:
            print(f"==> {file.name} <==")
        print("\n".join(_tail(file, lines)))
    if follow:
        _follow(files)


def _files(part: str) -> list[Path]:
    folder = WORK / "world" / "logs"
    found = sorted((folder / part).glob("*.log"))
    found += sorted(f for f in folder.glob("*.log") if _names(f.stem, part))
    if not found:
        regions = sorted(p.name for p in folder.glob("*") if p.is_dir())
        parts = sorted({f.stem.split("-")[0] for f in folder.glob("*.log")})
        raise CommandError(
            f"no logs of {part!r}: a region ({', '.join(regions) or 'none yet'}) "
            f"or a part ({', '.join(parts) or 'none yet'})",
            BAD_INPUT,
        )
    return found


def _names(stem: str, part: str) -> bool:
    """`sql` names all servers, a region those of its own."""
    return stem == part or stem.startswith(f"{part}-") or f"-{part}" in stem


def _tail(file: Path, lines: int) -> list[str]:
    with file.open("rb") as source:
        source.seek(0, 2)
        source.seek(max(0, source.tell() - lines * 2000))
        return source.read().decode(errors="replace").splitlines()[-lines:]


def _follow(files: list[Path]) -> None:
    positions = {file: file.stat().st_size for file in files}
    while True:
        time.sleep(POLL_SECONDS)
        for file, position in positions.items():
            with file.open("rb") as source:
                source.seek(position)
                text = source.read()
            positions[file] = position + len(text)
            if text:
                print(text.decode(errors="replace"), end="", flush=True)
