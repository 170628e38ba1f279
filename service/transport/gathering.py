"""A transport that sends what one turn of the event loop wrote in one call.

uvloop calls the kernel at every `write`. An answer is written in two parts, head and
body, and several notifications of a connection in as many: a call each costs more than
all else that is done for a small answer (benchmarks/README.md, "Search").
"""

import asyncio
from typing import Any

MOST_HELD = 64 * 1024
"""Bytes that are held back; asyncio's transports call as many enough."""


class Gathering:
    """Stands before a transport of asyncio; what it does not know it passes on."""

    __slots__ = ("_held", "_loop", "_parts", "_transport")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes] = []
        self._held = 0
        """Bytes of them."""

    def write(self, data: bytes) -> None:
        """Sends at the end of this turn, or when much has come together: only what
        is sent tells a writer that its client does not read."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)
        self._held += len(data)
        if self._held >= MOST_HELD:
            self._flush()

    def writelines(self, parts: list[bytes]) -> None:
        """Sends at the end of this turn."""
        self.write(b"".join(parts))

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel has not taken."""
        size: int = self._transport.get_write_buffer_size()
        return size + self._held

    def close(self) -> None:
        """Closes once everything is sent."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether it closes or is closed."""
        closing: bool = self._transport.is_closing()
        return closing

    def _flush(self) -> None:
        parts = self._parts
        if not parts:
            return
        self._parts, self._held = [], 0
        if not self._transport.is_closing():
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
