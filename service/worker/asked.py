"""Answers what instances of other hubs ask of the streams that this hub keeps."""

import time
from typing import Any

import asyncpg
import orjson

from service.google import Google
from service.log.database import GONE
from service.log.streams import ask
from service.settings import Settings
from service.telemetry import log


class Asked:
    """See `service.stream.mail`, which is the other end."""

    def __init__(
        self, settings: Settings, google: Google, database: asyncpg.Pool
    ) -> None:
        self._settings = settings
        self._google = google
        self._database = database

    async def answer(self, asked: dict[str, Any]) -> None:
        """Publishes the rows, or none where the database is away.

        Raises what publishing raises: then the question comes again.
        """
        try:
            if asked["until"] < time.time():
                return
            to = {"region": asked["region"], "instance": asked["instance"]}
            rows = await self._rows(asked["question"], asked["params"])
            data = orjson.dumps({"id": asked["id"], "rows": rows})
        except (KeyError, TypeError) as error:
            # Of a later revision: it would come back for ever.
            log("ERROR", "question not understood", error=repr(error))
            return
        attributes = {"origin": self._settings.hub, "kind": "answer", **to}
        await self._google.publish(self._settings.topic_changes, [(data, attributes)])

    async def _rows(self, question: str, params: list[Any]) -> Any:
        try:
            return await ask(self._database, question, params)
        except (*GONE, asyncpg.PostgresError) as error:
            log("WARNING", "question without answer", error=type(error).__name__)
            return None
