"""Every key of a catalogue does something, and the reference page says what."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cache
from typing import Any

import pytest
from recording import Declare

from dashboards import alert_policies, dashboards
from topology import Catalogue, bill, events, load, make_plan, parameters, slices
from topology.blocks import EventSettings, ProjectSettings, QuotaSettings
from topology.callers import CallerSettings, IssuerSettings, RateSettings, Tier
from topology.checks import check
from topology.trace import lookup
from topology.waves import waves

PARAMETERS = {parameter.key: parameter for parameter in parameters.parameters()}
DIGEST = f"sha256:{'b' * 64}"

CHOSEN: Mapping[str, Any] = {
    "environment": "other",
    "project": "other-project",
    "projects.foundation": "other-project",
    "projects.cells": "other-project",
    "projects.edge": "other-project",
    "project_number": "999999999999",
    "prefix": "other",
    "domain": "other.example.com",
    "image.repository": "other",
    "image.location": "europe",
    "image.name": "other",
    "image.digest": DIGEST,
    "network.cells": "100.64.0.0/16",
    "network.services": "10.96.0.0/16",
    "database.version": "POSTGRES_16",
    "database.name": "other",
    "database.pooled_connections": 500,
    "cache.version": "REDIS_6_X",
    "cache.eviction": "allkeys-lru",
    "telemetry.image": f"collector@{DIGEST}",
    "budget.billing_account": "AAAAAA-000000-000000",
    "budget.currency": "EUR",
    "callers.issuers.*.issuer": "https://other.example.com",
    "callers.issuers.*.audience": "other",
    "callers.issuers.*.jwks_url": "https://other.example.com/keys",
    "callers.issuers.*.tenant_claim": "other-tenant",
    "callers.issuers.*.scopes_claim": "other-scope",
    "callers.issuers.*.tier_claim": "other-tier",
    "objectives.runbooks": "https://other.example.com/runbooks",
    "rollout.canary": "us-central1",
    "events.*.start": "2026-07-20T18:00Z",
    "events.*.regions.*": 20.0,
    "regions.*.cidr": "100.80.32.0/20",
    "regions.*.hub": "europe-west1",
    "regions.*.failover": "europe-west1",
    "regions.*.replica_of": "europe-west1",
    "regions.*.project": "other-project",
    "regions.*.database_generation": 7,
    "regions.*.traffic_share": 0.5,
    "regions.*.tier": "hub",
    "service.cpu": 6,
    "service.root_key_sha256": "c" * 64,
    "tiers.*.min_instances": 1234,
    # What does not bind today: as much as makes it bind.
    "service.bytes_per_stream": 1_000_000,
    "service.runtime_mib": 10_000,
    "service.queries_per_instance": 1.0,
    "scaling.startup_seconds": 600.0,
    "scaling.starts_per_minute": 10,
    "scaling.seconds_to_capacity": 10,
    "budget.daily": 1000,
    "budget.hourly": 100,
}
"""Other values where arithmetic makes none."""


def base() -> Catalogue:
    """Production with two hubs and a region: quick to declare."""
    catalogue = load("prod")
    kept = ("us-east1", "us-central1", "europe-west1")
    region = catalogue.regions["us-east1"]
    stated = dataclasses.replace(region, quota=QuotaSettings(vcpu=100, memory_gib=200))
    regions = {name: catalogue.regions[name] for name in kept} | {"us-east1": stated}
    event = EventSettings(
        start="2026-07-19T18:00Z", hours=4, multiplier=10, regions={"us-east1": 12.0}
    )
    rates = RateSettings(read=50.0, search=50.0, write=50.0, watch=50.0, manage=50.0)
    issuer = IssuerSettings(
        issuer="https://issuer.example.com",
        audience="stream",
        jwks_url="https://issuer.example.com/keys",
    )
    callers = CallerSettings(rates={Tier.FREE: rates}, issuers={"staff": issuer})
    return dataclasses.replace(
        catalogue,
        callers=callers,
        regions=regions,
        events={"final": event},
        projects=ProjectSettings(foundation=None),
    )


BASE = base()


def place_of(key: str) -> str:
    """The path that stands for a key with `*`."""
    names = {
        "tiers": "regional",
        "regions": "us-east1",
        "events": "final",
        "callers.rates": "free",
        "callers.issuers": "staff",
    }
    head = key.split(".*")[0]
    path = key.replace(".*", f".{names.get(head, '')}", 1)
    return path.replace(".*", ".us-east1")


def other(key: str) -> Any:
    """A value that the key does not have."""
    if key in CHOSEN:
        return CHOSEN[key]
    value = lookup(BASE, place_of(key))[0]
    kind = PARAMETERS[key].kind
    if issubclass(kind, StrEnum):
        return next(member for member in kind if member != value)
    if kind is bool:
        return not value
    if value is None:
        value = PARAMETERS[key].metadata.get("minimum", 1)
    high = PARAMETERS[key].metadata.get("maximum", 10**18)
    if kind is float:
        return min(value * 1.5 + 0.1, high)
    spread = 1 + list(PARAMETERS).index(key)  # so that few of them are equal
    return value + spread if value + spread <= high else max(1, value - 1)


def changed(record: Any, path: list[str], value: Any) -> Any:
    """The record with another value at a path."""
    name, *rest = path
    if isinstance(record, Mapping):
        inner = changed(record[name], rest, value) if rest else value
        return {**record, name: inner}
    inner = changed(getattr(record, name), rest, value) if rest else value
    return dataclasses.replace(record, **{name: inner})


def mutated(key: str) -> Catalogue:
    made: Catalogue = changed(BASE, place_of(key).split("."), other(key))
    return made


def cheap(catalogue: Catalogue) -> Iterator[str]:
    """Findings and refusals, prices, alerts and dashboards, waves, owning stacks."""
    problems = check(catalogue, "file", lambda key: 1, "prod")
    yield from (str(problem) for problem in problems)
    plan = make_plan(catalogue)
    yield from (str(finding) for finding in plan.findings)
    yield json.dumps(bill.month(plan.model).to_json())
    for event in (catalogue.events or {}).values():
        yield repr(events.bill(plan.model, event))
    yield from alert_policies(plan).values()
    yield from dashboards(plan).values()
    every = dataclasses.replace(load("prod"), rollout=catalogue.rollout)
    yield repr(waves(make_plan(every)))
    yield repr(slices.owners(catalogue))


@cache
def before() -> tuple[str, ...]:
    return tuple(cheap(BASE))


def inputs(world: list[Any]) -> set[str]:
    """What the engine is asked for, without the order."""
    return {
        repr((r.name, r.inputs, r.protect, r.ignore_changes, r.provider)) for r in world
    }


def test_there_are_at_least_forty_keys() -> None:
    assert len(PARAMETERS) >= 40


def test_every_key_of_the_catalogues_is_a_parameter() -> None:
    for environment in ("prod", "local", "staging"):
        for key in parameters.load_notes(environment):
            parts = key.split(".")
            if parts[0] in {"tiers", "regions", "events"} and len(parts) > 1:
                parts[1] = "*"
            starred = ".".join(parts)
            assert any(
                known == starred or known.startswith(f"{starred}.")
                for known in PARAMETERS
            ), key


def test_every_key_has_an_effect(declare: Declare) -> None:
    """Cheap effects first; what has none is declared: together, then one by one.

    A value that only the change of its key brings into the inputs shows the effect of
    that key among many; what cannot be told so (true and false) is declared alone.
    """
    silent = [key for key in PARAMETERS if not _has_effect(key)]
    world = inputs(declare(BASE))
    told = [key for key in silent if _token(key) not in " ".join(world)]
    told = [key for key in told if [_token(k) for k in told].count(_token(key)) == 1]
    together = BASE
    for key in told:
        together = changed(together, place_of(key).split("."), other(key))
    fresh = " ".join(inputs(declare(together)) - world)
    left = [key for key in silent if key not in told or _token(key) not in fresh]
    without = [key for key in left if inputs(declare(mutated(key))) == world]
    assert without == []


def _token(key: str) -> str:
    return str(other(key))


def _has_effect(key: str) -> bool:
    if key == "schema_version":  # another version is refused by the reader
        return PARAMETERS[key].metadata["maximum"] == BASE.schema_version
    return tuple(cheap(mutated(key))) != before()


def test_a_key_without_effect_would_be_found(declare: Declare) -> None:
    same = changed(BASE, ["limits", "max_batch_items"], BASE.limits.max_batch_items)
    assert tuple(cheap(same)) == before()
    assert inputs(declare(same)) == inputs(declare(BASE))


@pytest.mark.parametrize("key", sorted(PARAMETERS))
def test_a_key_is_described_with_its_range(key: str) -> None:
    parameter = PARAMETERS[key]
    assert parameter.meaning
    if parameter.kind in (int, float) and key != "schema_version":
        assert "minimum" in parameter.metadata or key == "events.*.regions.*", key


def test_the_reference_page_is_current() -> None:
    page = parameters.PATH.read_text(encoding="utf-8")
    assert page == parameters.text(), "run: python -m topology.parameters"
