"""A change goes through the world so that a bad one is stopped early."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topology import Plan, load, make_plan, slices
from topology.waves import Wave, back_each_other, blast_radius, canary, waves


def order(found: tuple[Wave, ...]) -> list[slices.Slice]:
    return [piece for wave in found for piece in wave.slices]


def hold(plan: Plan) -> None:
    """What every order of waves must hold."""
    found = waves(plan)
    pieces = order(found)
    assert sorted(p.name for p in pieces) == sorted(
        p.name for p in slices.sliced(plan.catalogue)
    )
    for piece in pieces:
        for producer in slices.producers(plan.catalogue, piece):
            assert pieces.index(producer) < pieces.index(piece)
    limit = plan.catalogue.rollout.wave_share
    for wave in found:
        regions = [plan.regions[name] for name in wave.regions]
        assert len(regions) <= 1 or wave.share <= limit + 1e-6
        for one in regions:
            for other in regions:
                assert one is other or not back_each_other(one, other)


@pytest.mark.parametrize("environment", ["prod", "local"])
def test_the_worlds_go_in_safe_waves(environment: str) -> None:
    plan = make_plan(load(environment))
    hold(plan)
    assert waves(plan)[1].regions == (canary(plan),)
    assert waves(plan)[1].why == "canary"


@settings(deadline=None)
@given(data=st.data(), share=st.floats(0.01, 1))
def test_any_part_of_the_world_goes_in_safe_waves(
    data: st.DataObject, share: float
) -> None:
    catalogue = load("local")
    hubs = data.draw(
        st.sets(st.sampled_from(sorted(make_plan(catalogue).hubs)), min_size=1)
    )
    others = [n for n, r in catalogue.regions.items() if r.hub in hubs]
    kept = hubs | (data.draw(st.sets(st.sampled_from(others))) if others else set())
    chosen = data.draw(st.sampled_from([None, *sorted(kept)]))
    regions = {n: r for n, r in catalogue.regions.items() if n in kept}
    rollout = dataclasses.replace(catalogue.rollout, canary=chosen, wave_share=share)
    hold(make_plan(dataclasses.replace(catalogue, regions=regions, rollout=rollout)))


def test_a_hub_takes_the_writes_of_its_regions_down_with_it() -> None:
    plan = make_plan(load("prod"))
    assert blast_radius(plan, "us-east1") == pytest.approx(0.02)
    assert blast_radius(plan, "europe-west1") == pytest.approx(0.16 + 4 * 0.02)
    assert canary(plan) == "southamerica-east1"
