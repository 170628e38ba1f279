"""What a region's active worker does: relay, applier, feeder, and what hubs need."""

import asyncio
import time

import asyncpg
from redis.asyncio import Redis

from service.google import Google
from service.log.commit import Committer
from service.log.database import GONE, connect
from service.log.migrate import migrate, wait_migrated
from service.log.reader import Reader
from service.log.state import State
from service.log.writing import Writing
from service.settings import Settings
from service.stream.mail import Mail
from service.telemetry import Metrics, log
from service.worker.feeder import Feeder
from service.worker.forwarded import Forwarded
from service.worker.inbox import Applier, Inbox
from service.worker.reconcile import Reconciler
from service.worker.relay import Relay
from service.worker.succession import Succession

RETENTION_SECONDS = 7200
"""Age of the newest change of a log range at which the range is dropped."""
REPAIRED_SECONDS = 86_400
"""Time an instance has to see what came by comparison with another hub."""
_ASK_AGAIN = 10.0
"""Seconds after which another hub is asked again for its state."""
_SWEPT = 1000
"""Rows of one sweep."""


class Duties:
    """One worker's, once or several times: whoever becomes active begins with what the
    region's database and Redis have."""

    def __init__(
        self,
        settings: Settings,
        google: Google,
        metrics: Metrics,
        database: asyncpg.Pool,
        aside: asyncpg.Pool,
        client: Redis,
    ) -> None:
        self._settings = settings
        self._google = google
        self._metrics = metrics
        self._database = database
        self._aside = aside
        self._client = client
        self._reader = Reader(database)
        self._inbox: Inbox | None = None
        self._reconciler: Reconciler | None = None

    async def run(self) -> None:
        """Works until cancelled, and forgets its positions then."""
        lineage = await _wait_for_schema(self._settings, self._google, self._database)
        feeder = Feeder(self._client, self._reader)
        apply = Applier(self._database).apply if self._settings.is_hub else None
        parts = (self._settings, self._google, self._reader, feeder, self._metrics)
        inbox = self._inbox = Inbox(*parts, apply)
        try:
            async with asyncio.TaskGroup() as group:
                for work in (feeder.run(), inbox.run(), inbox.repair()):
                    group.create_task(work)
                if self._settings.is_hub:
                    group.create_task(self._hub(lineage, feeder, inbox))
        finally:
            self._inbox = self._reconciler = None
            self._metrics.forget_positions()

    def export(self) -> None:
        """Writes positions and ages into the metrics; a standby has none."""
        if self._inbox is not None:
            self._inbox.export()
        if self._reconciler is not None:
            self._reconciler.export()

    async def _hub(self, lineage: str, feeder: Feeder, inbox: Inbox) -> None:
        """What a hub does besides."""
        settings, google, metrics = self._settings, self._google, self._metrics
        state = State(self._aside, settings.hub, settings.hubs)
        committer = Committer(settings, google.token, metrics)
        mail = Mail(settings, google, again=_ASK_AGAIN)
        self._reconciler = reconciler = Reconciler(
            state,
            mail.ask,
            metrics,
            settings.digest_seconds,
            inbox.stuck,
            inbox.skipped,
        )
        most = settings.limits.max_metadata_bytes
        writing = Writing(settings.hub, committer, self._reader, most)
        forwarded = Forwarded(settings.hub, self._reader, writing)
        relay = Relay(
            settings,
            google,
            self._reader,
            feeder,
            metrics,
            state,
            forwarded,
            inbox.heads,
        )
        succession = Succession(settings, google, self._database, inbox, metrics)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(committer.run())
                group.create_task(_lead(succession, lineage, relay, reconciler))
                group.create_task(_drop_old_ranges(self._database))
                group.create_task(_sweep(self._database, state))
        finally:
            await mail.close()
            committer.close()


async def _lead(
    succession: Succession, lineage: str, relay: Relay, reconciler: Reconciler
) -> None:
    """Publishes this hub's log, once it is this server's."""
    await succession.settle(lineage)
    leading = (relay.run, relay.save, relay.beacons, relay.answer_repairs)
    async with asyncio.TaskGroup() as group:
        for work in (*leading, reconciler.run):
            group.create_task(work())


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
