"""What a connection still has to send, whatever carries it."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from service.tracing import PRODUCER, Spans

CREDIT_BYTES = 256 * 1024
"""Queued bytes from which on a connection's streams stop advancing."""
GRACE = 5.0
"""Seconds between `goaway` and the end."""
Encode = Callable[[dict[str, Any]], bytes]


class Outbox:
    """Messages in order; a transport sends what `outgoing` yields."""

    def __init__(self, encode: Encode, spans: Spans) -> None:
        self._encode = encode
        self._spans = spans
        self._messages: deque[bytes] = deque()
        self._queued = 0
        self._traced: deque[tuple[bytes, str, int]] = deque()
        """Queued matches of changes whose spans are kept: message, event id, since."""
        self._wake = asyncio.Event()
        self.closing = False

    @property
    def has_credit(self) -> bool:
        """Whether more may be queued."""
        return self._queued < CREDIT_BYTES

    def queue(self, message: dict[str, Any]) -> None:
        """Queues a message."""
        data = self._encode(message)
        self._messages.append(data)
        self._queued += len(data)
        self._wake.set()

    def trace(self, event_id: str) -> None:
        """The message queued last tells of a change; its sending may be a span."""
        if self._spans.leads(event_id):
            self._traced.append((self._messages[-1], event_id, time.time_ns()))

    def end(self) -> None:
        """Nothing follows: `outgoing` ends once all was sent."""
        self.closing = True
        self._wake.set()

    async def outgoing(self) -> AsyncIterator[bytes]:
        """What was queued, in order, until the end."""
        while True:
            while self._messages:
                data = self._messages.popleft()
                yield data
                self._queued -= len(data)
                if self._traced and self._traced[0][0] is data:
                    self._notified()
            if self.closing:
                return
            self._wake.clear()
            await self._wake.wait()

    def _notified(self) -> None:
        _, event_id, since = self._traced.popleft()
        now = time.time_ns()
        self._spans.change("notify", (event_id,), since, now, {}, PRODUCER)
