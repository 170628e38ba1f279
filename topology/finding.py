"""One finding, and how bad it is."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """An error refuses an `up`; a warning and an info are only said."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Level).index(self)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One limit met."""

    level: Level
    """How bad."""
    code: str
    """Stable name of the rule."""
    place: str
    """Region, or `world`."""
    message: str
    """What is needed and what there is."""
    remedy: str
    """What to do."""

    def __str__(self) -> str:
        return f"{self.level}: {self.place} {self.message}: {self.remedy} [{self.code}]"

    def to_json(self) -> dict[str, str]:
        """As `meridian plan --json` prints it."""
        return {
            "level": str(self.level),
            "code": self.code,
            "place": self.place,
            "message": self.message,
            "remedy": self.remedy,
        }
