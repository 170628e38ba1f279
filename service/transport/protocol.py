"""uvicorn's HTTP protocol: patience for a slow client, few calls of the kernel."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.transport.gathering import Gathering

HEADER_SECONDS = 10.0
"""Until the headers of a request must be there, from the connection's opening or from
the first byte of a later request."""
BODY_SECONDS = 60.0
"""Until its body must be there; Cloud Run's own limit is that of the request."""


class Patient(HttpToolsProtocol):
    """Closes connections whose request does not arrive in time.

    A client that opens many and sends a byte now and then would hold them all.
    """

    _until: float | None = None
    """When patience ends, by the loop's clock; None: nothing is waited for."""
    _timer: asyncio.TimerHandle | None = None
    """One for all the requests of a connection, which looks at `_until` when it rings:
    three new ones for each cost more than the parsing of its headers."""

    def connection_made(self, transport: Any) -> None:
        """Begins to wait for the first request."""
        super().connection_made(Gathering(transport))  # type: ignore[arg-type]
        self._wait(HEADER_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits no longer."""
        self._stop()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Another protocol takes over: a timer would keep this one, with its parser."""
        self._stop()
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._wait(HEADER_SECONDS)

    def on_headers_complete(self) -> None:
        """The headers are there."""
        self._wait(BODY_SECONDS)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is there."""
        self._until = None
        super().on_message_complete()

    def _stop(self) -> None:
        self._until = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, seconds: float) -> None:
        self._until = self.loop.time() + seconds
        if self._timer is None or self._timer.when() > self._until:
            self._ring_at(self._until)

    def _ring_at(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_at(moment, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._until is None:
            return
        if self.loop.time() < self._until:
            self._ring_at(self._until)
        elif not self.transport.is_closing():
            self.transport.close()
