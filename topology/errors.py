"""What a bad catalogue raises."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong with a catalogue."""

    file: str
    """Path of the catalogue as the reader was given it."""
    line: int
    """First line of the key, from 1."""
    key: str
    """Dotted path of the key; empty for the file as a whole."""
    message: str
    """The value given and what is allowed."""
    remedy: str
    """What to do about it."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}"
        key = f" {self.key}:" if self.key else ""
        end = "" if self.remedy.endswith("?") else "."
        return f"{place}:{key} {self.message}: {self.remedy}{end}"


class CatalogueError(ValueError):
    """A catalogue that cannot be used; carries every problem found, not the first."""

    problems: tuple[Problem, ...]
    """In order of their line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.line, p.key)))
        super().__init__("\n".join(str(problem) for problem in self.problems))
