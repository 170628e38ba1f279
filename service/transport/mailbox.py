"""Messages to a session whose POST may reach any instance of the region."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson

from service.feed import AWAY, open_redis
from service.stream.instance import Instance
from service.telemetry import log

Handle = Callable[[Any], Awaitable[None]]


def _channel(name: str, tenant: str) -> str:
    """The tenant is part of it: nobody reaches another one's session by its name."""
    return f"session:{tenant}:{name}"


class Mailbox:
    """Sessions of this instance by name; others are reached through Redis."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._here: dict[str, Handle] = {}
        self._client: Any = None
        self._pubsub: Any = None
        self._task: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Ends the connection to Redis."""
        if self._task is not None:
            self._task.cancel()
        if self._client is not None:
            await self._client.aclose()

    @contextlib.asynccontextmanager
    async def open(self, name: str, tenant: str, handle: Handle) -> AsyncIterator[None]:
        """While it is held, messages for the session reach `handle`."""
        channel = _channel(name, tenant)
        self._here[channel] = handle
        with contextlib.suppress(*AWAY):
            await self._subscribe(channel)
        try:
            yield
        finally:
            del self._here[channel]
            with contextlib.suppress(*AWAY):
                await self._pubsub.unsubscribe(channel)

    async def send(self, name: str, tenant: str, message: dict[str, Any]) -> bool:
        """Hands a message over; False when no instance has the session."""
        channel = _channel(name, tenant)
        if channel in self._here:
            await self._here[channel](message)
            return True
        await self._connect()
        return bool(await self._client.publish(channel, orjson.dumps(message)))

    async def _connect(self) -> None:
        async with self._opening:
            if self._client is None:
                instance = self._instance
                self._client = await open_redis(instance.settings, instance.google)

    async def _subscribe(self, channel: str) -> None:
        await self._connect()
        if self._pubsub is None:
            self._pubsub = self._client.pubsub()
        await self._pubsub.subscribe(channel)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        """Hands on what comes; after a loss of Redis it subscribes again by itself."""
        while self._here:
            try:
                message = await self._pubsub.get_message(
                    ignore_subscribe_messages=True, timeout=1.0
                )
            except AWAY as error:
                log("WARNING", "mailbox waits", error=type(error).__name__)
                await asyncio.sleep(0.5)
                continue
            handle = message and self._here.get(message["channel"].decode())
            if handle:
                await handle(orjson.loads(message["data"]))
