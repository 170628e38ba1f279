"""From a YAML file to a `Catalogue`, with the line of every value for the messages."""

import difflib
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from topology.catalogue import SCHEMA_VERSION, Catalogue
from topology.checks import check
from topology.errors import CatalogueError, Problem

ROOT = Path(__file__).resolve().parent.parent
CATALOGUES = ROOT / "stacks" / "catalogue"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAGS = {
    f"tag:yaml.org,2002:{kind}"
    for kind in ("bool", "float", "int", "map", "null", "seq", "str", "timestamp")
}
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def load(environment: str, folder: Path = CATALOGUES) -> Catalogue:
    """Read the catalogue of an environment by its name."""
    path = folder / f"{environment}.yaml"
    if not path.is_file():
        known = sorted(found.stem for found in folder.glob("*.yaml"))
        problem = Problem(
            file=_shown(path),
            line=1,
            key="",
            message=f"there is no catalogue of an environment {environment!r}",
            remedy=f"use one of {', '.join(known) or 'none'}, or write this file",
        )
        raise CatalogueError([problem])
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        problem = Problem(
            file=_shown(path),
            line=1 + error.object[: error.start].count(b"\n"),
            key="",
            message=f"byte {error.object[error.start]:#04x} is not UTF-8",
            remedy="save the file as UTF-8",
        )
        raise CatalogueError([problem]) from error
    return read(text, _shown(path), environment)


def read(text: str, file: str, environment: str | None = None) -> Catalogue:
    """Bind the text of a catalogue; `file` is how messages call it."""
    binder = _Binder(file)
    catalogue = binder.document(text)
    if catalogue is not None and not binder.problems:
        binder.problems += check(catalogue, file, binder.line_of, environment)
    if binder.problems or catalogue is None:
        raise CatalogueError(binder.problems)
    return catalogue


def _shown(path: Path) -> str:
    """The path as people type it: relative to the repository where it lies inside."""
    resolved = path.resolve()
    return (
        str(resolved.relative_to(ROOT)) if resolved.is_relative_to(ROOT) else str(path)
    )


class _Binder:
    """Binds YAML nodes to records and collects what does not fit."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.lines: dict[str, int] = {}

    def line_of(self, key: str) -> int:
        """Line of a key, or of the nearest key above it that the file has."""
        while key and key not in self.lines:
            key = key.rpartition(".")[0]
        return self.lines.get(key, 1)

    def report(self, line: int, key: str, message: str, remedy: str) -> None:
        """Note a problem and go on."""
        self.problems.append(
            Problem(file=self.file, line=line, key=key, message=message, remedy=remedy)
        )

    def document(self, text: str) -> Catalogue | None:
        """The whole file, or None when it cannot be bound at all."""
        try:
            node = yaml.compose(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            line = mark.line + 1 if mark else 1
            self.report(
                line, "", f"not valid YAML: {error.problem}", "correct this line"
            )
            return None
        except yaml.YAMLError as error:
            first = str(error).splitlines()[0]
            self.report(1, "", f"not valid YAML: {first}", "save the file as UTF-8")
            return None
        if node is None or _is_null(node):
            self.report(
                1, "", "the file is empty", "copy stacks/catalogue/local.yaml and edit"
            )
            return None
        if self.other_version(node):
            return None
        return typing.cast("Catalogue | None", self.record(Catalogue, node, ""))

    def other_version(self, node: yaml.Node) -> bool:
        """Whether the file is of another form; then nothing else is worth saying."""
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        for key, value in pairs:
            found = _scalar(value)
            if key.value != "schema_version" or type(found) is not int:
                continue
            if found == SCHEMA_VERSION:
                return False
            newer = found > SCHEMA_VERSION
            self.report(
                _line(key),
                "schema_version",
                f"version {found} is not {SCHEMA_VERSION}, the form that this release "
                "reads",
                f"use the release that wrote it, there is no migration {found} -> "
                f"{SCHEMA_VERSION}"
                if newer
                else f"there is no migration {found} -> {SCHEMA_VERSION}: version 1 is "
                "the first, copy stacks/catalogue/local.yaml",
            )
            return True
        return False

    def record(self, kind: type, node: yaml.Node, path: str) -> Any:
        """A mapping node as a record; None when a key is missing or wrong."""
        entries = self.entries(node, path)
        if entries is None:
            return None
        known = {field.name: field for field in fields(kind)}
        misspelt = {
            _closest(key, list(known))
            for key, (key_node, _) in entries.items()
            if key not in known and self.unknown(key, key_node, path, list(known))
        }
        values: dict[str, Any] = {}
        complete = True
        for name, field in known.items():
            place = _join(path, name)
            if name in entries:
                value = self.value(
                    _hints(kind)[name], entries[name][1], place, field.metadata
                )
                complete &= value is not _BAD
                values[name] = value
            elif field.default is MISSING:
                complete = False
                if name not in misspelt:
                    self.missing(node, place)
        return kind(**values) if complete else None

    def entries(
        self, node: yaml.Node, path: str
    ) -> dict[str, tuple[yaml.Node, yaml.Node]] | None:
        """Keys of a mapping node with their nodes; doubled keys are reported."""
        if not isinstance(node, yaml.MappingNode):
            given = _given(node)
            self.report(
                _line(node), path, f"{given} is not a block of keys", "indent keys here"
            )
            return None
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in found:
                self.report(
                    _line(key_node),
                    _join(path, key),
                    f"given twice, first on line {_line(found[key][0])}",
                    "delete one of the two",
                )
                continue
            found[key] = (key_node, value_node)
            self.lines[_join(path, key)] = _line(key_node)
        return found

    def value(
        self, hint: Any, node: yaml.Node, path: str, metadata: Mapping[str, Any]
    ) -> Any:
        """One value of any annotated kind; `_BAD` after a report."""
        kind, optional = unwrap(hint)
        if str(node.tag) not in _TAGS:
            self.report(
                _line(node), path, f"tag {node.tag} is not allowed", "delete the tag"
            )
            return _BAD
        if optional and _is_null(node):
            return None
        if typing.get_origin(kind) is Mapping:
            return self.mapping(kind, node, path)
        if is_dataclass(kind):
            made = self.record(typing.cast(type, kind), node, path)
            return _BAD if made is None else made
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            return self.choice(kind, node, path)
        return self.scalar(kind, node, path, metadata)

    def mapping(self, hint: Any, node: yaml.Node, path: str) -> Any:
        """A mapping of names to records."""
        key_kind, value_kind = typing.get_args(hint)
        entries = self.entries(node, path)
        if entries is None:
            return _BAD
        made: dict[Any, Any] = {}
        complete = True
        for key, (key_node, value_node) in entries.items():
            name: Any = key
            if key_kind is not str:
                names = [member.value for member in key_kind]
                if key not in names:
                    complete = False
                    self.unknown(key, key_node, path, names)
                    continue
                name = key_kind(key)
            value = self.value(value_kind, value_node, _join(path, key), {})
            complete &= value is not _BAD
            made[name] = value
        return made if complete else _BAD

    def choice(self, kind: type[StrEnum], node: yaml.Node, path: str) -> Any:
        """One of the names of an enumeration."""
        names = [member.value for member in kind]
        if isinstance(node, yaml.ScalarNode) and node.value in names:
            return kind(node.value)
        self.report(
            _line(node),
            path,
            f"{_given(node)} is not one of {', '.join(names)}",
            _suggest(_given(node), names) or f"use {' or '.join(names)}",
        )
        return _BAD

    def scalar(
        self, kind: Any, node: yaml.Node, path: str, metadata: Mapping[str, Any]
    ) -> Any:
        """A number, a text or a truth value within its range."""
        value = _scalar(node)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            remedy = f"write {_WORDS[kind]}"
            if kind is str and isinstance(value, int | float):
                remedy = f'write it in quotes: "{_given(node)}"'
            self.report(
                _line(node), path, f"{_given(node)} is not {_WORDS[kind]}", remedy
            )
            return _BAD
        fault = _fault(value, metadata)
        if fault:
            self.report(_line(node), path, *fault)
            return _BAD
        return value

    def unknown(
        self, key: str, node: yaml.Node, path: str, known: Sequence[str]
    ) -> bool:
        """A key that no record has; always true, so that it can stand in a filter."""
        remedy = _suggest(key, known) or f"use one of {', '.join(sorted(known))}"
        self.report(_line(node), _join(path, key), "unknown key", remedy)
        return True

    def missing(self, node: yaml.Node, place: str) -> None:
        """A key that has no default."""
        self.report(_line(node), place, "missing, and it has no default", "add the key")


_BAD = object()


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _is_null(node: yaml.Node) -> bool:
    return str(node.tag) == "tag:yaml.org,2002:null"


def _given(node: yaml.Node) -> str:
    """The value as the file has it, shortened."""
    if isinstance(node, yaml.MappingNode):
        return "a block of keys"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    text = str(node.value)
    if not text:
        return "an empty value"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _scalar(node: yaml.Node) -> Any:
    """A scalar node as a Python value; text where the number is in a form we refuse."""
    if not isinstance(node, yaml.ScalarNode):
        return None
    text = str(node.value)
    kind = str(node.tag).rpartition(":")[2]
    try:
        if kind == "int":
            return int(text, 0 if text[:2].lower() in {"0x", "0b"} else 10)
        if kind == "float":
            return float(text.replace("_", ""))
    except ValueError:
        return text
    if kind == "bool":
        return text.lower() in {"true", "yes", "on"}
    return None if kind == "null" else text


def _fault(value: Any, metadata: Mapping[str, Any]) -> tuple[str, str] | None:
    """What is wrong with a value of the right kind: message and remedy."""
    unit = f" {metadata['unit']}" if "unit" in metadata else ""
    source = f" ({metadata['source']})" if "source" in metadata else ""
    low, high = metadata.get("minimum"), metadata.get("maximum")
    if isinstance(value, float) and value != value:
        return "not a number", "write a number"
    if low is not None and value < low:
        text = f"{value:,}{unit} is below the limit of {low:,}{source}"
        return text, f"use {low:,} or more"
    if high is not None and value > high:
        text = f"{value:,}{unit} is above the limit of {high:,}{source}"
        return text, f"use {high:,} or less"
    pattern = metadata.get("pattern")
    if pattern and not re.fullmatch(pattern, value):
        hint = metadata.get("hint", f"text of the form {pattern}")
        return f"{value!r} does not fit", f"write {hint}"
    return None


def _closest(given: str, known: Sequence[str]) -> str | None:
    close = difflib.get_close_matches(given, known, n=1, cutoff=0.6)
    return close[0] if close else None


def _suggest(given: str, known: Sequence[str]) -> str | None:
    close = _closest(given, known)
    return f"did you mean {close}?" if close else None


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def unwrap(hint: Any) -> tuple[Any, bool]:
    """The kind inside an optional annotation, and whether it is optional."""
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        inner = [kind for kind in typing.get_args(hint) if kind is not types.NoneType]
        return inner[0], True
    return hint, False
