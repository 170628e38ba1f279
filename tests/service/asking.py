"""What the suites over all transports ask with."""

import asyncio
import uuid

import aiohttp
import numpy
import pytest

from tests.service.drivers import Refused


def fresh():
    return f"c{uuid.uuid4().hex[:12]}"


def floats(*numbers):
    return numpy.array(numpy.float32(numbers), "<f4").tobytes()


async def until(ask, wanted, seconds=10):
    """Asks again until the answer is as wanted: a region follows its log."""
    for _ in range(int(seconds / 0.05)):
        answer = await ask()
        if wanted(answer):
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError(f"not reached: {answer}")


async def refusal(work):
    with pytest.raises(Refused) as refused:
        await work
    return refused.value


async def scraped(url):
    """Values of `/metrics` by name and labels."""
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        lines = (await answer.text()).splitlines()
    values = (line.rsplit(" ", 1) for line in lines if line and line[0] != "#")
    return {name: float(value) for name, value in values}


async def filled(driver, **options):
    """A collection of four items, and what the write answered."""
    name = fresh()
    await driver.call("create_collection", name=name, dimension=3, **options)
    items = [
        {"id": "a", "vector": [1, 0, 0], "metadata": {"lang": "de", "price": 5}},
        {"id": "b", "vector": floats(1, 1, 0), "metadata": {"lang": "fr", "price": 15}},
        {"id": "c", "vector": [0, 0, 2], "metadata": {"lang": "de", "price": 25}},
        {"id": "d", "vector": [0, 3, 0]},
    ]
    written = await driver.call("upsert", collection=name, items=items)
    # The instance has followed its log to here: "now" is after the four.
    await driver.call(
        "search",
        collection=name,
        vector=[1, 0, 0],
        consistency="read_your_writes",
        token=written["token"],
    )
    return name, written


def watching(name, **options):
    return {
        "type": "watch",
        "stream": "s",
        "collection": name,
        "vector": [1, 0, 0],
        "threshold": 0.5,
    } | options


def _quiet(kind):
    return kind in ("heartbeat", "watching", "connected")


async def of_type(streams, kind, seconds=20, passes=_quiet):
    """The next message of a kind; before it may come only what `passes`, which does not
    keep it waiting."""
    async with asyncio.timeout(seconds):
        while True:
            message = await streams.receive(seconds)
            assert message is not None
            if message["type"] == kind:
                return message
            assert passes(message["type"]), message


class Party:
    """Connections of a test, closed at its end."""

    def __init__(self, world):
        self.world = world
        self.open = []

    def __call__(self, kind, region):
        self.open.append(kind(self.world.regions[region]))
        return self.open[-1]
