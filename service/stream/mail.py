"""Questions to the worker of another hub, over the topics that the log uses.

A question is a message on the topic of repairs, which each hub's worker reads; the
answer comes on the topic of changes, and the worker of the region that asked hands it
on through the region's Redis. Either may be lost or come twice: a question is asked
again, and asking twice changes nothing (`service.log.streams`).
"""

import asyncio
import time
import uuid
from typing import Any

import orjson

from service.feed import AWAY, open_answers
from service.google import UNREACHABLE, Google
from service.log.request import question_request
from service.log.streams import Row
from service.settings import Settings
from service.telemetry import log

AGAIN = 1.5
"""Seconds after which a question is asked a second time."""
GONE = (*UNREACHABLE, *AWAY)
"""What asking raises when there is no way to the other hub."""


class Mail:
    """Asks other hubs for one process; every `again` seconds until it is answered."""

    def __init__(
        self, settings: Settings, google: Google, *, again: float = AGAIN
    ) -> None:
        self._settings = settings
        self._google = google
        self._again = again
        self._name = uuid.uuid4().hex
        self._waiting: dict[str, asyncio.Future[list[Row] | None]] = {}
        self._answers: Any = None
        self._listening: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Waits for no answer any more."""
        if self._listening is not None:
            self._listening.cancel()
        if self._answers is not None:
            await self._answers.aclose()

    async def ask(
        self, home: str, question: str, params: list[Any], seconds: float
    ) -> list[Row]:
        """Rows that a hub answers; raises one of `GONE`, TimeoutError among them."""
        number = uuid.uuid4().hex
        asked = {
            "id": number,
            "region": self._settings.region,
            "instance": self._name,
            "question": question,
            "params": params,
            # A hub that was away does not do what nobody waits for.
            "until": time.time() + seconds,
        }
        message = (question_request("ask", asked), {"origin": home})
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(seconds):
                await self._listen()
                while not future.done():
                    topic = self._settings.topic_repairs
                    await self._google.publish(topic, [message])
                    await asyncio.wait({future}, timeout=self._again)
        finally:
            del self._waiting[number]
        rows = future.result()
        if rows is None:
            raise ConnectionError(f"the database of {home} is away")
        return list(rows)

    async def _listen(self) -> None:
        async with self._opening:
            if self._answers is None:
                self._answers = await open_answers(
                    self._settings, self._google, self._name
                )
            if self._listening is None or self._listening.done():
                self._listening = asyncio.create_task(self._hear())

    async def _hear(self) -> None:
        """Takes answers while any is waited for; Redis is subscribed to anew."""
        while self._waiting:
            try:
                message = await self._answers.get_message(
                    ignore_subscribe_messages=True, timeout=1.0
                )
            except AWAY as error:
                log("WARNING", "answers wait", error=type(error).__name__)
                await asyncio.sleep(0.2)
                continue
            if message:
                self._take(orjson.loads(message["data"]))

    def _take(self, answer: dict[str, Any]) -> None:
        future = self._waiting.get(answer["id"])
        if future is not None and not future.done():
            future.set_result(answer["rows"])
