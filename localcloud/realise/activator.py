"""Scale from zero: holds connections to a service until an instance has started."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger("run")
CHUNK = 65_536


class Activator:
    """A listener that wakes a pool, then passes bytes to one of its instances.

    Envoy is given its port while the pool is empty, and the instance's as soon as that
    is ready; what came through here stays here to its end.
    """

    def __init__(self, wake: Callable[[], Awaitable[int | None]]) -> None:
        self._wake = wake
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        """The port that it listens on."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Take no more connections."""
        if self._server:
            self._server.close()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            port = await self._wake()
            if port is None:
                return
            inner, outer = await asyncio.open_connection("127.0.0.1", port)
            try:
                await asyncio.gather(_pass(reader, outer), _pass(inner, writer))
            finally:
                outer.close()
        except OSError as error:
            log.debug("a connection through the activator broke: %s", error)
        except Exception:
            log.exception("an instance could not be started for a connection")
        finally:
            writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes of one direction, then its end."""
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
