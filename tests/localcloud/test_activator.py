"""Scale from zero: a connection waits for the instance that it starts."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from localcloud.realise.activator import Activator


class Instance:
    """A service that answers what it is sent, backwards, and counts its starts."""

    def __init__(self) -> None:
        self.started = 0
        self.server: asyncio.Server | None = None

    async def wake(self) -> int:
        if self.server is None:
            await asyncio.sleep(0.05)
            self.started += 1
            self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self.server.sockets[0].getsockname()[1])

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        data = await reader.read()
        writer.write(data[::-1])
        await writer.drain()
        writer.close()


async def asked(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


@pytest.mark.asyncio
async def test_what_is_sent_early_arrives_whole_and_is_answered() -> None:
    instance = Instance()
    activator = Activator(instance.wake)
    port = await activator.open()
    long = bytes(range(256)) * 4096
    assert await asked(port, long) == long[::-1]
    assert await asked(port, b"again") == b"niaga"
    assert instance.started == 1
    activator.close()
    with pytest.raises(ConnectionRefusedError):
        await asked(port, b"late")
    assert instance.server
    instance.server.close()


@pytest.mark.asyncio
async def test_without_an_instance_the_connection_is_closed() -> None:
    async def nothing() -> None:
        return None

    async def broken() -> int:
        raise RuntimeError("the template ended")

    for wake in (nothing, broken):
        activator = Activator(wake)
        port = await activator.open()
        # Reset where it is closed with what was sent unread.
        with contextlib.suppress(ConnectionResetError):
            assert await asked(port, b"x") == b""
        activator.close()
