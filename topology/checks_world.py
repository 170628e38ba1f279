"""Rules on stand-ins, roll-out and events: names that must be the catalogue's own."""

import difflib
from collections.abc import Iterator
from datetime import datetime

from topology import limits
from topology.blocks import DatabaseEdition
from topology.catalogue import Catalogue
from topology.events import FORM

Report = tuple[str, str, str]
"""Key, message, remedy."""


def find(catalogue: Catalogue) -> Iterator[Report]:
    """Every problem of this kind."""
    yield from _failover(catalogue)
    yield from _canary(catalogue)
    yield from _events(catalogue)
    yield from _plus(catalogue)


def _plus(catalogue: Catalogue) -> Iterator[Report]:
    """ENTERPRISE_PLUS has fixed shapes; another is refused when it is created."""
    if catalogue.database.edition is not DatabaseEdition.ENTERPRISE_PLUS:
        return
    for role, tier in catalogue.tiers.items():
        cpu, memory = tier.database_cpu, tier.database_memory_gib
        wanted = cpu * limits.PLUS_GIB_PER_VCPU
        if cpu not in limits.PLUS_CPU_CHOICES:
            allowed = ", ".join(str(choice) for choice in limits.PLUS_CPU_CHOICES)
            yield (
                f"tiers.{role}.database_cpu",
                f"{cpu} vCPU is no shape of ENTERPRISE_PLUS",
                f"use one of {allowed}",
            )
        elif memory != wanted:
            yield (
                f"tiers.{role}.database_memory_gib",
                f"{memory} GiB is no shape of ENTERPRISE_PLUS with {cpu} vCPU",
                f"use {wanted}",
            )


def _failover(catalogue: Catalogue) -> Iterator[Report]:
    serving = [name for name, region in catalogue.regions.items() if region.serving]
    for name, region in catalogue.regions.items():
        partner, key = region.failover, f"regions.{name}.failover"
        others = [other for other in serving if other != name]
        if partner is None:
            continue
        if partner == name:
            yield key, f"{name} fails over to itself", f"name {_any(others)}"
        elif partner not in catalogue.regions:
            yield (
                key,
                f"{partner} is no region of this catalogue",
                nearest(partner, others),
            )
        elif partner not in serving:
            yield (
                key,
                f"{partner} does not serve, so it stands in for nobody",
                f"set serving: true for it, or name {_any(others)}",
            )


def _canary(catalogue: Catalogue) -> Iterator[Report]:
    canary = catalogue.rollout.canary
    if canary is not None and canary not in catalogue.regions:
        yield (
            "rollout.canary",
            f"{canary} is no region of this catalogue",
            nearest(canary, list(catalogue.regions)),
        )


def _events(catalogue: Catalogue) -> Iterator[Report]:
    for name, event in (catalogue.events or {}).items():
        try:
            datetime.strptime(event.start, FORM)
        except ValueError:
            yield (
                f"events.{name}.start",
                f"{event.start} is no day of the calendar",
                "write a date and time in UTC, such as 2026-07-19T18:00Z",
            )
        for region, times in (event.regions or {}).items():
            key = f"events.{name}.regions.{region}"
            if region not in catalogue.regions:
                yield (
                    key,
                    f"{region} is no region of this catalogue",
                    nearest(region, list(catalogue.regions)),
                )
            elif times < 1:
                yield key, f"{times:g} is below the baseline of 1", "use 1 or more"


def nearest(name: str, known: list[str]) -> str:
    """The known name that was meant, or all of them."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"use one of {', '.join(known)}"


def _any(names: list[str]) -> str:
    return " or ".join(names) or "another region, after declaring one that serves"
