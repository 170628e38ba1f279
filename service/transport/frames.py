"""uvicorn's WebSocket protocol, with less of it kept for a connection that is idle.

Notifications go to the socket where they are made: a task for each connection that
waits for them, and an ASGI message for each, cost more than all else that is done for
one (benchmarks/README.md, "notifications").
"""

import asyncio
import struct
from collections import deque
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import (
    WebSocketsSansIOProtocol,
)
from websockets.protocol import State

from service.stream.outbox import Outbox

EXTENSION = "meridian.frames"
"""Of an ASGI scope: the connection's `Frames`."""


_FINAL_TEXT = 0x81
_SHORT, _MIDDLE = 126, 1 << 16
_LENGTH16, _LENGTH64 = struct.Struct("!BBH").pack, struct.Struct("!BBQ").pack


def text_frame(data: bytes) -> bytes:
    """A server's unmasked frame without extensions (RFC 6455, section 5.2).

    The library builds an object and a file in memory for each: 8 % of a notification.
    """
    size = len(data)
    if size < _SHORT:
        return bytes((_FINAL_TEXT, size)) + data
    if size < _MIDDLE:
        return _LENGTH16(_FINAL_TEXT, 126, size) + data
    return _LENGTH64(_FINAL_TEXT, 127, size) + data


class Events:
    """What the protocol uses of an asyncio.Queue, which keeps four deques, 3 KiB.

    One task reads it.
    """

    __slots__ = ("_events", "_waiting")

    def __init__(self) -> None:
        self._events: list[Any] = []
        self._waiting: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        """Whether a reader would wait."""
        return not self._events

    def put_nowait(self, event: Any) -> None:
        """Adds an event."""
        self._events.append(event)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def get(self) -> Any:
        """The next event."""
        while not self._events:
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        return self._events.pop(0)


class Flag:
    """What the protocol uses of an asyncio.Event; set from the start."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] | None = None
        """Those who wait; None while it is set."""

    def is_set(self) -> bool:
        """Whether nobody has to wait."""
        return self._waiting is None

    def clear(self) -> None:
        """From now on one waits."""
        if self._waiting is None:
            self._waiting = deque()

    def set(self) -> None:
        """Nobody waits any longer."""
        waiting, self._waiting = self._waiting, None
        for future in waiting or ():
            if not future.done():
                future.set_result(None)

    async def wait(self) -> None:
        """Returns once it is set."""
        if self._waiting is not None:
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future


class Frames(WebSocketsSansIOProtocol):
    """Carries an `Outbox`'s messages as text frames."""

    _outbox: Outbox | None = None

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.queue = Events()  # type: ignore[assignment]
        self.writable = Flag()  # type: ignore[assignment]

    def handle_connect(self, event: Any) -> None:
        """The handshake has come: the application finds the connection in its scope."""
        super().handle_connect(event)
        if not self.handshake_complete:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[EXTENSION] = self

    def carry(self, outbox: Outbox) -> None:
        """From now on takes what is queued; the running task reads."""
        self._outbox = outbox
        task = asyncio.current_task()
        assert task is not None
        outbox.carried(task, self)
        if self.handshake_complete:
            # What the handshake was made of is of no use any more.
            self.scope.clear()  # type: ignore[attr-defined]
            self.request.headers.clear()
            del self.request, self.response

    def take(self, data: bytes) -> bool:
        """Sends a message, UTF-8; False while the client does not read."""
        if not self.writable.is_set():
            return False
        if self.conn.state is State.OPEN and not self.disconnected:
            self.transport.write(text_frame(data))
        return True

    def abort(self) -> None:
        """Ends the connection though its client has not taken everything."""
        self.transport.abort()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: nothing that waits for it waits any longer."""
        super().connection_lost(exc)
        self._flush()
        self._outbox = None  # which has this: neither waits for the collector

    def _flush(self) -> None:
        if self._outbox is not None:
            self._outbox.flush()
