"""Feeds this region's Redis, and fills it up after it was away or wiped."""

import asyncio

import asyncpg
from redis.asyncio import Redis

from service.feed import AWAY, answers_key, feed, last_fed
from service.log.change import START, Change, encode
from service.log.database import GONE
from service.log.reader import Reader
from service.telemetry import log

_REFILL = 1000
"""Changes of a lane put back into an empty Redis; instances read older ones
from Postgres themselves."""


class Feeder:
    """Appends changes; losing Redis costs latency and never holds up the log."""

    def __init__(self, client: Redis, reader: Reader) -> None:
        self._client = client
        self._reader = reader
        self._broken = asyncio.Event()
        self._broken.set()

    async def feed(self, changes: list[Change], frame: bytes) -> None:
        """Appends changes of one lane, in order; while Redis is away, nothing.

        `frame`: what `encode` makes of them.
        """
        if self._broken.is_set():
            return
        try:
            await feed(self._client, changes, frame)
        except AWAY as error:
            log("WARNING", "redis away", error=type(error).__name__)
            self._broken.set()

    async def answer(self, instance: str, data: bytes) -> None:
        """Hands an answer to the instance that asked; it asks again if it is lost."""
        try:
            await self._client.publish(answers_key(instance), data)
        except AWAY as error:
            log("WARNING", "an answer is lost", error=type(error).__name__)

    async def run(self) -> None:
        """Refills at the start and whenever feeding failed."""
        while True:
            await self._broken.wait()
            try:
                await self._refill()
                self._broken.clear()
                # What was left out while the first one ran.
                await self._refill()
            except (*AWAY, *GONE, asyncpg.PostgresError):
                self._broken.set()
                await asyncio.sleep(0.5)

    async def _refill(self) -> None:
        for (origin, lane), here in (await self._reader.positions()).items():
            at = await last_fed(self._client, origin, lane)
            if at is None:
                at = START
                if here.seq > _REFILL:
                    at = here._replace(seq=here.seq - _REFILL)
            while at < here:
                changes = await self._reader.after(origin, lane, at, 200)
                if not changes:
                    break
                await feed(self._client, changes, encode(changes))
                at = changes[-1].position
