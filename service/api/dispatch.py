"""Runs an operation by its name: access, limits, validation, work, metrics."""

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from service.access.context import Context
from service.api.collections import Collections
from service.api.queries import Queries
from service.api.reads import Reads
from service.api.searches import Searches
from service.api.streams import Streams
from service.api.tenants import Tenants
from service.api.trials import Trials
from service.api.writes import Writes
from service.contract import OPERATIONS, Operation, ServiceError, parse
from service.contract.requests import Embed, Nothing
from service.log.database import GONE
from service.stream.instance import Instance
from service.telemetry import log

Handler = Callable[[Context, Any], Awaitable[dict[str, Any]]]
_DATABASE_AWAY = (*GONE, asyncpg.PostgresError)


class Api:
    """Every operation of the contract on one instance."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        collections = Collections(instance)
        writes = Writes(instance)
        reads = Reads(instance)
        queries = Queries(instance)
        searches = Searches(instance, queries)
        trials = Trials(instance)
        streams = Streams(instance)
        tenants = Tenants(instance)
        self._handlers: dict[str, Handler] = {
            "create_collection": collections.create,
            "list_collections": collections.every,
            "describe_collection": collections.describe,
            "drop_collection": collections.drop,
            "count_items": reads.count,
            "upsert": writes.upsert,
            "patch": writes.patch,
            "delete": writes.delete,
            "get_item": reads.item,
            "get_items": reads.items,
            "scroll": reads.scroll,
            "search": searches.search,
            "save_query": queries.save,
            "list_queries": queries.every,
            "drop_query": queries.drop,
            "preview": trials.preview,
            "explain": trials.explain,
            "embed": self._embed,
            "create_key": tenants.create_key,
            "list_keys": tenants.list_keys,
            "rotate_key": tenants.rotate_key,
            "revoke_key": tenants.revoke_key,
            "issue_ticket": tenants.issue_ticket,
            "list_streams": streams.every,
            "drop_stream": streams.drop,
            "show_quota": tenants.show_quota,
            "set_quota": tenants.set_quota,
            "list_knobs": tenants.list_knobs,
            "turn_knob": tenants.turn_knob,
            "show_limits": self._limits,
            "show_config": self._config,
        }
        missing = OPERATIONS.keys() ^ self._handlers.keys()
        assert not missing, missing

    async def call(
        self, operation: Operation, given: Any, context: Context
    ) -> dict[str, Any]:
        """Answer of an operation; raises ServiceError and nothing else.

        `given` is the request as plain JSON, vectors may be bytes.
        """
        spans = self.instance.metrics.spans
        with spans.request(operation.name, context.parent):
            try:
                return await self._run(operation, given, context)
            except ServiceError:
                raise
            except _DATABASE_AWAY as error:
                log(
                    "WARNING",
                    "database away",
                    request_id=context.request_id,
                    error=type(error).__name__,
                )
                raise ServiceError(
                    "unavailable",
                    "This region's database is away: try another region.",
                    elsewhere=True,
                ) from None
            except Exception as error:  # a fault is answered, logged and counted
                log(
                    "ERROR",
                    "request failed",
                    request_id=context.request_id,
                    operation=operation.name,
                    error=type(error).__name__,
                    at=_place(error),
                )
                raise ServiceError(
                    "internal", "The request failed; its id is logged."
                ) from None

    async def _run(
        self, operation: Operation, given: Any, context: Context
    ) -> dict[str, Any]:
        access = self.instance.access
        await access.admit(context.caller, operation, _cost(given))
        request = parse(operation.request, given)
        context.left(0)
        return await self._handlers[operation.name](context, request)

    async def _embed(self, context: Context, request: Embed) -> dict[str, Any]:
        """Vectors of sentences."""
        texts = self.instance.batch(request.texts, "body.texts")
        for n, text in enumerate(texts):
            if not isinstance(text, str) or not text:
                raise ServiceError("wrong_type", f"body.texts[{n}]: send a sentence.")
        vectors = await self.instance.embedder.embed(texts)
        return {"vectors": [v.tolist() for v in vectors]}

    async def _limits(self, context: Context, _: Nothing) -> dict[str, Any]:
        return dataclasses.asdict(self.instance.settings.limits)

    async def _config(self, context: Context, _: Nothing) -> dict[str, Any]:
        return {"value": self.instance.settings.shown()}


def _cost(given: Any) -> float:
    """Tokens of a request: one for each item of a batch or vector of a search."""
    if isinstance(given, dict):
        for key in ("items", "vectors", "texts", "ids"):
            some = given.get(key)
            if isinstance(some, list) and some:
                return float(len(some))
    return 1.0


def _place(error: BaseException) -> str:
    """File and line where it was raised; its text may hold what a user sent."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "?"
    name = trace.tb_frame.f_code.co_filename.rsplit("/", 1)[-1]
    return f"{name}:{trace.tb_lineno}"
