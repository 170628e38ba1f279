"""Writes for a collection whose home is another hub."""

import pytest_asyncio

from tests.service.asking import filled, refusal
from tests.service.drivers import UNARY, Http
from tests.service.test_persistent import Party, followed


@pytest_asyncio.fixture
async def party(world):
    made = Party(world)
    yield made
    for driver in made.open:
        await driver.close()


@pytest_asyncio.fixture(params=UNARY, ids=lambda kind: kind.name)
async def far(request, party):
    """Asks in asia, over each transport."""
    return party(request.param, "asia")


async def homed(party, far, **options):
    """A collection whose home is europe, known in asia; asks in europe."""
    home = party(Http, "europe")
    name, written = await filled(home, writes="home", **options)
    await followed(far, name, written["token"])
    return name, home, written


async def item_of(home, name, item):
    return await home.call("get_item", collection=name, id=item)


async def test_what_is_written_elsewhere_is_committed_at_home(party, far):
    name, home, _ = await homed(party, far)
    item = {"id": "x", "vector": [1, 0, 0], "event_id": "e1", "metadata": {"n": 1}}
    told = await far.call("upsert", collection=name, items=[item])
    assert told["region"] == "asia" and told["stored"] == 1
    (result,) = told["results"]
    assert result["position"]["origin"] == "europe"
    same = await home.call("upsert", collection=name, items=[item])
    assert same["results"] == [result]
    assert same["token"] == told["token"]
    stored = await item_of(home, name, "x")
    assert (stored["version"], stored["metadata"]) == (result["version"], {"n": 1})
