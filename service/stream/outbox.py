"""What a connection still has to send, whatever carries it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol

from service.tracing import PRODUCER, Spans

CREDIT_BYTES = 256 * 1024
"""Queued bytes from which on a connection's streams stop advancing."""
TOGETHER_BYTES = 64 * 1024
"""Bytes of messages that a transport sends at once."""
Encode = Callable[[dict[str, Any]], bytes]


class Carrier(Protocol):
    """A transport that takes messages as they are made."""

    def take(self, data: bytes) -> bool:
        """Sends a message; False: `Outbox.flush` is called when it would again."""
        ...

    def abort(self) -> None:
        """Ends the connection, whatever was not sent."""
        ...


class Outbox:
    """Messages in order: a carrier takes them, or a transport sends what `outgoing`
    yields."""

    def __init__(self, encode: Encode, spans: Spans) -> None:
        self._encode = encode
        self._spans = spans
        self._messages: list[bytes] = []
        self._queued = 0
        self._traced: list[tuple[bytes, str, int]] = []
        """Queued matches of changes whose spans are kept: message, event id, since."""
        self._carrier: Carrier | None = None
        self._wake: asyncio.Event | None = None
        """Of `outgoing`: an idle connection with a carrier is spared it."""
        self._task: asyncio.Task[Any] | None = None
        self.closing = False

    @property
    def has_credit(self) -> bool:
        """Whether more may be queued."""
        return self._queued < CREDIT_BYTES

    def carried(
        self, task: "asyncio.Task[Any]", carrier: Carrier | None = None
    ) -> None:
        """The connection ends with a task of its transport; a carrier takes messages
        from now on, without one somebody reads `outgoing`."""
        self._task = task
        self._carrier = carrier

    def queue(self, message: dict[str, Any]) -> None:
        """Sends a message, or queues it behind others."""
        data = self._encode(message)
        carrier = self._carrier
        if carrier is not None and not self._messages and carrier.take(data):
            return
        self._messages.append(data)
        self._queued += len(data)
        if self._wake is not None:
            self._wake.set()

    def flush(self) -> None:
        """Sends what the carrier takes."""
        carrier = self._carrier
        if carrier is None:
            return
        # Taken out first: a carrier may call this again while it takes a message.
        messages, self._messages = self._messages, []
        taken = 0
        for data in messages:
            if not carrier.take(data):
                break
            taken += 1
            self._sent(data)
        self._messages = messages[taken:] + self._messages
        if self.closing and not self._messages:
            self._leave()

    def trace(self, event_id: str) -> None:
        """The message queued last tells of a change; its sending may be a span."""
        if not self._spans.leads(event_id):
            return
        now = time.time_ns()
        if self._messages:
            self._traced.append((self._messages[-1], event_id, now))
        else:
            self._notified(event_id, now)

    def end(self) -> None:
        """Nothing follows: the connection ends once all was sent."""
        self.closing = True
        self.flush()
        if self._wake is not None:
            self._wake.set()

    def cut(self) -> None:
        """Ends the connection, whatever was not sent."""
        if self._carrier is not None:
            self._carrier.abort()
        self._leave()

    def _leave(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def outgoing(self) -> AsyncIterator[list[bytes]]:
        """What was queued, in order, until the end: what came together at once, but
        not more than TOGETHER_BYTES where it is several messages."""
        wake = self._wake = asyncio.Event()
        while True:
            messages, self._messages = self._messages, []
            for several in _parted(messages):
                yield several
                for data in several:
                    self._sent(data)
            if self._messages:
                continue
            if self.closing:
                return
            wake.clear()
            await wake.wait()

    def _sent(self, data: bytes) -> None:
        self._queued -= len(data)
        if self._traced and self._traced[0][0] is data:
            _, event_id, since = self._traced.pop(0)
            self._notified(event_id, since)

    def _notified(self, event_id: str, since: int) -> None:
        now = time.time_ns()
        self._spans.change("notify", (event_id,), since, now, {}, PRODUCER)


def _parted(messages: list[bytes]) -> Iterator[list[bytes]]:
    """Messages in lists of at most TOGETHER_BYTES, or of one."""
    several: list[bytes] = []
    held = 0
    for data in messages:
        if several and held + len(data) > TOGETHER_BYTES:
            yield several
            several, held = [], 0
        several.append(data)
        held += len(data)
    if several:
        yield several
