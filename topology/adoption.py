"""Resources that exist already and are to be managed from now on, by their ID.

The file `stacks/catalogue/adoptions/<environment>.yaml` is optional:

    adoptions:
      - type: gcp:storage/bucket:Bucket
        name: us-east1-repairs
        id: my-project-us-east1-repairs

`name` is the logical name that a program declares. The next `up` imports the resource
instead of making it, then changes what differs from its declaration: a preview shows
both. Afterwards the entry does nothing any more, and may go.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from topology.errors import CatalogueError, Problem

FOLDER = "adoptions"
"""Folder beside the catalogues; they themselves are all `*.yaml` of theirs."""
KEYS = {
    "type": "the resource's type, as `meridian preview` prints it",
    "name": "its logical name, as `meridian preview` prints it",
    "id": "what its provider imports it by; the registry's page of the type says it",
}
TYPE = re.compile(r"gcp:[a-zA-Z]+/[a-zA-Z]+:[a-zA-Z]+")


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """One resource to import."""

    type: str
    """Type token."""
    name: str
    """Logical name in the program."""
    id: str
    """ID that the provider imports it by."""


def file_of(catalogues: Path, environment: str) -> Path:
    """Where the adoptions of an environment lie."""
    return catalogues / FOLDER / f"{environment}.yaml"


def adoptions(file: Path) -> tuple[Adoption, ...]:
    """Read and validate a file; without one there is nothing to adopt."""
    if not file.exists():
        return ()
    problems: list[Problem] = []
    made: list[Adoption] = []
    for line, entry in _entries(file):
        wrong = [*_wrong(entry, made)]
        problems += [_problem(file, line, key, *text) for key, text in wrong]
        if not wrong:
            made.append(Adoption(**entry))
    if problems:
        raise CatalogueError(problems)
    return tuple(made)


def text(found: Sequence[Adoption]) -> str:
    """The file that holds these."""
    listed = [{key: getattr(each, key) for key in KEYS} for each in found]
    return yaml.safe_dump({"adoptions": listed}, sort_keys=False)


def _entries(file: Path) -> Iterator[tuple[int, Any]]:
    """Each entry with its line, from 1."""
    try:
        content = file.read_text(encoding="utf-8")
        root: Any = yaml.compose(content, Loader=yaml.SafeLoader)
        document = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        problem = _problem(file, 1, "", f"not YAML: {said}", "correct it")
        raise CatalogueError([problem]) from error
    listed = document.get("adoptions") if isinstance(document, dict) else None
    if not isinstance(listed, list) or set(document) != {"adoptions"}:
        message = "one key `adoptions` with a list is expected"
        problem = _problem(file, 1, "", message, "write it so, or remove the file")
        raise CatalogueError([problem])
    for node, entry in zip(root.value[0][1].value, listed, strict=True):
        yield node.start_mark.line + 1, entry


def _wrong(
    entry: Any, others: Sequence[Adoption]
) -> Iterator[tuple[str, tuple[str, str]]]:
    """What is wrong with an entry: key, message and remedy."""
    if not isinstance(entry, dict):
        yield "", (f"{entry!r} is no block", f"give it {', '.join(KEYS)}")
        return
    for key in sorted(set(map(str, entry)) - set(KEYS)):
        yield key, ("unknown key", f"use {', '.join(KEYS)}")
    for key, meaning in KEYS.items():
        value = entry.get(key)
        if not isinstance(value, str) or not value.strip():
            yield key, (f"{value!r} is no text", f"give {meaning}")
        elif key == "type" and not TYPE.fullmatch(value):
            form = "such as gcp:storage/bucket:Bucket"
            yield key, (f"{value!r} is no type", f"give {meaning}, {form}")
    place = (entry.get("type"), entry.get("name"))
    if place in [(other.type, other.name) for other in others]:
        yield "name", (f"{place[1]} is listed twice", "keep one of the two")


def _problem(file: Path, line: int, key: str, message: str, remedy: str) -> Problem:
    shown = f"stacks/catalogue/{FOLDER}/{file.name}"
    return Problem(file=shown, line=line, key=key, message=message, remedy=remedy)
