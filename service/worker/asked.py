"""Answers what other hubs ask: instances of the streams that this hub keeps and of the
collections that it writes, workers of its state."""

import asyncio
import time
from typing import Any

import asyncpg
import orjson

from service.google import UNREACHABLE, Google
from service.log.database import GONE
from service.log.state import State
from service.log.streams import Row, ask
from service.settings import Settings
from service.telemetry import log
from service.worker.forwarded import Forwarded

_MOST = 2
"""Questions about the state that are answered at once; others are asked again."""
_MOST_BYTES = 64 * 2**20
"""Of messages with writes that are at hand at once; others are asked again."""


class Asked:
    """See `service.stream.mail`, which is the other end."""

    def __init__(
        self,
        settings: Settings,
        google: Google,
        database: asyncpg.Pool,
        state: State,
        forwarded: Forwarded,
    ) -> None:
        self._settings = settings
        self._google = google
        self._database = database
        self._state = state
        self._forwarded = forwarded
        self._answering: dict[str, asyncio.Task[None]] = {}
        self._writing: dict[str, asyncio.Task[None]] = {}
        self._at_hand = 0
        """Bytes of the messages of `_writing`."""

    async def take(self, asked: dict[str, Any], size: int) -> None:
        """Answers at once, or aside what takes longer: whoever asks asks again.

        `size`: bytes of the message. Raises what publishing raises: then the question
        comes again.
        """
        number, question = str(asked.get("id")), str(asked.get("question"))
        if question.startswith("write."):
            self._write(number, asked, size)
        elif not question.startswith("state."):
            await self._answer(asked)
        elif number not in self._answering and len(self._answering) < _MOST:
            task = asyncio.create_task(self._answer_aside(asked))
            self._answering[number] = task
            task.add_done_callback(lambda _: self._answering.pop(number, None))

    def _write(self, number: str, asked: dict[str, Any], size: int) -> None:
        """Side by side, so that writes of many questions share a commit."""
        if number in self._writing or self._at_hand + size > _MOST_BYTES:
            return

        def done(_: asyncio.Task[None]) -> None:
            del self._writing[number]
            self._at_hand -= size

        self._at_hand += size
        self._writing[number] = asyncio.create_task(self._answer_aside(asked))
        self._writing[number].add_done_callback(done)

    async def _answer_aside(self, asked: dict[str, Any]) -> None:
        try:
            await self._answer(asked)
        except UNREACHABLE as error:
            log("WARNING", "an answer is lost", error=type(error).__name__)

    async def _answer(self, asked: dict[str, Any]) -> None:
        """Publishes the rows, or none where the database is away."""
        try:
            if asked["until"] < time.time():
                return
            to = {"region": asked["region"], "instance": asked["instance"]}
            rows = await self._rows(asked["id"], asked["question"], asked["params"])
            data = orjson.dumps({"id": asked["id"], "rows": rows})
        except (KeyError, TypeError, ValueError) as error:
            # Of a later revision: it would come back for ever.
            log("ERROR", "question not understood", error=repr(error))
            return
        attributes = {"origin": self._settings.hub, "kind": "answer", **to}
        await self._google.publish(self._settings.topic_changes, [(data, attributes)])

    async def _rows(
        self, number: str, question: str, params: list[Any]
    ) -> list[Row] | None:
        try:
            if question.startswith("write."):
                return await self._forwarded.answer(number, question, params)
            if question.startswith("state."):
                return await self._state.answer(question, params)
            return await ask(self._database, question, params)
        except (*GONE, asyncpg.PostgresError) as error:
            log("WARNING", "question without answer", error=type(error).__name__)
            return None
