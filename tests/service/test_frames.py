"""A session's messages on a WebSocket of the real server: order, credit, ends."""

import asyncio
import contextlib
import socket

import aiohttp
import orjson
import pytest
import pytest_asyncio
import uvicorn
from prometheus_client import Counter

from service.stream.outbox import Outbox
from service.tracing import Spans
from service.transport.frames import EXTENSION, Frames

MANY, SIZE = 4_000, 2_048
"""Eight MB: more than the sockets of both sides hold."""
SENT_AHEAD = 64 * 1024
"""Bytes that the server's kernel takes before the client's has room."""


class App:
    """Queues what its client asks for; remembers what happens to the last session."""

    def __init__(self):
        self.outbox = self.frames = self.task = None
        self.ended = asyncio.Event()

    async def __call__(self, scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        spans = Spans(Counter("spans", "", ("outcome",), registry=None))
        self.outbox = Outbox(orjson.dumps, spans)
        self.frames = scope["extensions"][EXTENSION]
        self.task = asyncio.current_task()
        self.frames.carry(self.outbox)
        try:
            while (message := await receive())["type"] == "websocket.receive":
                for n in range(int(message["text"])):
                    self.outbox.queue({"n": n, "text": "x" * SIZE})
        except asyncio.CancelledError:
            if not self.outbox.closing:
                raise
        finally:
            self.ended.set()
        with contextlib.suppress(OSError):
            await send({"type": "websocket.close", "code": 1012})


@pytest_asyncio.fixture
async def app():
    made = App()
    config = uvicorn.Config(
        made, port=0, ws=Frames, ws_ping_interval=None, lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_AHEAD)
    serving = asyncio.create_task(server._serve([listening]))
    while not server.started:
        await asyncio.sleep(0.01)
    made.url = f"ws://127.0.0.1:{listening.getsockname()[1]}/"
    yield made
    server.should_exit = True
    await serving


@pytest_asyncio.fixture
async def client(app):
    async with aiohttp.ClientSession() as session, session.ws_connect(app.url) as made:
        yield made


async def numbers(client, count):
    return [orjson.loads((await client.receive(20)).data)["n"] for _ in range(count)]


async def stalled(app, client):
    """The client has asked for more than it will read."""
    await client.send_str(str(MANY))
    while app.outbox is None or app.outbox.has_credit:
        await asyncio.sleep(0.01)


async def test_a_client_that_reads_gets_all_at_once_and_in_order(app, client):
    for _ in range(3):
        await client.send_str("50")
        assert await numbers(client, 50) == list(range(50))
    assert app.outbox.has_credit


async def test_what_a_slow_client_does_not_read_waits_in_order(app, client):
    await stalled(app, client)
    assert not app.frames.writable.is_set()
    assert await numbers(client, MANY) == list(range(MANY))
    assert app.outbox.has_credit
    await client.send_str("2")
    assert await numbers(client, 2) == [0, 1]


async def test_an_end_comes_after_what_waits(app, client):
    await stalled(app, client)
    app.outbox.end()
    await asyncio.sleep(0.05)
    assert not app.ended.is_set()
    assert await numbers(client, MANY) == list(range(MANY))
    assert (await client.receive(5)).type == aiohttp.WSMsgType.CLOSE
    assert client.close_code == 1012
    assert app.ended.is_set()


async def test_a_cut_waits_for_nobody(app, client):
    await stalled(app, client)
    app.outbox.end()
    app.outbox.cut()
    await asyncio.wait_for(app.ended.wait(), 5)
    read = 0
    with pytest.raises(AssertionError):
        while True:
            message = await client.receive(20)
            assert message.type == aiohttp.WSMsgType.TEXT
            read += 1
    assert read < MANY


async def test_for_a_client_that_went_away_nothing_waits(app):
    async with aiohttp.ClientSession() as session:
        client = await session.ws_connect(app.url)
        await stalled(app, client)
        client._response.connection.transport.abort()
        await asyncio.wait_for(app.ended.wait(), 5)
    assert app.outbox.has_credit
    app.outbox.queue({"n": 0})  # what is still told it is taken and dropped
    assert app.outbox.has_credit


async def test_an_idle_connection_keeps_one_task_and_no_handshake(app):
    before = len(asyncio.all_tasks())
    async with aiohttp.ClientSession() as session:
        sockets = [await session.ws_connect(app.url) for _ in range(20)]
        await sockets[-1].send_str("1")
        await numbers(sockets[-1], 1)
        assert len(asyncio.all_tasks()) - before <= 20
        assert not app.frames.scope
        assert not hasattr(app.frames, "request")
        assert not hasattr(app.frames, "response")
        for each in sockets:
            await each.close()
