"""Runs an instance on uvicorn until SIGTERM."""

import asyncio
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import asyncpg
import uvicorn

from service.api.dispatch import Api
from service.contract import ServiceError
from service.kernel import Kernel
from service.log.database import GONE, connect
from service.log.migrate import is_migrated, migrate
from service.pushed import Pushed
from service.settings import Settings
from service.stream.admin import Recent
from service.stream.connections import Connections
from service.stream.health import Health
from service.stream.instance import Instance
from service.telemetry import log
from service.text import Embedder
from service.transport.asgi import App
from service.transport.frames import Frames
from service.transport.protocol import Patient

_DRAIN_SECONDS = 6
_KEYS_SECONDS = 5.0
"""How often the keys of open connections are looked at."""


class Server(uvicorn.Server):
    """uvicorn without its ten ticks a second: it waits for the signal.

    `drain` runs between the signal and the closing of the sockets.
    """

    def __init__(
        self,
        app: object,
        settings: Settings,
        drain: Callable[[], Awaitable[None]] | None = None,
        port: int | None = None,
    ) -> None:
        limits = settings.limits
        super().__init__(
            uvicorn.Config(
                app,  # type: ignore[arg-type]
                host=settings.host,
                port=port or settings.port or 0,
                http=Patient,
                ws=Frames,
                ws_per_message_deflate=False,
                ws_max_size=limits.max_body_bytes,
                ws_ping_interval=None,
                lifespan="off",
                log_config=None,
                access_log=False,
                date_header=False,
                server_header=False,
                # Whom to believe is said by MERIDIAN_PROXIES (`service.access`).
                proxy_headers=False,
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
    sockets: Sequence[socket.socket],
) -> None:
    """One instance from start to end; `sockets` as `service.run.run` has them."""
    sock, admin = (*sockets, None, None)[:2]
    instance = await Instance.open(settings, kernel, embedder)
    connections = Connections()
    recent = Recent(settings.region)
    health = Health(instance, connections)
    api = Api(instance)
    pushed = Pushed(instance.metrics.registry, settings, health.export)
    tasks = [
        asyncio.create_task(instance.committer.run()),
        asyncio.create_task(health.run()),
        asyncio.create_task(migrate_hub(settings, instance)),
        asyncio.create_task(instance.lanes.expire()),
        asyncio.create_task(instance.access.run()),
        asyncio.create_task(watch_over(instance, connections)),
        asyncio.create_task(instance.metrics.spans.run(instance.google)),
        asyncio.create_task(pushed.run(instance.google)),
    ]
    log("INFO", "instance starts", region=settings.region, kernel=kernel.name)

    async def drain() -> None:
        recent.end()
        await connections.drain()

    app = App(api, health, connections, recent)
    if settings.protocol == "grpc":
        web = Server(app, settings, drain, settings.admin_port)
        await _serve_both(api, connections, recent, web, sock, admin)
    else:
        await serve(Server(app, settings, drain), sock)
    await app.events.close()
    await asyncio.wait_for(instance.committer.drain(), 2)
    await instance.keeper.close()
    for task in tasks:
        task.cancel()
    await pushed.send(instance.google)
    await instance.close()
    log("INFO", "instance ends", region=settings.region)


async def watch_over(instance: Instance, connections: Connections) -> None:
    """What connections do in time: heartbeats, windows, age; holds the streams of
    tiers that are too much, ends those of revoked keys."""
    looked = time.monotonic()
    while True:
        await asyncio.sleep(0.5)
        values = instance.access.knobs.values()
        instance.lanes.window = values["batch_window_ms"] / 1000
        for connection in connections:
            try:
                caller = connection.context.caller
                connection.hold(partial(instance.access.may_hold, caller))
                connection.close_windows(time.time())
                connection.keep_time(time.monotonic())
            except Exception as error:  # noqa: BLE001 (a fault ends no other one)
                log("ERROR", "connection failed", error=type(error).__name__)
                connection.cut()
        if time.monotonic() - looked < _KEYS_SECONDS:
            continue
        looked = time.monotonic()
        for connection in connections:
            try:
                holds = await instance.access.holds(connection.context.caller)
            except ServiceError:
                # Its record cannot be read just now; it was let in by it.
                continue
            if not holds:
                connection.go_away("revoked")


async def _serve_both(
    api: Api,
    connections: Connections,
    recent: Recent,
    web: Server,
    sock: socket.socket | None,
    admin: socket.socket | None,
) -> None:
    """The operations over gRPC on the one port, probes and scrapes on the other.

    Until SIGTERM: the other's server waits for it and drains the connections of both.
    """
    # Imported here: an instance that speaks HTTP never pays for it.
    from service.transport.rpc import Rpc
    from service.transport.rpc import serve as serve_rpc

    settings = api.instance.settings
    address = f"{settings.host}:{settings.port or 0}"
    if sock is not None:
        host, port = sock.getsockname()[:2]
        address = f"{host}:{port}"
    handlers = Rpc(api, connections, recent).handlers()
    server = serve_rpc(handlers, address, settings.limits.max_body_bytes)
    await server.start()
    if sock is not None:
        # It kept the port until grpc, which takes no socket, had it too.
        sock.close()
    await serve(web, admin)
    await server.stop(_DRAIN_SECONDS)
