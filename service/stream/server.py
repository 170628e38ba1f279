"""Runs an instance on uvicorn until SIGTERM."""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable

import asyncpg
import uvicorn

from service.kernel import Kernel
from service.log.database import GONE, connect
from service.log.migrate import is_migrated, migrate
from service.settings import Settings
from service.stream.admin import Recent
from service.stream.app import App
from service.stream.health import Health
from service.stream.instance import Instance
from service.stream.watch import Connections
from service.telemetry import log
from service.text import Embedder

_DRAIN_SECONDS = 6


class Server(uvicorn.Server):
    """uvicorn without its ten ticks a second: it waits for the signal.

    `drain` runs between the signal and the closing of the sockets.
    """

    def __init__(
        self,
        app: object,
        settings: Settings,
        drain: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        limits = settings.limits
        super().__init__(
            uvicorn.Config(
                app,  # type: ignore[arg-type]
                host=settings.host,
                port=settings.port or 0,
                http="httptools",
                ws="websockets-sansio",
                ws_per_message_deflate=False,
                ws_max_size=limits.max_body_bytes,
                ws_ping_interval=None,
                lifespan="off",
                log_config=None,
                access_log=False,
                date_header=False,
                server_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=_DRAIN_SECONDS,
            )
        )
        self.stopped = asyncio.Event()
        self._drain = drain

    async def main_loop(self) -> None:
        """Waits for `stopped`, then drains."""
        await self.stopped.wait()
        if self._drain is not None:
            await self._drain()
        self.should_exit = True


async def serve(server: Server, sock: socket.socket | None) -> None:
    """Serves until SIGTERM or SIGINT; uvicorn's own handlers stay out."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stopped.set)
    await server._serve([sock] if sock else None)


async def migrate_hub(settings: Settings, instance: Instance) -> None:
    """In a hub: brings the primary's schema up to date, as soon as it answers."""
    while settings.is_hub:
        try:
            connection = await connect(
                settings, settings.database_primary, instance.google.token
            )
            try:
                # One that is new already is spared the lock and the writes.
                if not await is_migrated(connection):
                    await migrate(connection, settings.hub)
            finally:
                await connection.close()
            return
        except (*GONE, asyncpg.PostgresError) as error:
            log("WARNING", "migration waits", error=str(error))
            await asyncio.sleep(0.5)


async def run(
    settings: Settings,
    kernel: Kernel,
    embedder: Embedder,
    sock: socket.socket | None,
) -> None:
    """One instance from start to end."""
    instance = await Instance.open(settings, kernel, embedder)
    connections = Connections()
    recent = Recent(settings.region)
    health = Health(instance, connections)

    async def drain() -> None:
        recent.end()
        await connections.drain()

    server = Server(App(instance, health, connections, recent), settings, drain)
    tasks = [
        asyncio.create_task(instance.committer.run()),
        asyncio.create_task(health.run()),
        asyncio.create_task(migrate_hub(settings, instance)),
    ]
    log("INFO", "instance starts", region=settings.region, kernel=kernel.name)
    await serve(server, sock)
    await asyncio.wait_for(instance.committer.drain(), 2)
    for task in tasks:
        task.cancel()
    await instance.close()
    log("INFO", "instance ends", region=settings.region)
