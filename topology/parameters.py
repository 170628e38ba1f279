"""The reference of catalogue keys, generated from the records and production's notes.

`python -m topology.parameters` writes the page; a test holds it current.
"""

import functools
import typing
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Any

from topology.catalogue import Catalogue
from topology.marks import Note
from topology.notes import load_notes
from topology.reader import ROOT, load, unwrap
from topology.schema import notes_of
from topology.trace import lookup

PATH = ROOT / "docs" / "parameters.md"
HEAD = """# Parameters of a catalogue

Generated from `topology/` by `python -m topology.parameters`; a test holds it current,
another that each key has an effect. `*` stands for a region, a tier, an event or an
issuer. The source is the limit's, or what production's catalogue says of its value.

| key | meaning | unit | range | default | production | source |
| --- | --- | --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One key that a catalogue may have."""

    key: str
    """Dotted path; `*` for any name."""
    kind: Any
    """Type of the value, without None."""
    optional: bool
    """Whether it may be null."""
    default: Any
    """MISSING where it must be given."""
    metadata: Mapping[str, Any]
    """Range, unit, source."""
    meaning: str
    """The text under its attribute."""


def parameters(kind: type = Catalogue, path: str = "") -> Iterator[Parameter]:
    """Every key below a record, in the records' order."""
    hints, texts = typing.get_type_hints(kind), notes_of(kind)
    for known in fields(typing.cast(Any, kind)):
        place = f"{path}.{known.name}" if path else known.name
        inner, optional = unwrap(hints[known.name])
        if typing.get_origin(inner) is Mapping:
            place, inner = f"{place}.*", typing.get_args(inner)[1]
        if is_dataclass(inner):
            yield from parameters(typing.cast(type, inner), place)
            continue
        yield Parameter(
            key=place,
            kind=inner,
            optional=optional,
            default=known.default,
            metadata=known.metadata,
            meaning=texts[known.name],
        )


def concrete(catalogue: Catalogue, key: str) -> str | None:
    """A path of the catalogue that a key with `*` fits; the first that is stated."""
    head, star, rest = key.partition(".*")
    if not star:
        return key
    # Up to the first name there are records alone.
    names: Any = functools.reduce(getattr, head.split("."), catalogue) or {}
    for name, record in names.items():
        place = f"{head}.{name}{rest}"
        if is_dataclass(record) and _stated(catalogue, place):
            return place
    return None


def _stated(catalogue: Catalogue, place: str) -> bool:
    try:
        return lookup(catalogue, place)[0] is not None
    except (AttributeError, KeyError, TypeError):
        return False


def text() -> str:
    """The page as its file has it."""
    catalogue, notes = load("prod"), load_notes("prod")
    rows = [_row(parameter, catalogue, notes) for parameter in parameters()]
    return HEAD + "\n".join(rows) + "\n"


def main() -> None:
    """Write the page."""
    PATH.write_text(text(), encoding="utf-8")


def _row(parameter: Parameter, catalogue: Catalogue, notes: Mapping[str, Note]) -> str:
    place = concrete(catalogue, parameter.key)
    stated = place is not None and _stated(catalogue, place)
    value = _shown(lookup(catalogue, place)[0]) if stated and place else ""
    note = notes.get(place or "")
    sources = [parameter.metadata.get("source", ""), note.text if note else ""]
    cells = (
        f"`{parameter.key}`",
        parameter.meaning,
        parameter.metadata.get("unit", ""),
        _range(parameter),
        "required" if parameter.default is MISSING else _shown(parameter.default),
        value,
        "; ".join(source for source in sources if source),
    )
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _range(parameter: Parameter) -> str:
    low, high = (parameter.metadata.get(k) for k in ("minimum", "maximum"))
    if isinstance(parameter.kind, type) and issubclass(parameter.kind, StrEnum):
        return ", ".join(member.value for member in parameter.kind)
    if parameter.kind is bool:
        return "true, false"
    if "hint" in parameter.metadata:
        return str(parameter.metadata["hint"])
    if "pattern" in parameter.metadata:
        return f"`{parameter.metadata['pattern']}`"
    if low is not None and high is not None:
        return f"{low:,} to {high:,}"
    return f"{low:,} or more" if low is not None else "text"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _cell(value: str) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
