"""Matches as they happen: follows every instance, tells the page."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable

import aiohttp
from aiohttp import web

from localcloud.control.store import Json, Store
from localcloud.realise.run import SERVICE, Run, region_of

log = logging.getLogger("feed")
QUEUE = 500
FOLLOW_SECONDS = 0.3


class Feed:
    """One event stream for the page, joined from those of all instances."""

    def __init__(self, store: Store, run: Run) -> None:
        self._store, self._run = store, run
        self._following: dict[str, asyncio.Task[None]] = {}
        self._listeners: set[asyncio.Queue[Json]] = set()

    async def follow_forever(self) -> None:
        """Keep one connection to every ready instance while anybody listens."""
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=2)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout
        ) as session:
            while True:
                wanted = self._instances() if self._listeners else {}
                for key in set(self._following) - set(wanted):
                    self._following.pop(key).cancel()
                for key, (region, port) in wanted.items():
                    task = self._following.get(key)
                    if task is None or task.done():
                        follow = self._follow(session, region, port)
                        self._following[key] = asyncio.create_task(follow)
                await asyncio.sleep(FOLLOW_SECONDS)

    def _instances(self) -> dict[str, tuple[str, int]]:
        services = {row.path for row in self._store.all(SERVICE)}
        return {
            key: (region_of(path), instance.admin)
            for path, pool in self._run.pools.items()
            if path in services
            for key, instance in pool.instances.items()
            if instance.ready
        }

    async def _follow(
        self, session: aiohttp.ClientSession, region: str, port: int
    ) -> None:
        url = f"http://127.0.0.1:{port}/admin/matches"
        try:
            async with session.get(url) as response:
                async for raw in response.content:
                    line = raw.decode().strip()
                    if line.startswith("data:"):
                        self._tell({**json.loads(line[5:]), "region": region})
        except (aiohttp.ClientError, OSError, ValueError) as error:
            log.debug("feed of %s broke: %s", region, error)

    def _tell(self, match: Json) -> None:
        for queue in self._listeners:
            if not queue.full():
                queue.put_nowait(match)

    async def serve(
        self, request: web.Request, world: Callable[[], Json]
    ) -> web.StreamResponse:
        """Server-sent events: `match` for each match, `world` every second."""
        response = web.StreamResponse(
            headers={"content-type": "text/event-stream", "cache-control": "no-store"}
        )
        await response.prepare(request)
        queue: asyncio.Queue[Json] = asyncio.Queue(QUEUE)
        self._listeners.add(queue)
        try:
            while True:
                snapshot = json.dumps(world())
                await response.write(f"event: world\ndata: {snapshot}\n\n".encode())
                await self._drain(queue, response)
        except (ConnectionError, asyncio.CancelledError):
            return response
        finally:
            self._listeners.discard(queue)

    async def _drain(
        self, queue: asyncio.Queue[Json], response: web.StreamResponse
    ) -> None:
        """Pass matches on for one second."""
        loop = asyncio.get_running_loop()
        until = loop.time() + 1.0
        while (left := until - loop.time()) > 0:
            try:
                match = await asyncio.wait_for(queue.get(), left)
            except TimeoutError:
                return
            text = f"event: match\ndata: {json.dumps(match)}\n\n"
            await response.write(text.encode())
