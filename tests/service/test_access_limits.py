"""Rates, on a real Redis that is stopped and wiped."""

import asyncio
import signal
import time

import pytest
from prometheus_client import Gauge

from service.access.bucket import Lease, Rate
from service.access.limiter import Limiter
from service.access.peers import GONE, KEY, Peers
from service.contract import ServiceError
from tests.service.access_parts import Clock, caller, redis_client

NEVER = 1e-9
"""Tokens a second of a bucket that must not fill during a test."""


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


async def test_the_last_count_rules_while_redis_is_away(redis_server):
    client = redis_client(redis_server.port)
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
    redis_server.process.kill()
    try:
        # Half of the burst of 20, and nothing of the other's.
        had = sum([await spend(limits) for _ in range(20)])
        assert limits.alone and 10 <= had <= 12
    finally:
        redis_server.start()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.aclose()


async def test_two_instances_that_lease_at_once_share_one_bucket(redis_server):
    clients = [redis_client(redis_server.port) for _ in range(2)]
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


async def test_without_redis_each_instance_has_its_share_and_comes_back(
    redis_server, client
):
    clock = Clock(0.0)
    gauge = Gauge("limiter_alone", "x", registry=None)
    limits = limiter(client, 10, 20, clock, instances=4, gauge=gauge)
    assert await spend(limits, 2)
    redis_server.process.child.send_signal(signal.SIGSTOP)
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
        redis_server.process.child.send_signal(signal.SIGCONT)
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


async def test_a_redis_that_refuses_connections_costs_nothing_but_a_share(redis_server):
    gone = redis_client(1)
    limits = limiter(gone, 10, 10, Clock(0.0))
    assert [await spend(limits) for _ in range(12)] == [True] * 10 + [False] * 2
    with pytest.raises(ServiceError) as refused:
        limits.take(caller(), "search")
    assert refused.value.details["retry_after"] == pytest.approx(0.1)
    await limits.close()
    await gone.aclose()


async def test_a_wiped_redis_goes_on(redis_server, client):
    limits = limiter(client, NEVER, 5)
    assert await spend(limits, 5)
    redis_server.wipe()
    other = redis_client(redis_server.port)
    assert await spend(limiter(other, NEVER, 5), 5)
    assert not await spend(limiter(other, NEVER, 5))
    await other.aclose()
