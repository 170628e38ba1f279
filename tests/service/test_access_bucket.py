"""A bucket of tokens, whatever is asked of it and when."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from service.access.bucket import Bucket, Rate


@pytest.mark.parametrize("wrong", [(0, 1), (-1, 1), (1, 0.5), (math.inf, 1), (1, 0)])
def test_a_rate_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="burst"):
        Rate(*wrong)


STEPS = some.lists(
    some.tuples(some.floats(-0.5, 3.0), some.floats(0.1, 30.0)), max_size=80
)


@settings(max_examples=150, deadline=None)
@given(some.floats(0.01, 100), some.floats(1, 50), STEPS)
def test_a_bucket_grants_at_most_its_rate_and_its_burst(per_second, burst, steps):
    """In every window: rate x time + burst (or the largest single cost)."""
    rate, bucket = Rate(per_second, burst), Bucket()
    now, granted = 0.0, []
    for pause, cost in steps:
        # A clock that goes back fills nothing twice.
        now = max(0.0, now + max(pause, 0.0))
        if bucket.take(rate, cost, now) == 0.0:
            granted.append((now, cost))
    for n in range(len(granted)):
        total = 0.0
        most = burst
        for at, cost in granted[n:]:
            total += cost
            most = max(most, cost)
            room = per_second * (at - granted[n][0]) + most
            assert total <= room * (1 + 1e-9) + (cost if cost > burst else 0)


@settings(max_examples=150, deadline=None)
@given(some.floats(0.01, 100), some.floats(1, 50), STEPS)
def test_the_wait_a_bucket_names_is_enough_and_no_more(per_second, burst, steps):
    rate, bucket, now = Rate(per_second, burst), Bucket(), 0.0
    for pause, cost in steps:
        now += max(pause, 0.0)
        wait = bucket.take(rate, cost, now)
        if wait > 1e-6:
            assert bucket.take(rate, cost, now + wait * 0.99) > 0
            assert bucket.take(rate, cost, now + wait * (1 + 1e-9) + 1e-9) == 0
            now += wait * 1.001


def test_a_share_is_a_part_that_still_grants_one():
    assert Rate(100, 50).divided(4) == Rate(25, 12.5)
    assert Rate(1, 2).divided(10) == Rate(0.1, 1)
    assert Rate(1, 2).divided(0) == Rate(1, 2)
