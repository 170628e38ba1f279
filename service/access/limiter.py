"""Rates per tenant and group of operations, the same over all instances.

The tokens live in the region's Redis. An instance leases 100 ms worth at a time and
spends them without asking; callers that wait share the one lease that is under way.
Redis away, each instance goes on alone with its share of the rate.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import redis.asyncio

from service.access.bucket import Bucket, Lease, Rate
from service.access.caller import Caller
from service.contract import ServiceError
from service.feed import AWAY
from service.telemetry import log

GROUPS = ("read", "search", "write", "watch", "manage")
LEASE_SECONDS = 0.1
PATIENCE = 0.5
"""Seconds Redis may take before the instance goes on alone."""
RETRY = 1.0
"""Seconds between two looks whether Redis is back."""
_ROUNDING = 1e-6
_MOST = 10_000
_REMEMBERED_REFUSAL = 1.0

# One bucket: {tokens, moment}. A key that is gone is a full bucket, so that it may
# end once it would be full. Redis's own clock is the only one: instances' differ.
_LEASE = """
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local need, want = tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(kept[1]) or burst, tonumber(kept[2]) or now
if now > at then tokens = tokens + (now - at) * rate end
tokens = math.min(burst, tokens)
local granted, wait = 0, 0
if tokens >= need then
    granted = math.min(want, tokens)
    tokens = tokens - granted
else
    wait = (need - tokens) / rate
end
redis.call('HSET', KEYS[1], 'tokens', string.format('%.9f', tokens),
    'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(burst / rate * 1000) + 1000)
return {string.format('%.9f', granted), string.format('%.6f', wait)}
"""

Rates = Mapping[str, Mapping[str, Rate]]
"""Tier to group to rate; unlimited where none is given."""


class Gauge(Protocol):
    """Where it is said that Redis is away."""

    def set(self, value: float) -> None:
        """Sets the gauge."""
        ...


class _Account:
    """What an instance holds for one tenant, tier and group."""

    __slots__ = ("alone", "filling", "key", "lease", "rate", "waiting")

    def __init__(self, key: str, rate: Rate) -> None:
        self.key = key
        self.rate = rate
        self.lease = Lease()
        self.alone = Bucket()
        self.waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self.filling: asyncio.Task[None] | None = None


class Limiter:
    """Rates of one instance. `clock` is monotonic seconds."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        rates: Rates,
        clock: Callable[[], float],
        *,
        instances: int = 1,
        gauge: Gauge | None = None,
    ) -> None:
        self.instances = instances
        """Instances that share a rate while Redis is away."""
        self.alone = False
        """Whether Redis is away."""
        self._script = client.register_script(_LEASE)
        self._client = client
        self._rates = rates
        self._clock = clock
        self._gauge = gauge
        self._accounts: dict[tuple[str, str, str], _Account] = {}
        self._look_again = 0.0
        self._looking: asyncio.Task[None] | None = None

    def take(
        self, caller: Caller, group: str, cost: float = 1
    ) -> Awaitable[None] | None:
        """Takes `cost` tokens; None when that is done, else what to await for it.

        Raises ServiceError `rate_limited` with details.retry_after in seconds, here
        or when awaited, and `batch_too_large` for what no waiting would bring.
        """
        rate = self._rates.get(caller.tier, {}).get(group)
        if rate is None:
            return None
        account = self._account(caller, group, rate)
        now = self._clock()
        if account.lease.spend(cost, now):
            return None
        if cost > rate.burst:
            raise ServiceError(
                "batch_too_large",
                f"This costs {cost:g} of {group} at once; the tier {caller.tier} has "
                f"at most {rate.burst:g}: send several smaller ones.",
                details={"given": cost, "allowed": rate.burst},
            )
        if self.alone:
            self._take_alone(account, caller, group, cost)
            return None
        if wait := account.lease.refusal(cost, now):
            raise _limited(caller, group, rate, wait)
        return self._wait(account, caller, group, cost)

    @property
    def limits(self) -> bool:
        """Whether anything is limited."""
        return any(self._rates.values())

    async def close(self) -> None:
        """Ends what is under way."""
        tasks = [a.filling for a in self._accounts.values() if a.filling]
        for task in [*tasks, *([self._looking] if self._looking else [])]:
            task.cancel()

    def _account(self, caller: Caller, group: str, rate: Rate) -> _Account:
        name = (caller.tenant, caller.tier, group)
        account = self._accounts.get(name)
        if account is None:
            if len(self._accounts) >= _MOST:
                self._forget()
            # Keys of two tiers draw on one bucket: a tenant has no two rates.
            key = f"limit:{caller.tenant}:{group}"
            account = self._accounts[name] = _Account(key, rate)
        return account

    def _forget(self) -> None:
        """Drops the older half of the accounts that nobody waits for."""
        idle = [name for name, a in self._accounts.items() if a.filling is None]
        for name in idle[: _MOST // 2]:
            del self._accounts[name]

    async def _wait(
        self, account: _Account, caller: Caller, group: str, cost: float
    ) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        account.waiting.append((cost, done))
        if account.filling is None:
            account.filling = asyncio.create_task(self._fill(account))
        try:
            await done
        except _Refused as refused:
            raise _limited(caller, group, account.rate, refused.wait) from None
        except _Alone:
            self._take_alone(account, caller, group, cost)

    async def _fill(self, account: _Account) -> None:
        """Leases until nobody waits; a task of its own, whoever gives up."""
        waiting, lease, rate = account.waiting, account.lease, account.rate
        try:
            while waiting:
                cost, held = waiting[0][0], lease.held(self._clock())
                block = max(rate.per_second * LEASE_SECONDS, sum(c for c, _ in waiting))
                want = min(rate.burst, max(cost, block) - held)
                granted, wait = await self._ask(account, rate, cost - held, want)
                now = self._clock()
                lease.add(granted, now)
                if wait:
                    lease.refused = (cost, now + min(wait, _REMEMBERED_REFUSAL))
                    _refuse(waiting, cost, wait, rate)
                _serve(waiting, lease, now)
                if not wait and granted < want - _ROUNDING:
                    # The bucket is empty. Asked at once it would give a token at a
                    # time, and Redis would be busiest with whoever is over a rate.
                    pause = min(LEASE_SECONDS / 4, rate.burst / rate.per_second / 2)
                    lease.refused = (0.0, now + pause)
                    _refuse(waiting, 0.0, pause, rate)
        except AWAY as error:
            self._leave(error)
        finally:
            account.filling = None
            while waiting:
                _, done = waiting.popleft()
                if not done.done():
                    done.set_exception(_Alone())

    async def _ask(
        self, account: _Account, rate: Rate, need: float, want: float
    ) -> tuple[float, float]:
        arguments = [rate.per_second, rate.burst, need, want]
        answer: Any = await asyncio.wait_for(
            self._script(keys=[account.key], args=arguments), PATIENCE
        )
        return float(answer[0]), float(answer[1])

    def _take_alone(
        self, account: _Account, caller: Caller, group: str, cost: float
    ) -> None:
        now = self._clock()
        if self.alone and now >= self._look_again and self._looking is None:
            self._looking = asyncio.create_task(self._look())
        share = account.rate.divided(self.instances)
        wait = account.alone.take(share, cost, now)
        if wait > 0:
            raise _limited(caller, group, share, wait)

    def _leave(self, error: BaseException) -> None:
        if not self.alone:
            log("WARNING", "limiter without redis", error=repr(error)[:200])
        self._state(alone=True)
        self._look_again = self._clock() + RETRY

    async def _look(self) -> None:
        """Looks whether Redis is back; requests meanwhile go on without it."""
        try:
            await asyncio.wait_for(self._client.ping(), PATIENCE)
            self._state(alone=False)
        except AWAY:
            self._look_again = self._clock() + RETRY
        finally:
            self._looking = None

    def _state(self, *, alone: bool) -> None:
        self.alone = alone
        if self._gauge is not None:
            self._gauge.set(float(alone))


class _Refused(Exception):
    def __init__(self, wait: float) -> None:
        super().__init__()
        self.wait = wait


class _Alone(Exception):
    """No answer from Redis."""


def _serve(waiting: deque[Any], lease: Lease, now: float) -> None:
    """Lets callers go, in the order they came, as far as the tokens reach."""
    while waiting and (waiting[0][1].done() or lease.spend(waiting[0][0], now)):
        _, done = waiting.popleft()
        if not done.done():
            done.set_result(None)


def _refuse(waiting: deque[Any], least: float, wait: float, rate: Rate) -> None:
    """Refuses all who want as much, each with the time until its turn could come."""
    behind = 0.0
    for _ in range(len(waiting)):
        cost, done = waiting.popleft()
        if cost < least:
            waiting.append((cost, done))
        elif not done.done():
            done.set_exception(_Refused(wait + behind / rate.per_second))
            behind += cost


def _limited(caller: Caller, group: str, rate: Rate, wait: float) -> ServiceError:
    return ServiceError(
        "rate_limited",
        f"{caller.tenant} ({caller.tier}) may {group} {rate.per_second:g} times a "
        f"second with bursts of {rate.burst:g}: wait {wait:.3f} s, or send less.",
        details={"retry_after": round(wait, 3), "allowed": rate.per_second},
    )
