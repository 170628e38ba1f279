"""The pages of the documentation, and what can be read out of them."""

import re
from pathlib import Path

import typer

from ops.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("*.md"))


def blocks(text: str, language: str) -> list[str]:
    """Contents of the fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


def spans(text: str) -> list[str]:
    """Code within sentences and tables."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))


def links(page: Path) -> list[str]:
    """Targets of a page's links to other pages, without their anchors."""
    return re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())


def column(text: str, name: str) -> list[str]:
    """Cells below the headings of this name, in every table."""
    found: list[str] = []
    at: int | None = None
    for line in text.split("\n"):
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("|"):
            at = None
        elif at is None:
            at = cells.index(name) if name in cells else len(cells)
        elif at < len(cells) and not set(line) <= set("|- "):
            found.append(cells[at])
    return found


def parse(words: list[str]) -> None:
    """Parse as `meridian` would, without running anything."""
    command = typer.main.get_command(app)
    context = command.make_context("meridian", list(words))
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
