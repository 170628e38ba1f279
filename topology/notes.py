"""What a catalogue's comments say of its keys: where a value is from."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from topology.marks import Mark, Note
from topology.reader import CATALOGUES

_WORDS = (
    (Mark.ASSUMED, r"assum"),
    (Mark.MEASURED, r"measured:"),
    (Mark.DERIVED, r"derived|needs \d"),
    (Mark.SOURCED, r"peer|google|rfc|read 20\d\d|seen in|the service:|cloud run"),
)
"""A mark and the words that give it; the first that fits."""

_TRAILING = re.compile(r"""^(?:[^#'"]|'[^']*'|"[^"]*")*?(?:^|\s)#\s*(.*)$""")


def load_notes(environment: str, folder: Path = CATALOGUES) -> Mapping[str, Note]:
    """Notes of an environment's catalogue, by dotted key."""
    path = folder / f"{environment}.yaml"
    return read_notes(path.read_text(encoding="utf-8"))


def read_notes(text: str) -> Mapping[str, Note]:
    """The comment beside each key, else the one right above it."""
    node, lines = yaml.compose(text, Loader=yaml.SafeLoader), text.splitlines()
    found: dict[str, Note] = {}
    for key, line in _keys(node, ""):
        comment = _beside(lines[line]) or _above(lines, line)
        if comment:
            found[key] = Note(mark=_mark(comment), text=comment)
    return found


def _keys(node: yaml.Node | None, path: str) -> Iterator[tuple[str, int]]:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        place = f"{path}.{key.value}" if path else str(key.value)
        yield place, key.start_mark.line
        yield from _keys(value, place)


def _beside(line: str) -> str:
    match = _TRAILING.match(line)
    return match.group(1).strip() if match else ""


def _above(lines: list[str], line: int) -> str:
    """The comment right above; the head of the file is about the file."""
    comment: list[str] = []
    while line and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        comment.insert(0, lines[line].lstrip().removeprefix("#").strip())
    return " ".join(comment) if line else ""


def _mark(comment: str) -> Mark:
    for mark, words in _WORDS:
        if re.search(words, comment.lower()):
            return mark
    return Mark.ASSUMED
