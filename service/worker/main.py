"""A worker: what its region needs of relay, applier and feeder."""

import asyncio
import signal
import socket
import time
from collections.abc import Callable

import asyncpg
import orjson
import uvicorn

from service.feed import open_redis
from service.google import Google
from service.log.commit import Committer
from service.log.database import GONE, connect, pool
from service.log.migrate import migrate, wait_migrated
from service.log.reader import Reader
from service.log.state import State
from service.log.writing import Writing
from service.pushed import Pushed
from service.settings import Settings
from service.snapshot.bucket import Bucket
from service.stream.mail import Mail
from service.telemetry import Metrics, log
from service.worker.feeder import Feeder
from service.worker.forwarded import Forwarded
from service.worker.inbox import Applier, Inbox
from service.worker.reconcile import Reconciler
from service.worker.relay import Relay
from service.worker.snapshots import Snapshots
from service.worker.succession import Succession

RETENTION_SECONDS = 7200
"""Age of the newest change of a log range at which the range is dropped."""
REPAIRED_SECONDS = 86_400
"""Time an instance has to see what came by comparison with another hub."""
_ASIDE = 4
"""Connections for comparison, its own rounds and two questions of others, and for
snapshots."""
_ASK_AGAIN = 10.0
"""Seconds after which another hub is asked again for its state."""
_SWEPT = 1000
"""Rows of one sweep."""


async def run(settings: Settings, sock: socket.socket | None) -> None:
    """One worker from start to SIGTERM."""
    google = Google(settings)
    metrics = Metrics()
    metrics.spans.begin(settings)
    database = await pool(settings, settings.database_local, google.token)
    lineage = await _wait_for_schema(settings, google, database)
    reader = Reader(database)
    client = await open_redis(settings, google)
    feeder = Feeder(client, reader)
    apply = Applier(database).apply if settings.is_hub else None
    inbox = Inbox(settings, google, reader, feeder, metrics, apply)
    work = [feeder.run(), inbox.run(), inbox.repair(), metrics.spans.run(google)]
    # What reads whole tables leaves the log's connections alone.
    aside = await pool(settings, settings.database_local, google.token, _ASIDE, 5.0)
    if settings.bucket:
        bucket = Bucket(google, settings.bucket)
        work.append(Snapshots(Reader(aside), bucket, metrics, settings).run())
    mail = Mail(settings, google, again=_ASK_AGAIN)
    committer = Committer(settings, google.token, metrics)
    reconciler = None
    if settings.is_hub:
        state = State(aside, settings.hub, settings.hubs)
        links = (inbox.stuck, inbox.skipped)
        reconciler = Reconciler(
            state, mail.ask, metrics, settings.digest_seconds, *links
        )
        forwarded = _forwarded(settings, committer, reader)
        parts = (state, forwarded, inbox.heads)
        relay = Relay(settings, google, reader, feeder, metrics, *parts)
        succession = Succession(settings, google, database, inbox, metrics)
        work += [_lead(succession, lineage, relay, reconciler), committer.run()]
        work += [_drop_old_ranges(database), _sweep(database, state)]

    def export() -> None:
        inbox.export()
        if reconciler is not None:
            reconciler.export()

    pushed = Pushed(metrics.registry, settings, export)
    work.append(pushed.run(google))
    log("INFO", "worker starts", region=settings.region, hub=settings.is_hub)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(w) for w in work]
        server = _server(settings, metrics, export)
        if server is not None:
            tasks.append(group.create_task(server._serve([sock] if sock else None)))
        await _until_signal()
        for task in tasks:
            task.cancel()
    await metrics.spans.send(google)
    await pushed.send(google)
    await mail.close()
    await client.aclose()
    committer.close()
    database.terminate()
    aside.terminate()
    await google.close()
    log("INFO", "worker ends", region=settings.region)


def _forwarded(settings: Settings, committer: Committer, reader: Reader) -> Forwarded:
    """What takes writes of other hubs' instances."""
    most = settings.limits.max_metadata_bytes
    writing = Writing(settings.hub, committer, reader, most)
    return Forwarded(settings.hub, reader, writing)


async def _lead(
    succession: Succession, lineage: str, relay: Relay, reconciler: Reconciler
) -> None:
    """Publishes this hub's log, once it is this server's."""
    await succession.settle(lineage)
    leading = (relay.run, relay.save, relay.beacons, relay.answer_repairs)
    async with asyncio.TaskGroup() as group:
        for work in (*leading, reconciler.run):
            group.create_task(work())


async def _until_signal() -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()


async def _wait_for_schema(
    settings: Settings, google: Google, database: asyncpg.Pool
) -> str:
    """The schema is there; returns what `migrate` says of a hub, else nothing."""
    state = ""
    while True:
        try:
            if settings.is_hub:
                connection = await connect(
                    settings, settings.database_primary, google.token
                )
                try:
                    state = await migrate(connection, settings.hub)
                finally:
                    await connection.close()
            await wait_migrated(database)
            return state
        except (*GONE, asyncpg.PostgresError) as error:
            log("WARNING", "database away", error=str(error))
            await asyncio.sleep(0.5)


async def _sweep(database: asyncpg.Pool, state: State) -> None:
    """Removes rows of dropped collections, old tombstones and forgotten streams."""
    while True:
        gone = 0
        try:
            before = await state.floor()
            gone = await database.fetchval(
                "SELECT sweep_items($1, $2)", before, _SWEPT, timeout=60
            )
            await database.execute("SELECT sweep_streams()", timeout=60)
            await database.execute("SELECT sweep_refused()", timeout=60)
        except (*GONE, asyncpg.PostgresError) as error:
            log("WARNING", "old rows stay", error=type(error).__name__)
        await asyncio.sleep(1 if gone else 60)


async def _drop_old_ranges(database: asyncpg.Pool) -> None:
    while True:
        await asyncio.sleep(300)
        before = int((time.time() - RETENTION_SECONDS) * 1000)
        try:
            await database.execute("SELECT drop_ranges($1)", before, timeout=60)
            await database.execute("SELECT drop_hours($1)", before, timeout=60)
            before = int((time.time() - REPAIRED_SECONDS) * 1000)
            await database.execute("SELECT sweep_repaired($1)", before, timeout=60)
        except (*GONE, asyncpg.PostgresError) as error:
            log("WARNING", "old ranges stay", error=str(error))


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
        if scope["path"] == "/metrics":
            status, body = 200, metrics.text()
        elif scope["path"].startswith("/health/"):
            status, body = 200, orjson.dumps({"region": settings.region})
        else:
            status, body = 404, b"{}"
        headers = [(b"content-length", str(len(body)).encode())]
        await send(
            {"type": "http.response.start", "status": status, "headers": headers}
        )
        await send({"type": "http.response.body", "body": body})

    from service.stream.server import Server

    return Server(app, settings)
