"""How many instances share a region's rates.

Each tells Redis every second that it runs, and reads how many do, so that the number
is known when Redis is away.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Callable

import redis.asyncio

from service.feed import AWAY

KEY = "instances"
EVERY = 1.0
GONE = 5.0
"""Seconds of silence after which an instance counts no more."""
PATIENCE = 0.8

# By Redis's own clock: instances' differ.
_BEAT = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('PEXPIRE', KEYS[1], 2000 * tonumber(ARGV[2]))
return redis.call('ZCARD', KEYS[1])
"""


class Peers:
    """One instance among those of its region."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._script = client.register_script(_BEAT)
        self._name = uuid.uuid4().hex

    async def run(self, told: Callable[[int], None]) -> None:
        """Tells the count every second until cancelled; the last one while away."""
        while True:
            # The limiter says that Redis is away, where it matters.
            with contextlib.suppress(*AWAY):
                told(await self.beat())
            await asyncio.sleep(EVERY)

    async def beat(self) -> int:
        """Instances that run, this one included; raises one of AWAY."""
        asked = self._script(keys=[KEY], args=[self._name, GONE])
        return int(await asyncio.wait_for(asked, PATIENCE))

    async def leave(self) -> None:
        """Counts no more, at once where Redis hears it."""
        with contextlib.suppress(*AWAY):
            await asyncio.wait_for(self._client.zrem(KEY, self._name), PATIENCE)
