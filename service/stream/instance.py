"""What an instance holds and follows; the operations work on it."""

import time
from typing import Any

import asyncpg

from service.access.admission import Admission
from service.access.context import Context
from service.contract import ServiceError, parse_vector
from service.google import Google
from service.kernel import Kernel, metric
from service.log.commit import Committer
from service.log.database import GONE, pool
from service.log.definition import Definition
from service.log.reader import Reader
from service.log.writing import Writing
from service.settings import Settings
from service.stream.ahead import Ahead
from service.stream.forward import Forward
from service.stream.guides import Guides
from service.stream.homes import Homes
from service.stream.keeper import Keeper
from service.stream.lanes import Lanes
from service.stream.mail import Mail
from service.stream.recall import Recall
from service.stream.threads import Threads, Turns
from service.telemetry import Metrics
from service.text.embed import DIMENSION, Embedder


class Instance:
    """Connections, memory and workers of one instance."""

    def __init__(
        self,
        settings: Settings,
        google: Google,
        local: asyncpg.Pool,
        primary: asyncpg.Pool,
        kernel: Kernel,
        embedder: Embedder,
        metrics: Metrics,
        committer: Committer,
        access: Admission,
    ) -> None:
        self.settings = settings
        self.google = google
        self.kernel = kernel
        self.embedder = embedder
        self.metrics = metrics
        self.metrics.kernel.labels(kernel.name).set(1)
        self.reader = Reader(local)
        self.primary_reader = Reader(primary)
        guides = Guides(metrics, settings.graph, settings.graph_mib)
        self.lanes = Lanes(settings, self.reader, google, kernel, metrics, guides)
        self.committer = committer
        most = settings.limits.max_metadata_bytes
        self.writing = Writing(settings.hub, committer, self.primary_reader, most)
        mail = Mail(settings, google)
        self.forward = Forward(settings.hubs, mail, metrics)
        self.keeper = Keeper(Homes(settings, mail, local, primary))
        followed, waits = self.lanes.followed, self.lanes.waits
        self.ahead = Ahead(followed, waits, self.keeper.homes.ask)
        self.threads = Threads(2, access.overload.search_wait)
        self.turns = Turns(access.overload.search_wait)
        self.access = access
        self.recall = Recall(metrics, time.monotonic)

    @classmethod
    async def open(
        cls, settings: Settings, kernel: Kernel, embedder: Embedder
    ) -> "Instance":
        """An instance with its connections, which are made when used."""
        google = Google(settings)
        local = await pool(settings, settings.database_local, google.token)
        primary = local
        if not settings.is_hub:
            address = settings.database_primary
            # Not kept: the plan counts two connections to a primary, the committer's.
            primary = await pool(settings, address, google.token, most=1, idle=1.0)
        metrics = Metrics()
        metrics.spans.begin(settings)
        committer = Committer(settings, google.token, metrics)
        reader = Reader(local)
        access = await Admission.open(settings, google, reader, committer, metrics)
        parts = (kernel, embedder, metrics, committer, access)
        return cls(settings, google, local, primary, *parts)

    async def close(self) -> None:
        """Ends following and closes connections."""
        self.ahead.close()
        self.lanes.close()
        self.threads.close()
        await self.access.close()
        await self.keeper.homes.close()
        self.committer.close()
        self.reader.pool.terminate()
        self.primary_reader.pool.terminate()
        await self.metrics.spans.send(self.google)
        await self.google.close()

    @property
    def search_width(self) -> float | None:
        """Width of the search's bound, where an operator turned it."""
        return self.access.search_width

    def primary_away(self, error: BaseException) -> ServiceError:
        """The error of an operation that needs the hub's primary."""
        return ServiceError(
            "unavailable",
            f"The primary in {self.settings.hub} does not answer "
            f"({type(error).__name__}): send it again.",
            elsewhere=True,
        )

    async def definition(self, context: Context, name: str) -> Definition:
        """A collection of the caller; where a replica lags the primary is asked."""
        key = (context.caller.tenant, name)
        try:
            return await self.lanes.definition(key)
        except ServiceError as error:
            if error.code != "unknown_collection" or self.settings.is_hub:
                raise
        try:
            found = await self.primary_reader.definition(*key)
        except (*GONE, asyncpg.PostgresError):
            found = None
        if found is None:
            return await self.lanes.definition(key)
        self.lanes.learn(found)
        return found

    def batch(self, items: list[Any], where: str) -> list[Any]:
        """Items of a batch; raises ServiceError when there are none or too many."""
        most = self.settings.limits.max_batch_items
        if not items:
            raise ServiceError("batch_empty", f"{where} is empty: send 1 to {most}.")
        if len(items) > most:
            raise ServiceError(
                "batch_too_large",
                f"{where} has {len(items)} entries; at most {most}: send several.",
                details={"given": len(items), "allowed": most},
            )
        return items

    def refuse_text(self, definition: Definition) -> None:
        """Raises ServiceError where a sentence cannot stand for a vector."""
        if not self.embedder.available:
            raise ServiceError(
                "text_unavailable",
                "This service runs without the extra [text]: send a vector.",
            )
        if definition.dimension != DIMENSION:
            raise ServiceError(
                "wrong_dimension",
                f"Sentences have {DIMENSION} components, {definition.name} has "
                f"{definition.dimension}: send a vector.",
                details={"given": DIMENSION, "allowed": definition.dimension},
            )

    async def embed_for(self, definition: Definition, texts: list[str]) -> list[Any]:
        """Vectors of sentences in a collection's element type."""
        if not texts:
            return []
        vectors = await self.embedder.embed(texts)
        return [
            parse_vector(v.tobytes(), DIMENSION, "text", definition.element)
            for v in vectors
        ]

    async def vector(
        self, definition: Definition, given: Any, text: str | None, where: str
    ) -> Any:
        """A given vector or sentence, shape (dimension,), rounded as items are."""
        if text is not None:
            self.refuse_text(definition)
            (row,) = await self.embed_for(definition, [text])
            return row
        return parse_vector(given, definition.dimension, where, definition.element)

    async def asked(
        self, definition: Definition, given: Any, text: str | None, where: str
    ) -> tuple[Any, float]:
        """A query as the collection's metric scores it, and its offset."""
        row = await self.vector(definition, given, text, where)
        return metric.asked(definition.metric, row)
