"""What a client says of a stream before the connection that it says it on knows it."""

import asyncio

import pytest

from service.client import Client, ClientError, Query
from service.client.queries import Match

TOLD = {"stream": "s", "collection": "c", "threshold": 0.5, "token": "t1"}
ATTACHED = {"type": "attached", "stream": "s", "id": "x" * 32, "definition": {}}


class Recorder:
    """A channel that keeps what it is to send."""

    def __init__(self):
        self.sent = []

    async def send(self, message):
        self.sent.append(message)


@pytest.fixture
async def watching():
    async with Client("http://127.0.0.1:1") as client:
        query = Query(stream="s", collection="c", vector=[1.0], threshold=0.5)
        made = client.watch([query], persistent=True, acks="explicit")
        made._channel = Recorder()
        yield made


async def confirm(watching):
    await watching._handle({"type": "watching", "region": "a", **TOLD})
    await watching._handle(ATTACHED)


async def test_nothing_is_said_of_a_stream_that_is_not_there_yet(watching):
    for said in (
        watching.feedback("s", "i", good=True),
        watching.undo("s"),
        watching.credit("s", 5),
        watching.pause("s"),
        watching.resume("s"),
    ):
        with pytest.raises(ClientError) as refused:
            await said
        assert refused.value.code == "unavailable"
    assert watching._channel.sent == []
    await confirm(watching)
    await watching.credit("s", 5)
    assert [m["type"] for m in watching._channel.sent] == ["credit"]


async def test_an_acknowledgement_waits_for_the_next_connection(watching):
    await confirm(watching)
    watching._confirmed.clear()  # the connection was lost, and is there again
    await watching.ack(Match("s", "c", "e", "i", {}, 1, "a", "a", 0, 0, 0, "t2", {}))
    assert watching._channel.sent == []
    await watching._handle(ATTACHED)
    async with asyncio.timeout(10):
        while not watching._channel.sent:
            await asyncio.sleep(0.02)
    assert watching._channel.sent == [{"type": "ack", "stream": "s", "token": "t2"}]


async def test_a_stream_whose_home_is_away_is_taken_over_at_once(watching):
    await confirm(watching)
    watching._confirmed.clear()
    away = {"code": "home_away", "message": "", "details": {}}
    assert await watching._handle({"type": "error", "stream": "s", "error": away})
    (sent,) = watching._channel.sent
    assert (sent["type"], sent["unfenced"], sent["token"]) == ("attach", True, "t1")
