"""The server's protocol: answers in one piece, and no patience without end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from service.transport import protocol
from service.transport.gathering import Gathering
from service.transport.protocol import Patient

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class Recorder:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closing = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 7

    def get_extra_info(self, name: str) -> str:
        return f"its {name}"


async def test_a_turn_is_sent_at_once_and_in_order():
    below = Recorder()
    transport = Gathering(below)
    transport.write(b"head ")
    transport.writelines([b"and ", b"body"])
    assert transport.get_write_buffer_size() == 7 + 13
    assert below.written == []
    await asyncio.sleep(0)
    assert below.written == [b"head and body"]
    transport.write(b"next")
    await asyncio.sleep(0)
    assert below.written == [b"head and body", b"next"]


async def test_closing_sends_first_and_nothing_after():
    below = Recorder()
    transport = Gathering(below)
    transport.write(b"last words")
    transport.close()
    assert (below.written, transport.is_closing()) == ([b"last words"], True)
    transport.write(b"too late")
    await asyncio.sleep(0)
    assert below.written == [b"last words"]


async def test_it_passes_on_what_it_does_not_know():
    assert Gathering(Recorder()).get_extra_info("socket") == "its socket"
    with pytest.raises(AttributeError):
        _ = Gathering(Recorder()).nothing_of_the_kind


async def hello(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 0.3)
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.6)
    config = uvicorn.Config(
        hello, port=0, http=Patient, lifespan="off", log_config=None, loop="none"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    return await reader.readexactly(5)


@pytest.mark.parametrize(
    "begun",
    [b"", b"GET / HT", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc"],
    ids=["nothing", "half a head", "half a body"],
)
async def test_a_request_that_does_not_arrive_ends_its_connection(port, begun):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(begun)
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()


async def test_a_second_request_has_its_own_patience(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await ask(reader, writer) == b"hello"
    # Longer than a head may take: between requests nothing is waited for.
    await asyncio.sleep(0.9)
    assert await ask(reader, writer) == b"hello"
    writer.write(b"GET / HT")
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()
