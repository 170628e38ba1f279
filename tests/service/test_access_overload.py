"""Pressure, hysteresis and refusal by tier, over a clock of their own."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from service.access.caller import TIERS
from service.access.delay import measure_loop
from service.access.overload import (
    DWELL,
    REFUSED_AT,
    RELEASED_BELOW,
    Overload,
    raw_pressure,
)
from service.contract import ServiceError
from tests.service.access_parts import Clock


def pressed(seconds, wait, clock=None, load=None):
    """An overload that saw the same search wait for so long, 50 times a second."""
    clock = clock or Clock(0.0)
    load = load or Overload(clock)
    for _ in range(int(seconds * 50)):
        clock.now += 0.02
        load.search_wait(wait)
    return clock, load


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, 0), (0.05, 0), (0.1, 1), (0.2, 2), (0.4, 3), (60, 3), (float("nan"), 0)],
)
def test_each_doubling_of_the_wait_is_one_more(seconds, expected):
    assert raw_pressure(seconds, 0.05) == pytest.approx(expected)


def test_one_slow_search_is_no_overload():
    clock = Clock(0.0)
    load = Overload(clock)
    for _ in range(20):
        clock.now += 10
        load.search_wait(5.0)
        assert load.pressure() < REFUSED_AT["free"]
        assert not any(load.refuses(tier) for tier in TIERS)


def test_lasting_waits_refuse_free_then_standard_then_premium():
    _, load = pressed(10, 0.11)
    assert [load.refuses(t) for t in TIERS] == [True, False, False]
    _, load = pressed(10, 0.22)
    assert [load.refuses(t) for t in TIERS] == [True, True, False]
    _, load = pressed(10, 0.5)
    assert [load.refuses(t) for t in TIERS] == [True, True, True]


def test_the_loop_counts_as_much_as_the_searches():
    clock = Clock(0.0)
    load = Overload(clock)
    for _ in range(40):
        clock.now += 0.25
        load.loop_delay(0.06)
    assert 1.0 < load.pressure() < 1.5
    for _ in range(100):
        clock.now += 0.25
        load.loop_delay(0.001)
        load.search_wait(0.22)
    assert 1.9 < load.pressure() < 2.2


def test_pressure_falls_when_nothing_waits_and_when_nothing_comes():
    clock, load = pressed(10, 0.5)
    clock.now += 60
    assert load.pressure() < 0.01
    clock, load = pressed(10, 0.5)
    pressed(30, 0.0, clock, load)
    assert load.pressure() < 0.01


def test_a_refusal_says_when_to_come_back_and_that_time_is_enough():
    clock, load = pressed(10, 0.5)
    for tier in TIERS:
        with pytest.raises(ServiceError, match=tier) as refused:
            load.admit(tier)
        assert refused.value.code == "overloaded"
        assert refused.value.elsewhere
    wait = refused.value.details["retry_after"]
    with pytest.raises(ServiceError) as refused:
        load.admit("free")
    assert refused.value.details["retry_after"] > wait
    clock.now += refused.value.details["retry_after"] + 0.2
    load.admit("free")


def test_streams_are_parked_by_tier_and_premium_s_never():
    _, load = pressed(10, 0.22)
    assert [load.may_hold(t) for t in TIERS] == [False, False, True]
    _, load = pressed(10, 0.5)
    assert [load.may_hold(t) for t in TIERS] == [False, False, True]


def test_streams_of_low_priority_are_parked_first():
    load = Overload(Clock(0.0))
    for floor, expected in (
        (0.0, [True, True, True]),
        (0.5, [False, True, True]),
        (1.0, [False, False, True]),
        (1.4, [False, False, False]),
    ):
        load.floor = floor
        assert [load.may_hold(t, "low") for t in TIERS] == expected
        assert all(load.may_hold(t) for t in TIERS if t != "free")


def test_the_floor_refuses_by_itself():
    load = Overload(Clock(0.0))
    for floor, expected in ((0, 0), (1, 1), (2, 2), (3, 3)):
        load.floor = float(floor)
        assert load.pressure() == floor
        assert [load.refuses(t) for t in TIERS] == [n < expected for n in range(3)]


def test_a_tier_is_let_in_only_well_below_its_threshold():
    clock = Clock(0.0)
    load = Overload(clock)
    load.floor = 1.0
    assert load.refuses("free")
    clock.now += DWELL
    load.floor = 1.0 - RELEASED_BELOW + 0.01
    assert load.refuses("free")
    load.floor = 1.0 - RELEASED_BELOW - 0.01
    assert not load.refuses("free")
    load.floor = 0.99
    assert not load.refuses("free")


STEPS = some.lists(
    some.tuples(some.floats(0.001, 2.0), some.floats(0.0, 3.0), some.booleans()),
    max_size=60,
)


@settings(max_examples=80, deadline=None)
@given(STEPS)
def test_pressure_stays_in_range_and_tiers_fall_in_order(steps):
    clock = Clock(0.0)
    load = Overload(clock)
    for pause, seconds, loop in steps:
        clock.now += pause
        (load.loop_delay if loop else load.search_wait)(seconds)
        assert 0.0 <= load.pressure() <= 3.0
        for tier in TIERS:
            if load.pressure() >= REFUSED_AT[tier]:
                assert load.refuses(tier)
            if load.pressure() < REFUSED_AT[tier] - RELEASED_BELOW - 1e-9:
                since = load._refused_since.get((tier, 1.0))
                assert not load.refuses(tier) or clock.now - since < DWELL
        premium_only = load.refuses("premium") and load.pressure() >= 2.75
        assert not premium_only or (load.refuses("free") and load.refuses("standard"))


@settings(max_examples=60, deadline=None)
@given(some.lists(some.floats(0.0, 3.0), min_size=1, max_size=200), some.floats(0.1, 1))
def test_a_tier_never_flaps(floors, pause):
    """However the pressure jumps, a tier is released at most once a dwell time."""
    clock = Clock(0.0)
    load = Overload(clock)
    released, was = 0, False
    for floor in floors:
        clock.now += pause
        load.floor = floor
        now = load.refuses("free")
        released += was and not now
        was = now
    assert released <= len(floors) * pause / DWELL


@pytest.mark.asyncio
async def test_a_loop_that_is_held_up_shows():
    import time

    samples = []

    class Recorder:
        def loop_delay(self, seconds):
            samples.append(seconds)

    task = asyncio.create_task(measure_loop(Recorder(), 0.01))
    await asyncio.sleep(0.03)
    time.sleep(0.2)
    await asyncio.sleep(0.03)
    task.cancel()
    assert max(samples) > 0.15
