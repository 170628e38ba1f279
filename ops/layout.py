"""`meridian layout move`: the state of one stack into seventeen, and back.

Resources stay as they are; only which stack knows them changes. Every stack's state is
kept beside the new one until the whole move is done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from typing import Any

import topology
from ops import backend, backups, fleet, stack, world
from ops.errors import BAD_INPUT, CommandError
from ops.paths import relative
from ops.stack import Stack
from topology import Catalogue, slices
from topology.catalogue import Layout

Json = dict[str, Any]
ROOT_TYPE = "pulumi:pulumi:Stack"
ENGINE_PROVIDER = "pulumi:providers:pulumi"
"""The engine's own, of lookups between stacks; it is made again when it is needed."""
OWNERS = {
    "meridian:index:Foundation": slices.FOUNDATION,
    "meridian:index:GlobalLB": slices.EDGE,
    "meridian:index:BurstBudget": slices.EDGE,
    "meridian:index:Observability": slices.EDGE,
}
"""Slice of each component at the top; a RegionalCell's is its region."""


def move(environment: str) -> Json:
    """Move the state to the stacks that the catalogue's layout names."""
    catalogue = topology.load(environment)
    with world.one_at_a_time():
        targets = fleet.targets(catalogue)
        sources = [s for s in _others(catalogue) if stack.resources(s)]
        if not sources:
            return {"layout": str(catalogue.layout), "moved": 0, "backup": None}
        _refuse_both(catalogue, targets)
        for note in fleet.prepare([*sources, *targets]):
            raise CommandError(f"{note}: bring the old layout up once, then move")
        backup = backups.save([*sources, *targets])
        made = {target: _state(target, sources) for target in targets}
        for target, resources in made.items():
            _write(target, resources, like=sources[0])
        for source in sources:
            _write(source, [], like=source)
        moved = sum(len(resources) for resources in made.values())
    return {
        "layout": str(catalogue.layout),
        "moved": moved,
        "backup": relative(backup),
    }


def _others(catalogue: Catalogue) -> list[Stack]:
    """Stacks of the layout that the catalogue does not have."""
    whole = catalogue.layout is Layout.WHOLE
    pieces = slices.sliced(catalogue) if whole else (slices.WORLD,)
    return [stack.stack(catalogue.environment, piece) for piece in pieces]


def _refuse_both(catalogue: Catalogue, targets: Iterable[Stack]) -> None:
    held = [t for t in targets if stack.resources(t)]
    if held:
        raise CommandError(
            f"both layouts of {catalogue.environment} hold resources "
            f"({held[0].project}/{held[0].name} too): a move that stopped is put back "
            "by copying its backup below .meridian/state-backups/ over the state",
            BAD_INPUT,
        )


def owner(resource: Json, by_urn: dict[str, Json]) -> slices.Slice | None:
    """Slice of a resource, by the component at its top; None for a stack's own."""
    top = resource
    while (parent := by_urn.get(top.get("parent", ""))) and parent["type"] != ROOT_TYPE:
        top = parent
    if top["type"] == "meridian:index:RegionalCell":
        return slices.cell(top["urn"].rsplit("::", 1)[-1])
    return OWNERS.get(top["type"])


def _state(target: Stack, sources: Sequence[Stack]) -> list[Json]:
    """Resources of a target, gathered from the sources, under its own names."""
    found: list[Json] = []
    provider = ""
    for source in sources:
        resources = stack.resources(source)
        by_urn = {r["urn"]: r for r in resources}
        for resource in resources:
            kind = resource["type"]
            if kind == ENGINE_PROVIDER:
                continue
            its = owner(resource, by_urn)
            shared = its is None and kind not in {r["type"] for r in found}
            wanted = target.piece in (slices.WORLD, its)
            if not (shared or (its is not None and wanted)):
                continue
            made = _renamed(resource, source, target)
            if kind == ROOT_TYPE:
                made.pop("outputs", None)
            elif its is None:
                provider = f"{made['urn']}::{made['id']}"
            elif made.get("provider"):
                made["provider"] = provider
            found.append(made)
    return _linked(found)


def _renamed(resource: Json, source: Stack, target: Stack) -> Json:
    """A resource with the names of another stack in it."""
    text = json.dumps(resource)
    old, new = (f"urn:pulumi:{s.name}::{s.project}::" for s in (source, target))
    text = text.replace(old, new)
    old, new = (f"{ROOT_TYPE}::{s.project}-{s.name}" for s in (source, target))
    made: Json = json.loads(text.replace(f'{old}"', f'{new}"'))
    return made


def _linked(resources: list[Json]) -> list[Json]:
    """Only what is in the same stack can be depended on."""
    known = {r["urn"] for r in resources}
    for resource in resources:
        kept = [urn for urn in resource.get("dependencies") or [] if urn in known]
        if "dependencies" in resource:
            resource["dependencies"] = kept
        if "propertyDependencies" in resource:
            resource["propertyDependencies"] = {
                name: [urn for urn in urns or [] if urn in known]
                for name, urns in resource["propertyDependencies"].items()
            }
    return resources


def _write(target: Stack, resources: list[Json], like: Stack) -> None:
    """Replace a stack's resources whole; manifest and secrets are its neighbour's."""
    document = json.loads(target.state.read_text())
    latest = document["checkpoint"].get("latest")
    if not latest:
        model = json.loads(like.state.read_text())["checkpoint"]["latest"]
        latest = {**model, "resources": []}
    latest["resources"] = resources
    document["checkpoint"]["latest"] = latest
    scratch = target.state.with_suffix(".new")
    scratch.write_text(json.dumps(document))
    os.replace(scratch, target.state)
    backend.prepare(target)
