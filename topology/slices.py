"""Slices: the layers and regions that one stack holds, and the order they go in."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from topology.catalogue import Catalogue, Layout, Role


class Layer(StrEnum):
    """What a stack declares."""

    WORLD = "world"
    FOUNDATION = "foundation"
    CELL = "cell"
    EDGE = "edge"


@dataclass(frozen=True, kw_only=True)
class Slice:
    """What one stack holds."""

    layer: Layer
    """All layers, or one of them."""
    region: str | None = None
    """Region of a cell."""

    @property
    def name(self) -> str:
        """What other slices call it: `foundation`, `edge` or the region."""
        return self.region or str(self.layer)

    @property
    def project(self) -> str:
        """Pulumi project; one a layer."""
        return "meridian" if self.layer is Layer.WORLD else f"meridian-{self.layer}"

    def stack(self, environment: str) -> str:
        """Stack name inside the project; a cell's carries its region."""
        return f"{environment}.{self.region}" if self.region else environment


WORLD = Slice(layer=Layer.WORLD)
FOUNDATION = Slice(layer=Layer.FOUNDATION)
EDGE = Slice(layer=Layer.EDGE)


def cell(region: str) -> Slice:
    """The slice of one region."""
    return Slice(layer=Layer.CELL, region=region)


def named(name: str) -> Slice:
    """The slice that others call by this name."""
    fixed = {str(made.layer): made for made in (WORLD, FOUNDATION, EDGE)}
    return fixed.get(name) or cell(name)


def stages(catalogue: Catalogue) -> tuple[tuple[Slice, ...], ...]:
    """Slices in the order of what they need; those of one stage may go together.

    Hubs come before their regions: a replica takes its primary's name from its hub.
    """

    def cells(role: Role) -> tuple[Slice, ...]:
        regions = catalogue.regions.items()
        return tuple(cell(name) for name, region in regions if region.tier is role)

    every = ((FOUNDATION,), cells(Role.HUB), cells(Role.REGIONAL), (EDGE,))
    return tuple(stage for stage in every if stage)


def sliced(catalogue: Catalogue) -> tuple[Slice, ...]:
    """Every slice of the sliced layout, in order."""
    return tuple(piece for stage in stages(catalogue) for piece in stage)


def owners(catalogue: Catalogue) -> tuple[Slice, ...]:
    """The slices whose stacks own the environment, in order."""
    return (WORLD,) if catalogue.layout is Layout.WHOLE else sliced(catalogue)


def producers(catalogue: Catalogue, piece: Slice) -> Iterator[Slice]:
    """The slices whose outputs a slice reads."""
    if piece.layer is Layer.EDGE:
        yield FOUNDATION
        for name, region in catalogue.regions.items():
            if region.serving:
                yield cell(name)
    elif piece.region:
        yield FOUNDATION
        region = catalogue.regions[piece.region]
        hubs = dict.fromkeys((region.hub, region.replica_of or region.hub))
        yield from (cell(hub) for hub in hubs if hub)
