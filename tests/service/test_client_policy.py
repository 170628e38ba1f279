"""The client's rules, apart from any server."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.client.cache import Cache
from service.client.policy import Breaker, Budget, Pool, backoff


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_a_breaker_opens_probes_once_and_recovers():
    clock = Clock()
    breaker = Breaker(clock, most=3, seconds=1.0)
    for _ in range(1000):
        breaker.succeeded()
    for _ in range(3):
        assert breaker.allow()
        breaker.failed()
    assert breaker.state == "open" and not breaker.allow()
    clock.now += 1.1
    assert breaker.allow() and not breaker.allow()
    breaker.failed()
    assert breaker.state == "open"
    clock.now += 1.1
    assert breaker.allow()
    breaker.succeeded()
    assert breaker.state == "closed" and breaker.allow() and breaker.allow()


def test_one_failure_does_not_open_a_breaker():
    breaker = Breaker(Clock())
    breaker.failed()
    assert breaker.allow()


@given(st.lists(st.booleans(), max_size=300))
def test_a_budget_is_never_more_than_a_tenth_and_a_few(asked):
    budget, retries, requests = Budget(), 0, 0
    for is_new in asked:
        if is_new:
            budget.asked()
            requests += 1
        else:
            retries += budget.spend()
    assert retries <= 10 + requests / 10 + 1e-6


@given(st.integers(0, 40))
def test_a_pause_is_bounded(attempt):
    assert 0 <= backoff(attempt) <= min(2.0, 0.05 * 2**attempt)


async def test_a_pool_is_never_more_than_its_most():
    pool, busy, most = Pool(10), 0, 0

    async def work():
        nonlocal busy, most
        async with pool.slot(5, 10):
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0.002)
            busy -= 1

    await asyncio.gather(*(work() for _ in range(200)))
    assert most == 10 and busy == 0 and pool.waiting == 0


async def test_a_pool_lets_the_lower_number_go_first_and_keeps_order():
    pool, order = Pool(1), []

    async def work(name, priority):
        async with pool.slot(priority, 10):
            order.append(name)
            await asyncio.sleep(0)

    async with pool.slot(5, 1):
        names = [("a", 5), ("b", 9), ("c", 1), ("d", 5)]
        tasks = [asyncio.create_task(work(*n)) for n in names]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert order == ["c", "a", "d", "b"]


async def test_who_gives_up_waiting_leaves_no_slot_behind():
    pool = Pool(1)
    async with pool.slot(5, 1):
        for _ in range(5):
            with pytest.raises(TimeoutError):
                async with pool.slot(5, 0.01):
                    raise AssertionError("there was no slot")
    async with pool.slot(5, 0.01):
        pass


vectors = st.lists(st.floats(-1, 1, width=32), min_size=8, max_size=8)


@settings(deadline=None)
@given(vectors, vectors, st.integers(1, 50), st.integers(1, 50))
def test_different_requests_never_share_an_answer(one, other, k, l):  # noqa: E741
    first = Cache.key("me", "search", {"vector": one, "k": k})
    second = Cache.key("me", "search", {"vector": other, "k": l})
    assert (first == second) == (str(one) == str(other) and k == l)
    assert Cache.key("you", "search", {"vector": one, "k": k}) != first


def test_an_answer_is_not_kept_longer_because_it_is_read():
    clock = Clock()
    cache = Cache(10, 1.0, clock)
    cache.put(b"key", 0, {"a": 1})
    for _ in range(9):
        clock.now += 0.1
        assert cache.get(b"key", "c") == {"a": 1}
    clock.now += 0.2
    assert cache.get(b"key", "c") is None


def test_a_write_makes_answers_stale_and_what_was_asked_before_it_is_not_kept():
    cache = Cache(10, 60.0, Clock())
    cache.put(b"key", cache.version("c"), {"a": 1})
    asked_at = cache.version("c")
    cache.changed("c")
    assert cache.get(b"key", "c") is None
    cache.put(b"key", asked_at, {"old": 1})
    assert cache.get(b"key", "c") is None
    cache.changed("other")
    cache.put(b"key", cache.version("c"), {"new": 1})
    assert cache.get(b"key", "c") == {"new": 1}


def test_a_cache_is_bounded():
    cache = Cache(3, 60.0, Clock())
    for n in range(1000):
        cache.put(b"%d" % n, 0, {})
    assert len(cache) == 3
    cache.get(b"997", "c")
    cache.put(b"new", 0, {})
    assert cache.get(b"997", "c") == {} and cache.get(b"998", "c") is None
