"""Runs rules over records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache

from policy.record import Record
from policy.rule import ANY, Rule, Violation
from policy.world import World


def check(records: Iterable[Record], rules: Iterable[Rule]) -> list[Violation]:
    """Every violation, by resource in the order of the program."""
    world = World(records)
    by_token = _by_token(tuple(rules))
    return [
        violation
        for record in world.records
        if record.custom
        for each in (*by_token.get(ANY, ()), *by_token.get(record.token, ()))
        for violation in each.violations(record, world)
    ]


@lru_cache(maxsize=8)
def _by_token(rules: tuple[Rule, ...]) -> dict[str, list[Rule]]:
    made: dict[str, list[Rule]] = defaultdict(list)
    for each in rules:
        for token in each.tokens:
            made[token].append(each)
    return dict(made)
