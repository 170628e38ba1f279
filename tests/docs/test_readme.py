"""What the documentation tells people to type exists; links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from ops.cli import app
from tests.docs.pages import PAGES, ROOT, blocks, links, parse


def commands() -> list[str]:
    """Every line of every shell block, without comments."""
    found = (block for page in PAGES for block in blocks(page.read_text(), "sh"))
    lines = [line for block in found for line in block.split("\n")]
    return [line for line in (re.sub(r"\s#.*", "", x).strip() for x in lines) if line]


@pytest.mark.parametrize("line", commands())
def test_a_documented_line_is_a_command_that_exists(line: str) -> None:
    checked = subprocess.run(
        ["bash", "-n", "-c", line], capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    for part in re.findall(r"(?:\./)?meridian ([^;)\"]*(?:\"[^\"]*\"[^;)\"]*)*)", line):
        parse(shlex.split(part))
    for target in re.findall(r"^make (\w+)", line):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)


def test_a_command_that_does_not_exist_would_be_found() -> None:
    with pytest.raises(Exception, match="No such command"):
        parse(["levitate"])
    with pytest.raises(Exception, match="No such option"):
        parse(["status", "--levitate"])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    missing = [link for link in links(page) if not (page.parent / link).exists()]
    assert missing == []


def test_every_command_explains_itself() -> None:
    group = typer.main.get_command(app)
    context = group.make_context("meridian", ["status"], resilient_parsing=True)
    for name in group.list_commands(context):
        assert (group.get_command(context, name).help or "").strip(), name


def test_every_decision_is_dated() -> None:
    for page in (ROOT / "docs" / "adr").glob("*.md"):
        assert re.search(r"\(20\d\d-\d\d-\d\d\)", page.read_text().split("\n")[0]), page


@pytest.mark.parametrize(
    "file", sorted((ROOT / "docs" / "ci").glob("*.yml")), ids=lambda f: f.name
)
def test_an_example_for_a_code_host_runs_commands_that_exist(file: Path) -> None:
    texts = list(_texts(yaml.safe_load(file.read_text())))
    lines = [text for text in texts if text.startswith("./meridian ")]
    assert len(lines) >= 3, "the example lost its commands"
    for line in lines:
        words = shlex.split(line.split(" > ")[0])
        parse(words[1:])
    for target in (t.split()[1] for t in texts if t.startswith("make ")):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value
