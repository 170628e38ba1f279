"""Persistent streams as the client library gives them."""

import asyncio
import uuid

import pytest
import pytest_asyncio
from typer.testing import CliRunner

from ops import data
from ops.commands.data import group
from ops.errors import CommandError
from service.client import Client, ClientError, Query, SyncClient
from tests.service.persistent_parts import europe_without_database, row
from tests.service.test_streams import item, known, nothing_more


@pytest_asyncio.fixture
async def name(world):
    """A collection that every region knows."""
    made = f"c{uuid.uuid4().hex[:12]}"
    async with Client(world.regions["asia"].url) as client:
        await client.create(made, dimension=2)
    for region in world.regions.values():
        async with Client(region.url) as client:
            await known(client, made)
    return made


def query(name, **options):
    return Query(stream="s", collection=name, vector=[1, 0], threshold=0.5, **options)


async def reached(look, wanted, seconds=15):
    async with asyncio.timeout(seconds):
        while (seen := await look()) != wanted:
            await asyncio.sleep(0.05)
    return seen


async def kept(world, stream):
    found = await row(world, stream)
    return found and found["acked_position"]


@pytest.mark.parametrize("over", ["websocket", "sse"])
async def test_what_was_taken_comes_no_more_in_another_process(world, name, over):
    europe, asia = world.regions["europe"], world.regions["asia"]
    async with Client(europe.url) as client:
        watching = client.watch([query(name)], over, persistent=True)
        await watching.ready()
        stream = watching.ids["s"]
        await client.put(name, [item(n) for n in range(4)])
        matches = aiter(watching)
        first = [await anext(matches) for _ in range(3)]
        # Two are dealt with; the third is in the application's hands.
        await watching.close()
    assert [m.id for m in first] == ["i0", "i1", "i2"]
    await reached(lambda: kept(world, stream), first[1].token)
    async with Client(asia.url) as other:
        again = other.attach(stream, over)
        matches = aiter(again)
        assert [(await anext(matches)).id for _ in range(2)] == ["i2", "i3"]
        await nothing_more(again, 0.3)
        await again.close()


async def test_with_explicit_acks_nothing_is_acknowledged_by_itself(world, name):
    europe = world.regions["europe"]
    async with Client(europe.url) as client:
        watching = client.watch([query(name)], persistent=True, acks="explicit")
        await watching.ready()
        stream, start = watching.ids["s"], watching.tokens["s"]
        await client.put(name, [item(n) for n in range(3)])
        matches = aiter(watching)
        first, second, _ = [await anext(matches) for _ in range(3)]
        await asyncio.sleep(1.5)
        assert await kept(world, stream) == start
        await watching.ack(second)
        await reached(lambda: kept(world, stream), second.token)
        assert watching.acked["s"] == second.token
        # One that comes late undoes none.
        await watching.ack(first)
        await asyncio.sleep(1.5)
        assert await kept(world, stream) == second.token
        await watching.close()
        again = client.attach(stream)
        assert (await anext(aiter(again))).id == "i2"
        await again.close()
        with pytest.raises(ValueError, match="acks"):
            client.watch([query(name)], acks="never")
        ephemeral = client.watch([query(name)])
        with pytest.raises(ValueError, match="persistent"):
            await ephemeral.ack(first)


async def test_the_former_client_is_told_that_it_is_one(world, name):
    async with (
        Client(world.regions["europe"].url) as client,
        Client(world.regions["asia"].url) as other,
    ):
        first = client.watch([query(name)], persistent=True)
        await first.ready()
        second = other.attach(first.ids["s"])
        await second.ready()
        with pytest.raises(ClientError) as fenced:
            async with asyncio.timeout(15):
                await anext(aiter(first))
        assert fenced.value.code == "fenced" and fenced.value.status == 409
        await second.close()


async def test_a_lost_connection_goes_on_and_gives_everything_once(world, name):
    europe = world.regions["europe"]
    async with Client(europe.url) as client:
        watching = client.watch([query(name)], persistent=True)
        await watching.ready()
        stream = watching.ids["s"]
        await client.put(name, [item(n) for n in range(3)])
        matches = aiter(watching)
        assert (await anext(matches)).id == "i0"
        await watching._channel._socket.close()
        await client.put(name, [item(n) for n in range(3, 5)])
        assert [(await anext(matches)).id for _ in range(4)] == ["i1", "i2", "i3", "i4"]
        assert watching.reconnects >= 1
        await nothing_more(watching, 0.3)
        assert (await row(world, stream))["epoch"] == 2
        await client.drop_stream(stream)
        assert stream not in [s["id"] for s in await client.streams()]
        with pytest.raises(ClientError) as gone:
            async with asyncio.timeout(20):
                await anext(aiter(watching))
        assert gone.value.code == "not_found"


async def test_with_its_home_away_the_client_goes_on_by_itself(world, name):
    paris, asia = world.regions["paris"], world.regions["asia"]
    async with Client(paris.url) as client, Client(asia.url) as writer:
        watching = client.watch([query(name)], persistent=True)
        await watching.ready()
        stream = watching.ids["s"]
        await writer.put(name, [item(1)])
        matches = aiter(watching)
        first = await anext(matches)
        async with europe_without_database(world):
            await watching._channel._socket.close()
            await writer.put(name, [item(2)])
            # What it looks for is known to the client; the log is in Paris too.
            second = await anext(matches)
            assert second.id == "i2" or second.id == first.id
        while second.id != "i2":
            second = await anext(matches)
        await watching.ack(second)
        await reached(lambda: kept(world, stream), second.token, 40)
        assert (await row(world, stream))["epoch"] == 2
        await watching.close()


class EnoughError(Exception):
    """Ends a command that goes on until interrupted."""


async def test_the_command_goes_on_by_an_id(world, name):
    europe = world.regions["europe"]

    def tell(match):
        raise EnoughError(match["id"])

    async with Client(europe.url) as client:
        watching = client.watch([query(name)], persistent=True)
        await watching.ready()
        await watching.close()
        await client.put(name, [item(7)])
        with pytest.raises(EnoughError, match="i7"):
            await data.attach(europe.url, watching.ids["s"], tell)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--attach", "europe.0", "--persistent"], "leave the rest out"),
        (["news", "a goal", "--attach", "europe.0"], "leave the rest out"),
        (["news"], "a collection and a text"),
        (["news", "a goal", "--lease", "60"], "--persistent"),
    ],
)
def test_the_command_refuses_what_does_not_go_together(words, said):
    result = CliRunner().invoke(group, ["watch", *words])
    assert isinstance(result.exception, CommandError)
    assert said in str(result.exception)


async def test_without_a_loop_it_is_the_same(world, name):
    def attached(url, stream):
        with SyncClient(url) as client:
            matches = client.attach(stream)
            client.put(name, [item(5)])
            found = next(matches)
            matches.close()
            client.drop_stream(stream)
            return found.id, stream in [s["id"] for s in client.streams()]

    europe = world.regions["europe"]
    async with Client(europe.url) as client:
        watching = client.watch([query(name)], persistent=True)
        await watching.ready()
        stream = watching.ids["s"]
        await watching.close()
    assert await asyncio.to_thread(attached, europe.url, stream) == ("i5", False)
