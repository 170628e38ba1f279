"""Arithmetic that must hold for any catalogue."""

import dataclasses
import ipaddress
import math
from itertools import combinations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from topology import Catalogue, capacity, load, make_plan
from topology.checks import check
from topology.plan import SUMMED
from topology.quantities import NEEDS

BASE = load("prod")
NAMES = list(BASE.regions)


def with_regions(changes: dict[str, dict[str, object]]) -> Catalogue:
    regions = {
        name: dataclasses.replace(BASE.regions[name], **change)  # type: ignore[arg-type]
        for name, change in changes.items()
    }
    return dataclasses.replace(BASE, regions={**BASE.regions, **regions})


def faults(catalogue: Catalogue) -> list[str]:
    return [p.message for p in check(catalogue, "file", lambda key: 1)]


networks = st.builds(
    lambda base, prefix: str(
        ipaddress.IPv4Network(
            (int(ipaddress.IPv4Address("100.64.0.0")) + base, prefix), False
        )
    ),
    st.integers(0, 2**22 - 1),
    st.integers(12, 28),
)


@settings(deadline=None, max_examples=150)
@given(st.lists(networks, min_size=15, max_size=15))
def test_a_catalogue_without_problems_has_no_overlapping_ranges(
    ranges: list[str],
) -> None:
    catalogue = with_regions(
        {name: {"cidr": cidr} for name, cidr in zip(NAMES, ranges, strict=True)}
    )
    parsed = [ipaddress.IPv4Network(cidr) for cidr in ranges]
    overlaps = any(a.overlaps(b) for a, b in combinations(parsed, 2))
    told = any("overlaps" in m or "is the same as" in m for m in faults(catalogue))
    assert overlaps == told


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=15, max_size=15),
)
def test_accepted_shares_add_up_to_one(shares: list[float | None]) -> None:
    tiers = {
        role: dataclasses.replace(tier, traffic_share=None)
        for role, tier in BASE.tiers.items()
    }
    catalogue = dataclasses.replace(
        with_regions(
            {n: {"traffic_share": s} for n, s in zip(NAMES, shares, strict=True)}
        ),
        tiers=tiers,
    )
    given_total = math.fsum(share for share in shares if share is not None)
    problems = [m for m in faults(catalogue) if "add up" in m]
    made = capacity.shares(catalogue)
    if not problems:
        assert math.isclose(math.fsum(made.values()), 1.0, abs_tol=1e-5)
        assert all(share >= 0 for share in made.values())
    else:
        assert None not in shares or given_total >= 1


@settings(deadline=None, max_examples=60)
@given(
    streams=st.integers(1, 10**10),
    per_connection=st.integers(1, 10_000),
    concurrency=st.integers(1, 1000),
    burst=st.floats(1, 20),
)
def test_totals_are_sums_and_instances_hold_their_streams(
    streams: int, per_connection: int, concurrency: int, burst: float
) -> None:
    traffic = dataclasses.replace(
        BASE.traffic,
        streams=streams,
        streams_per_connection=per_connection,
        burst_multiplier=burst,
    )
    service = dataclasses.replace(BASE.service, concurrency=concurrency)
    catalogue = dataclasses.replace(BASE, traffic=traffic, service=service)
    plan = make_plan(catalogue)
    for key in SUMMED:
        assert plan.totals[key] == sum(getattr(r, key) for r in plan.regions.values())
    each = plan.model.value("streams_per_instance")
    for region in plan.regions.values():
        assert region.instances * each >= region.streams - 1
        if region.binding == "connections":
            assert (region.instances - 1) * each <= region.streams
        needs = [plan.model.value(f"instances_by_{n}", region.name) for n in NEEDS]
        assert region.instances == max(needs)
        assert region.instances_max >= region.instances
        assert region.addresses_rollout == 2 * region.addresses_max
    assert not [f for f in plan.findings if f.code == "capacity-baseline"]


@given(st.integers(1, 1_000_000))
def test_the_proposed_subnet_holds_what_is_needed_and_its_half_does_not(
    needed: int,
) -> None:
    prefix = capacity.smallest_prefix(needed)
    assert capacity.usable_addresses(f"0.0.0.0/{prefix}") >= needed
    if prefix < 26:
        assert capacity.usable_addresses(f"0.0.0.0/{prefix + 1}") < needed


@settings(deadline=None, max_examples=60)
@given(minimum=st.integers(1, 100), maximum=st.integers(1, 100))
def test_a_maximum_is_accepted_exactly_when_it_is_not_below_the_minimum(
    minimum: int, maximum: int
) -> None:
    catalogue = with_regions(
        {"us-east1": {"min_instances": minimum, "max_instances": maximum}}
    )
    told = [message for message in faults(catalogue) if "is below min" in message]
    assert bool(told) == (maximum < minimum)


@settings(deadline=None, max_examples=40)
@given(vcpu=st.integers(1, 50_000), memory=st.integers(1, 200_000))
def test_quota_findings_appear_exactly_when_the_grant_is_too_small(
    vcpu: int, memory: int
) -> None:
    quota = dataclasses.replace(BASE.quota, vcpu=vcpu, memory_gib=memory)
    plan = make_plan(dataclasses.replace(BASE, quota=quota))
    assume(plan.regions)
    found = {(f.place, f.code) for f in plan.errors if f.code.startswith("quota")}
    expected = {
        (region.name, code)
        for region in plan.regions.values()
        for code, needed, granted in (
            ("quota-cpu", region.vcpu_max, vcpu),
            ("quota-memory", region.memory_gib_max, memory),
        )
        if needed > granted
    }
    assert found == expected
