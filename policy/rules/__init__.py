"""The rules, one module a subject."""

from __future__ import annotations

import functools
from types import ModuleType

from policy.rule import Rule
from policy.rules import (
    access,
    balancer,
    cache,
    database,
    edge,
    engine,
    identity,
    messaging,
    monitoring,
    network,
    run,
    storage,
    tls,
)

MODULES: tuple[ModuleType, ...] = (
    run,
    access,
    balancer,
    tls,
    edge,
    cache,
    database,
    storage,
    messaging,
    network,
    identity,
    monitoring,
    engine,
)


@functools.cache
def every() -> tuple[Rule, ...]:
    """All rules, by module in reading order."""
    return tuple(
        value
        for module in MODULES
        for value in vars(module).values()
        if isinstance(value, Rule)
    )


@functools.cache
def by_id() -> dict[str, Rule]:
    """All rules by their id."""
    return {rule.id: rule for rule in every()}
