"""Waves: in which order a change goes from region to region, and why."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from topology import slices
from topology.plan import Plan, RegionPlan
from topology.slices import Slice


@dataclass(frozen=True, kw_only=True)
class Wave:
    """Slices that are applied together, then watched."""

    slices: tuple[Slice, ...]
    """In the order of what they need."""
    why: str
    """Why they go now, and together."""
    share: float
    """Share of the world's streams that they carry."""
    bake_seconds: int = 0
    """How long it is watched before the next begins."""

    @property
    def regions(self) -> tuple[str, ...]:
        """Regions of its cells."""
        return tuple(piece.region for piece in self.slices if piece.region)


def waves(plan: Plan) -> tuple[Wave, ...]:
    """Foundation, the canary, the other regions by blast radius, then the edge.

    A hub goes before the regions that copy it, and no wave holds two regions of which
    one is the other's first stand-in: one of them must be sound to take the traffic.
    """
    every = (
        Wave(slices=(slices.FOUNDATION,), why="every region stands on it", share=0.0),
        *_cells(plan),
        Wave(slices=(slices.EDGE,), why="it reads what every cell exports", share=0.0),
    )
    bake = plan.catalogue.rollout.bake_seconds
    return tuple(replace(wave, bake_seconds=bake) for wave in every)


def blast_radius(plan: Plan, region: str) -> float:
    """Share of the streams that suffer when a region's change goes wrong.

    Its own; in a hub also those of the regions whose writes it takes.
    """
    return sum(r.share for r in plan.regions.values() if region in (r.name, r.hub))


def canary(plan: Plan) -> str:
    """The region that goes first: as the catalogue says, else the smallest hub."""
    chosen = plan.catalogue.rollout.canary
    return chosen or min(plan.hubs, key=lambda hub: (blast_radius(plan, hub), hub))


def back_each_other(one: RegionPlan, other: RegionPlan) -> bool:
    """Whether one region is the other's first stand-in."""
    return one.name in other.failover[:1] or other.name in one.failover[:1]


def _cells(plan: Plan) -> Iterator[Wave]:
    first = canary(plan)
    ahead = [hub for hub in _needs(plan, first) if hub != first]
    for name in (*ahead, first):
        region = plan.regions[name]
        why = "canary" if name == first else f"hub of the canary {first}"
        yield Wave(slices=(slices.cell(name),), why=why, share=region.share)
    done = {*ahead, first}
    left = [name for name in plan.regions if name not in done]
    while left:
        chosen = _next(plan, left, done)
        done.update(chosen)
        left = [name for name in left if name not in done]
        share = sum(plan.regions[name].share for name in chosen)
        yield Wave(
            slices=tuple(slices.cell(name) for name in chosen),
            why=_why(plan, chosen),
            share=share,
        )


def _next(plan: Plan, left: Sequence[str], done: set[str]) -> list[str]:
    """The next wave: the smallest blast radius first, as much as the share allows."""
    ready = [name for name in left if set(_needs(plan, name)) <= {*done, name}]
    ready.sort(key=lambda name: (blast_radius(plan, name), name))
    chosen: list[str] = []
    room = plan.catalogue.rollout.wave_share
    for name in ready:
        region = plan.regions[name]
        apart = not any(back_each_other(region, plan.regions[c]) for c in chosen)
        if not chosen or (apart and region.share <= room + 1e-9):
            chosen.append(name)
            room -= region.share
    return chosen


def _needs(plan: Plan, name: str) -> tuple[str, ...]:
    """Hubs that a region reads from: of its writes and of its copy."""
    region = plan.regions[name]
    return tuple(dict.fromkeys((region.hub, region.database.replica_of or name)))


def _why(plan: Plan, chosen: Sequence[str]) -> str:
    radius = max(blast_radius(plan, name) for name in chosen)
    text = f"blast radius up to {radius:.0%} of the streams each"
    return f"{text}; none stands in for another" if len(chosen) > 1 else text
