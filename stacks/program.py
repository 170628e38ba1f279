"""The programs of the sliced layout: catalogue -> plan -> one layer -> exports."""

import pulumi

from stacks.cell import cell
from stacks.edge import edge
from stacks.environment import InputError, World, open_world
from stacks.foundation import foundation
from stacks.upstream import upstream
from stacks.wiring import Wiring, WiringError
from topology import slices
from topology.catalogue import Layout
from topology.revision import revision


def run(layer: slices.Layer) -> None:
    """Declare the slice that the stack's name or configuration asks for."""
    region = _named() if layer is slices.Layer.CELL else None
    world = open_world(Layout.SLICED, layer, region)
    wiring = Wiring(upstream(world.catalogue.environment))
    try:
        PROGRAMS[layer](world, wiring)
    except WiringError as error:
        raise InputError(str(error)) from error


def _foundation(world: World, wiring: Wiring) -> None:
    foundation(world, wiring)
    wiring.export("foundation")


def _cell(world: World, wiring: Wiring) -> None:
    name = _region(world)
    cell(world, wiring, world.plan.regions[name])
    wiring.export(name, revision=revision(world.plan, name))


def _edge(world: World, wiring: Wiring) -> None:
    _refuse_stale(world, wiring)
    edge(world, wiring)
    wiring.export("edge", domain=world.catalogue.domain, verdict=world.plan.verdict)


PROGRAMS = {
    slices.Layer.FOUNDATION: _foundation,
    slices.Layer.CELL: _cell,
    slices.Layer.EDGE: _edge,
}


def _region(world: World) -> str:
    """Region of a cell's stack: its configuration, else the end of its name."""
    region = _named()
    if region in world.plan.regions:
        return region
    known = ", ".join(world.plan.regions)
    raise InputError(
        f"stack {pulumi.get_stack()}: region {region!r} is not in the catalogue of "
        f"{world.catalogue.environment}; it has {known}: name the stack "
        "<environment>.<region>, or set meridian:region"
    )


def _named() -> str:
    """What the stack calls its region, known or not."""
    _, _, named = pulumi.get_stack().partition(".")
    return pulumi.Config("meridian").get("region") or named


def _refuse_stale(world: World, wiring: Wiring) -> None:
    """The edge goes last: an older cell is listed in a preview, refused by an `up`."""
    stale = [
        f"{name} (applied from {found}, catalogue is {wanted})"
        for name in world.plan.serving
        if (found := wiring.take(name, "revision"))
        != (wanted := revision(world.plan, name))
    ]
    if not stale:
        return
    text = f"cells older than the catalogue: {', '.join(stale)}"
    if not pulumi.runtime.is_dry_run():
        raise InputError(f"{text}: apply them first, the edge goes last")
    pulumi.log.warn(f"{text}: an `up` of the edge would be refused")
