"""Rates and knobs, on a real Redis that is stopped and wiped."""

import asyncio
import math
import signal
import time

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as some
from prometheus_client import Gauge

from service.access.bucket import Bucket, Lease, Rate
from service.access.knobs import GRACE, KNOBS, Knobs, checked_value
from service.access.limiter import Limiter
from service.access.peers import GONE, KEY, Peers
from service.contract import ServiceError
from service.feed import AWAY
from tests.service.access_parts import Clock, caller, redis_client
from tests.service.world import Redis

NEVER = 1e-9
"""Tokens a second of a bucket that must not fill during a test."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Redis(tmp_path_factory.mktemp("limits") / "redis")
    made.start()
    yield made
    made.process.kill()


@pytest_asyncio.fixture
async def client(server):
    made = redis_client(server.port)
    await made.flushall()
    yield made
    await made.aclose()


class Counted:
    """A client that counts the scripts it runs."""

    def __init__(self, client):
        self._client = client
        self.asked = 0
        self.ping = client.ping

    def register_script(self, text):
        script = self._client.register_script(text)

        async def run(**arguments):
            self.asked += 1
            return await script(**arguments)

        return run


def limiter(client, per_second, burst, clock=time.monotonic, **more):
    rates = {"standard": {"search": Rate(per_second, burst)}}
    return Limiter(client, rates, clock, **more)


async def spend(limits, cost=1, who=None, group="search"):
    """Whether the tokens were had."""
    try:
        wait = limits.take(who or caller(), group, cost)
        if wait is not None:
            await wait
    except ServiceError as refused:
        assert refused.code == "rate_limited"
        return False
    return True


def at_once(limits, cost=1, who=None):
    """Whether the tokens were had without waiting for anything."""
    return limits.take(who or caller(), "search", cost) is None


async def test_a_burst_is_granted_and_not_one_more(client):
    limits = limiter(client, NEVER, 30)
    granted = [await spend(limits) for _ in range(50)]
    assert granted == [True] * 30 + [False] * 20


async def test_instances_know_each_other_until_one_leaves_or_falls_silent(client):
    one, other, silent = (Peers(client) for _ in range(3))
    assert await one.beat() == 1
    assert await other.beat() == 2
    await silent.beat()
    assert await one.beat() == 3
    # As if it had been silent for as long as counts.
    (name,) = [n for n in await client.zrange(KEY, 0, -1) if n.decode() == silent._name]
    await client.zadd(KEY, {name: time.time() - GONE - 1})
    assert await one.beat() == 2
    await other.leave()
    assert await one.beat() == 1


async def test_the_last_count_rules_while_redis_is_away(server):
    client = redis_client(server.port)
    limits, counts = limiter(client, 10, 20), []

    def told(count):
        limits.instances = count
        counts.append(count)

    other = Peers(client)
    await client.flushall()
    await other.beat()
    task = asyncio.create_task(Peers(client).run(told))
    while not counts:
        await asyncio.sleep(0.01)
    server.process.kill()
    try:
        # Half of the burst of 20, and nothing of the other's.
        had = sum([await spend(limits) for _ in range(20)])
        assert limits.alone and 10 <= had <= 12
    finally:
        server.start()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.aclose()


async def test_two_instances_that_lease_at_once_share_one_bucket(server):
    clients = [redis_client(server.port) for _ in range(2)]
    await clients[0].flushall()
    rate, burst = 200.0, 40.0
    both = [limiter(c, rate, burst) for c in clients]
    granted = 0
    started = time.monotonic()

    async def press(limits):
        nonlocal granted
        while time.monotonic() - started < 3:
            had = await spend(limits)  # not in one line: others add meanwhile
            granted += had
            await asyncio.sleep(0)

    await asyncio.gather(*(press(limits) for limits in both for _ in range(8)))
    passed = time.monotonic() - started
    assert granted <= rate * passed + burst
    # Not by refusing: most of it was had, and a busy machine loses some.
    assert granted > burst + 0.25 * rate * 3
    for each in clients:
        await each.aclose()


async def test_what_is_leased_is_spent_without_asking(client):
    counted = Counted(client)
    clock = Clock(0.0)
    limits = limiter(counted, 100, 100, clock)
    assert await spend(limits)
    assert counted.asked == 1
    assert [at_once(limits) for _ in range(9)] == [True] * 9
    assert counted.asked == 1
    assert await spend(limits)
    assert counted.asked == 2


async def test_callers_that_wait_share_one_lease(client):
    counted = Counted(client)
    limits = limiter(counted, 100, 1000)
    first = [spend(limits) for _ in range(5)]
    assert all(await asyncio.gather(*first))
    assert counted.asked == 1
    # 45 wait for a lease that the first of them asked for: one more for the rest.
    assert all(await asyncio.gather(*(spend(limits) for _ in range(45))))
    assert counted.asked <= 3


async def test_a_waiter_who_leaves_takes_nothing_from_the_others(client):
    limits = limiter(client, NEVER, 3)
    tasks = [asyncio.create_task(spend(limits)) for _ in range(6)]
    await asyncio.sleep(0)
    for task in tasks[:3]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert done[3:] == [True, True, True]
    assert not await spend(limits)


async def test_a_lease_holds_no_more_than_is_left(client):
    both = [limiter(client, NEVER, 10) for _ in range(2)]
    done = await asyncio.gather(*(spend(each) for each in both for _ in range(7)))
    assert done.count(True) == 10


async def test_what_is_held_here_counts_towards_a_larger_cost(client):
    limits = limiter(client, NEVER, 6)
    tasks = [asyncio.create_task(spend(limits)) for _ in range(5)]
    await asyncio.sleep(0)
    for task in tasks[1:]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # One spent, four leased and left over, one still in the bucket.
    assert await spend(limits, 5)
    assert not await spend(limits)


async def test_rest_saves_up_no_more_than_the_burst(client):
    limits = limiter(client, 10, 2)
    assert await spend(limits, 2)
    await asyncio.sleep(0.6)
    assert await spend(limits)
    other = limiter(client, NEVER, 2)
    assert await spend(other)
    assert not await spend(other)


async def test_a_refusal_says_how_long_and_is_true(client):
    limits = limiter(client, 5, 10)
    assert await spend(limits, 10)
    with pytest.raises(ServiceError, match="search") as refused:
        await limits.take(caller(), "search", 4)
    wait = refused.value.details["retry_after"]
    assert refused.value.status == 429
    assert 0 < wait <= 0.8
    await asyncio.sleep(wait + 0.01)
    assert await spend(limits, 4)


async def test_refusals_ask_redis_once_in_a_while_only(client):
    counted = Counted(client)
    clock = Clock(0.0)
    limits = limiter(counted, 0.5, 1, clock)
    assert await spend(limits)
    asked = counted.asked
    assert not any([await spend(limits) for _ in range(50)])
    assert counted.asked == asked + 1
    clock.now += 1.0
    assert not await spend(limits)
    assert counted.asked == asked + 2


async def test_whoever_is_over_a_high_rate_keeps_redis_no_busier(client):
    counted = Counted(client)
    clock = Clock(0.0)
    limits = limiter(counted, 10_000, 1000, clock)
    assert await spend(limits, 1000)
    # Time stands still here and goes on in Redis: its tokens come back meanwhile.
    for _ in range(300):
        await spend(limits)
    asked = counted.asked
    assert asked < 60
    clock.now += 0.026
    await spend(limits, 1000)
    assert counted.asked == asked + 1


async def test_a_large_request_does_not_hold_up_small_ones(client):
    limits = limiter(client, NEVER, 10)
    assert await spend(limits, 5)
    done = await asyncio.gather(spend(limits, 8), *(spend(limits) for _ in range(5)))
    assert done == [False, True, True, True, True, True]
    assert not await spend(limits)


async def test_what_no_waiting_brings_is_refused_for_good(client):
    limits = limiter(client, 5, 10)
    with pytest.raises(ServiceError, match="at most 10") as refused:
        limits.take(caller(), "search", 11)
    assert refused.value.status == 400


async def test_tenants_and_groups_are_apart_and_what_has_no_rate_is_free(client):
    rates = {"standard": {g: Rate(NEVER, 1) for g in ("search", "write")}}
    limits = Limiter(client, rates, time.monotonic)
    assert await spend(limits)
    assert not await spend(limits)
    assert await spend(limits, group="write")
    assert await spend(limits, who=caller(tenant="other"))
    for _ in range(100):
        assert limits.take(caller(), "read") is None
        assert limits.take(caller(tier="premium"), "search", 1e9) is None


async def test_a_bucket_ends_in_redis_once_it_would_be_full(client):
    assert await spend(limiter(client, 10, 20))
    (key,) = await client.keys("limit:*")
    assert key == b"limit:acme:search"
    assert 2000 < await client.pttl(key) <= 3000


async def test_old_leases_are_given_up(client):
    clock = Clock(0.0)
    limits = limiter(client, 100, 100, clock)
    assert await spend(limits)
    clock.now += Lease.SECONDS - 0.1
    assert at_once(limits)
    clock.now += 0.1
    waiting = limits.take(caller(), "search")
    assert waiting is not None
    await waiting


async def test_without_redis_each_instance_has_its_share_and_comes_back(server, client):
    clock = Clock(0.0)
    gauge = Gauge("limiter_alone", "x", registry=None)
    limits = limiter(client, 10, 20, clock, instances=4, gauge=gauge)
    assert await spend(limits, 2)
    server.process.child.send_signal(signal.SIGSTOP)
    try:
        granted = [await spend(limits) for _ in range(12)]
        assert granted == [True] * 5 + [False] * 7
        assert limits.alone
        assert gauge._value.get() == 1
        clock.now += 0.4
        assert at_once(limits)
        clock.now += 0.8
        assert [await spend(limits) for _ in range(4)] == [True, True, False, False]
    finally:
        server.process.child.send_signal(signal.SIGCONT)
    until = time.monotonic() + 10
    while limits.alone:
        assert time.monotonic() < until
        clock.now += 1.0
        await spend(limits)
        await asyncio.sleep(0.05)
    assert gauge._value.get() == 0
    clock.now += 100
    await client.delete("limit:acme:search")
    assert await spend(limits, 15)
    assert float(await client.hget("limit:acme:search", "tokens")) == 5
    await limits.close()


async def test_a_redis_that_refuses_connections_costs_nothing_but_a_share(server):
    gone = redis_client(1)
    limits = limiter(gone, 10, 10, Clock(0.0))
    assert [await spend(limits) for _ in range(12)] == [True] * 10 + [False] * 2
    with pytest.raises(ServiceError) as refused:
        limits.take(caller(), "search")
    assert refused.value.details["retry_after"] == pytest.approx(0.1)
    await limits.close()
    await gone.aclose()


async def test_a_wiped_redis_goes_on(server, client):
    limits = limiter(client, NEVER, 5)
    assert await spend(limits, 5)
    server.wipe()
    other = redis_client(server.port)
    assert await spend(limiter(other, NEVER, 5), 5)
    assert not await spend(limiter(other, NEVER, 5))
    await other.aclose()


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


async def test_a_knob_holds_for_its_time_in_every_instance(client):
    clock = Clock(0.0)
    here, there = Knobs(client, clock), Knobs(client, clock)
    defaults = {name: spec.default for name, spec in KNOBS.items()}
    assert here.values() == defaults
    await here.set("admission", 2, 60)
    await here.set("batch_window_ms", 12.5, 2)
    assert here.values() == defaults | {"admission": 2.0, "batch_window_ms": 12.5}
    assert there.values() == defaults
    await there.read()
    assert there.values() == here.values()
    clock.now += 2.1
    assert there.values()["batch_window_ms"] == 0
    assert there.values()["admission"] == 2
    assert 58_000 < await client.pttl("knobs") <= 60_000


async def test_a_shorter_knob_does_not_cut_a_longer_one(client):
    knobs = Knobs(client, Clock(0.0))
    await knobs.set("batch_window_ms", 2, 600)
    await knobs.set("search_width", 0.5, 5)
    assert await client.pttl("knobs") > 590_000


async def test_without_redis_knobs_go_back_after_a_grace(server, client):
    clock = Clock(0.0)
    knobs = Knobs(client, clock)
    await knobs.set("admission", 1, 600)
    server.process.kill()
    try:
        with pytest.raises(AWAY):
            await knobs.read()
        with pytest.raises(ServiceError) as refused:
            await knobs.set("admission", 3, 60)
        assert refused.value.code == "unavailable"
        clock.now += GRACE
        assert knobs.values()["admission"] == 1
        clock.now += 2
        assert knobs.values()["admission"] == 0
    finally:
        server.start()
    await knobs.read()
    assert knobs.values()["admission"] == 0


async def test_knobs_are_read_every_second_and_survive_a_gap(server, client):
    knobs, other = Knobs(client, time.monotonic), Knobs(client, time.monotonic)
    task = asyncio.create_task(knobs.run())
    await other.set("admission", 1, 60)
    until = time.monotonic() + 5
    while knobs.values()["admission"] != 1:
        assert time.monotonic() < until
        await asyncio.sleep(0.05)
    server.process.child.send_signal(signal.SIGSTOP)
    await asyncio.sleep(1.2)
    server.process.child.send_signal(signal.SIGCONT)
    assert knobs.values()["admission"] == 1
    await other.set("admission", 2, 60)
    until = time.monotonic() + 5
    while knobs.values()["admission"] != 2:
        assert time.monotonic() < until
        await asyncio.sleep(0.05)
    task.cancel()


@pytest.mark.parametrize(
    ("name", "value", "seconds"),
    [
        ("admission", 3.1, 60),
        ("admission", -0.1, 60),
        ("admission", float("nan"), 60),
        ("admission", "1", 60),
        ("admission", True, 60),
        ("batch_window_ms", -1, 60),
        ("volume", 1, 60),
        ("admission", 1, 0),
        ("admission", 1, 1e9),
    ],
)
async def test_a_value_out_of_range_is_refused_in_words(client, name, value, seconds):
    with pytest.raises(ServiceError, match="allowed") as refused:
        await Knobs(client, Clock()).set(name, value, seconds)
    assert refused.value.code == "out_of_range"
    assert await client.exists("knobs") == 0


async def test_what_others_wrote_into_the_hash_is_passed_over(client):
    knobs = Knobs(client, Clock(0.0))
    await knobs.set("batch_window_ms", 2, 60)
    far = f"{time.time() + 1000:.3f}"
    for name, text in (
        ("admission", f'["99","{far}"]'),
        ("search_width", "rubbish"),
        ("other", f'["1","{far}"]'),
    ):
        await client.hset("knobs", name, text)
    await knobs.read()
    defaults = {name: spec.default for name, spec in KNOBS.items()}
    assert knobs.values() == defaults | {"batch_window_ms": 2.0}


def test_every_default_is_in_its_range():
    for name, spec in KNOBS.items():
        assert checked_value(name, spec.default) == spec.default
