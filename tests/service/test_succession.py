"""A replica is promoted, and durability `region`."""

import asyncio
import uuid

import aiohttp
import pytest
import pytest_asyncio

from service.client import Client
from tests.service.promotion import (
    LIMITS,
    REGIONS,
    eventually,
    known,
    promotion,
    ready,
    stored,
)
from tests.service.world import World

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def own(tmp_path_factory, template, cluster):
    """A world of its own: afterwards it is not what the other tests expect."""
    made = World(tmp_path_factory.mktemp("lost"), template, cluster, REGIONS, LIMITS)
    yield made
    made.close()


@pytest_asyncio.fixture
async def world(own):
    return own


async def upsert(region, collection, item):
    path = f"{region.url}/v1/collections/{collection}/items:upsert"
    body = {
        "items": [{"id": item, "vector": [1, 0], "event_id": f"{collection}{item}"}]
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(path, json=body) as answer,
    ):
        return answer.status, answer.headers, await answer.json()


async def test_without_a_copy_elsewhere_nothing_is_promised(world):
    """No replica follows asia: its writes are stored, and not acknowledged."""
    await world.ready()
    asia, europe = world.regions["asia"], world.regions["europe"]
    name = f"c{uuid.uuid4().hex[:10]}"
    async with Client(europe.url) as client:
        await client.create(name, dimension=2, durability="region")
        (result,) = await client.put(name, [{"id": "a", "vector": [1, 0]}])
        assert result["position"]["origin"] == "europe"
    async with Client(asia.url) as client:
        await known(client, name)
    for _ in range(2):
        status, _, answer = await upsert(asia, name, "b")
        assert (status, answer["error"]["code"]) == (503, "unavailable")
        assert "No other region has a copy" in answer["error"]["message"]
    assert set(await stored(asia, name)) >= {"b"}


async def test_the_replica_of_a_lost_hub_goes_on_with_its_log(world):
    asia, europe, paris = (world.regions[n] for n in ("asia", "europe", "paris"))
    at_home = f"c{uuid.uuid4().hex[:10]}"
    async with Client(europe.url) as client:
        await client.create(at_home, dimension=2, writes="home")
    for region in (asia, paris):
        async with Client(region.url) as client:
            await known(client, at_home)
    ledger, risked = await promotion(world)
    assert ledger.promised == ledger.kept
    assert ledger.lost == ledger.after_the_end
    assert 0 < len(ledger.lost) < len(ledger.acknowledged)
    assert ledger.recalled > 0
    assert ledger.found <= set(ledger.heard)
    assert len(ledger.heard) == len(set(ledger.heard))
    assert ledger.gaps == 0
    await converged(asia, paris, risked)
    # Two workers took the log over; one began the epoch.
    assert (paris.folder / "worker.log").read_text().count('"epoch begun"') == 1

    # It is the home of what is written in its hub, for other hubs too.
    async with Client(asia.url) as client:
        (result,) = await client.put(at_home, [{"id": "a", "vector": [1, 0]}])
    place = (result["position"]["origin"], result["position"]["epoch"])
    assert place == ("europe", 2)

    # The lost server comes back and believes to be the primary still.
    await asyncio.to_thread(europe.postgres.start)
    europe.redis.start()
    world.primaries["europe"] = europe
    europe.start_worker()
    europe.start_instance()
    world.primaries["europe"] = paris
    await ready(europe)
    log = europe.folder / "worker.log"
    await eventually(lambda: "another server leads this log" in log.read_text())
    status, headers, _ = await upsert(europe, risked, "astray")
    assert (status, headers["x-meridian-retry"]) == (503, "elsewhere")
    await converged(asia, paris, risked)


async def converged(one, other, collection):
    """Both hold the same of a collection, within ten seconds."""
    for _ in range(100):
        if await stored(one, collection) == await stored(other, collection):
            return
        await asyncio.sleep(0.1)
    assert await stored(one, collection) == await stored(other, collection)
