"""A rule, what it finds, and how rules are written.

    @rule("run-timeout-range", MANDATORY, "A request may last an hour.", RUN, SERVICE)
    def timeout_range(record: Record) -> Iterator[Fault]: ...

`rule` looks at one resource, `relation` at one resource among all others. A rule is
MANDATORY where Google refuses the resource, where data is exposed or lost, or where
the platform cannot work; ADVISORY where it works, but not as intended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from policy.field import Fault
from policy.record import Record
from policy.world import World

__all__ = ["ADVISORY", "MANDATORY", "Fault", "Level", "Rule", "Violation"]

One = Callable[[Record], Iterable[Fault]]
Among = Callable[[Record, World], Iterable[Fault]]

ANY = "*"
"""Token of a rule for every resource."""


class Level(Enum):
    """What a violation does."""

    MANDATORY = "mandatory"
    """Stops the update."""
    ADVISORY = "advisory"
    """Is told."""


MANDATORY, ADVISORY = Level.MANDATORY, Level.ADVISORY


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A rule that a resource breaks."""

    rule: str
    """Id of the rule."""
    level: Level
    """What follows."""
    urn: str
    """The resource."""
    name: str
    """Its logical name."""
    fault: Fault
    """Place, value, limit, remedy."""

    @property
    def message(self) -> str:
        """One sentence: resource, place, value, limit, remedy."""
        f = self.fault
        return f"{self.name}: {f.place} is {f.value}; {f.limit}: {f.remedy}"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule as a plain function over records."""

    id: str
    """Stable, kebab case; never reused for something else."""
    level: Level
    """What a violation does."""
    says: str
    """The rule in one sentence."""
    source: str
    """Page and date."""
    tokens: tuple[str, ...]
    """Types it looks at; `*` for all."""
    among: bool
    """Whether it needs the other resources of the stack."""
    check: Among
    """Yields what is wrong with a record."""

    def applies(self, record: Record) -> bool:
        return ANY in self.tokens or record.token in self.tokens

    def violations(self, record: Record, world: World) -> list[Violation]:
        """What `record` breaks."""
        if not self.applies(record):
            return []
        return [
            Violation(
                rule=self.id,
                level=self.level,
                urn=record.urn,
                name=record.name,
                fault=fault,
            )
            for fault in self.check(record, world)
        ]


def rule(
    name: str, level: Level, says: str, source: str, *tokens: str
) -> Callable[[One], Rule]:
    """Makes a rule of a function over one record."""

    def make(check: One) -> Rule:
        return Rule(
            id=name,
            level=level,
            says=says,
            source=source,
            tokens=tokens,
            among=False,
            check=lambda record, _: check(record),
        )

    return make


def relation(
    name: str, level: Level, says: str, source: str, *tokens: str
) -> Callable[[Among], Rule]:
    """Makes a rule of a function over one record among all of its stack."""

    def make(check: Among) -> Rule:
        return Rule(
            id=name,
            level=level,
            says=says,
            source=source,
            tokens=tokens,
            among=True,
            check=check,
        )

    return make
