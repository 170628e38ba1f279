"""A worker: one of a region's, active or standing by."""

import asyncio
import signal
import socket
from collections.abc import Callable

import orjson
import uvicorn

from service.feed import open_redis
from service.google import Google
from service.log.database import pool
from service.log.reader import Reader
from service.pushed import Pushed
from service.settings import Settings
from service.snapshot.bucket import Bucket
from service.telemetry import PROMETHEUS_TEXT, Metrics, log
from service.worker.duties import Duties
from service.worker.snapshots import Snapshots
from service.worker.standby import Standby

_ASIDE = 4
"""Connections for comparison, its own rounds and two questions of others, and for
snapshots."""


async def run(settings: Settings, sock: socket.socket | None) -> None:
    """One worker from start to SIGTERM."""
    google = Google(settings)
    metrics = Metrics()
    metrics.spans.begin(settings)
    database = await pool(settings, settings.database_local, google.token)
    # What reads whole tables leaves the log's connections alone.
    aside = await pool(settings, settings.database_local, google.token, _ASIDE, 5.0)
    client = await open_redis(settings, google)
    duties = Duties(settings, google, metrics, database, aside, client)
    standby = Standby(settings, google.token, metrics)
    pushed = Pushed(metrics.registry, settings, duties.export)
    work = [standby.run(duties.run), metrics.spans.run(google), pushed.run(google)]
    if settings.bucket:
        bucket = Bucket(google, settings.bucket)
        work.append(Snapshots(Reader(aside), bucket, metrics, settings).run())
    log("INFO", "worker starts", region=settings.region, hub=settings.is_hub)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(w) for w in work]
        server = _server(settings, metrics, duties.export)
        if server is not None:
            tasks.append(group.create_task(server._serve([sock] if sock else None)))
        await _until_signal()
        for task in tasks:
            task.cancel()
    await metrics.spans.send(google)
    await pushed.send(google)
    await client.aclose()
    database.terminate()
    aside.terminate()
    await google.close()
    log("INFO", "worker ends", region=settings.region)


async def _until_signal() -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()


def _server(
    settings: Settings, metrics: Metrics, export: Callable[[], None]
) -> uvicorn.Server | None:
    """Metrics and liveness where the platform gives a port."""
    if settings.port is None:
        return None

    async def app(scope, receive, send):  # type: ignore[no-untyped-def]
        if scope["type"] != "http":
            return
        export()
        kind = b"application/json"
        if scope["path"] == "/metrics":
            status, body, kind = 200, metrics.text(), PROMETHEUS_TEXT
        elif scope["path"].startswith("/health/"):
            status, body = 200, orjson.dumps({"region": settings.region})
        else:
            status, body = 404, b"{}"
        headers = [
            (b"content-type", kind),
            (b"content-length", str(len(body)).encode()),
        ]
        await send(
            {"type": "http.response.start", "status": status, "headers": headers}
        )
        await send({"type": "http.response.body", "body": body})

    from service.stream.server import Server

    return Server(app, settings)
