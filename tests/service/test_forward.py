"""Writes for a collection whose home is another hub: as if they were sent there."""

import asyncio
import base64
import json
import os
import signal
from types import SimpleNamespace

import aiohttp
import numpy
import pytest
import pytest_asyncio

from service.client import Client
from service.tracing import change_root
from tests.service.asking import filled, refusal, until
from tests.service.drivers import UNARY, Http, Refused
from tests.service.persistent_parts import europe_without_database, followed
from tests.service.test_traces import Receiver
from tests.service.world import wait_gone


@pytest_asyncio.fixture(params=UNARY, ids=lambda kind: kind.name)
async def far(request, party):
    """Asks in asia, over each transport."""
    return party(request.param, "asia")


@pytest_asyncio.fixture
async def http(party):
    """Asks in asia."""
    return party(Http, "asia")


async def homed(party, far, **options):
    """A collection of four items whose home is europe and which asia knows."""
    home = party(Http, "europe")
    name, written = await filled(home, writes="home", **options)
    await followed(far, name, written["token"])
    return name, home, written


async def changes(world, name, region="europe"):
    """(item, op) of what the home's log has of a collection, without its creation."""
    connection = await world.regions[region].postgres.connect()
    rows = await connection.fetch(
        "SELECT item_id, op FROM change WHERE collection = $1 AND op <> 'collection' "
        "ORDER BY epoch, seq",
        name,
    )
    await connection.close()
    return [tuple(row) for row in rows]


async def beyond(world, name):
    """What was written after the four items."""
    return (await changes(world, name))[4:]


def item(name, **more):
    return {"id": name, "vector": [1, 0, 0]} | more


async def fault(world, kind, count):
    """What Pub/Sub does to the next deliveries: `drop` or `twice`."""
    url = f"http://127.0.0.1:{world.broker_port}/{kind}"
    async with aiohttp.ClientSession() as session:
        await session.post(url, json={"count": count})


async def test_it_is_committed_at_home_and_answered_alike(party, far, world):
    name, home, _ = await homed(party, far)
    wanted = [
        item("x", event_id=f"{name}-x", metadata={"n": 1}),
        item("y", event_id=f"{name}-y", vector=[0.1, 0.2, 0.3]),
    ]
    told = await far.call("upsert", collection=name, items=wanted)
    assert (told["region"], told["stored"]) == ("asia", 2)
    assert {r["position"]["origin"] for r in told["results"]} == {"europe"}
    again = await home.call("upsert", collection=name, items=wanted)
    assert again == told | {"region": "europe"}
    assert await beyond(world, name) == [("x", "upsert"), ("y", "upsert")]
    stored = await home.call("get_item", collection=name, id="x")
    assert stored["version"] == told["results"][0]["version"]
    assert stored["metadata"] == {"n": 1}


async def test_a_vector_is_rounded_once_before_it_travels(party, far):
    name, home, _ = await homed(party, far, element_type="f16")
    given = [0.1, 1 / 3, 2.71828]
    for driver, one in ((far, "far"), (home, "near")):
        await driver.call("upsert", collection=name, items=[item(one, vector=given)])
    far_one, near = [
        (await home.call("get_item", collection=name, id=i))["vector"]
        for i in ("far", "near")
    ]
    assert far_one == near


async def test_the_caller_reads_what_it_wrote(party, far):
    name, _, _ = await homed(party, far)
    told = await far.call("upsert", collection=name, items=[item("mine")])
    found = await far.call(
        "search",
        collection=name,
        vector=[1, 0, 0],
        k=10,
        consistency="read_your_writes",
        token=told["token"],
    )
    assert found["region"] == "asia"
    assert "mine" in {hit["id"] for hit in found["hits"]}


async def test_a_condition_is_judged_at_home(party, far, world):
    name, home, written = await homed(party, far)
    version = written["results"][0]["version"]
    one = item("a", if_version=version, event_id=f"{name}-1")
    told = await far.call("upsert", collection=name, items=[one])
    refused = await refusal(
        far.call("upsert", collection=name, items=[item("a", if_version=version)])
    )
    assert refused.code == "version_conflict"
    at_home = await refusal(
        home.call("upsert", collection=name, items=[item("a", if_version=version)])
    )
    assert refused.message == at_home.message
    # The first answer again, though the condition holds no more.
    again = await far.call("upsert", collection=name, items=[one])
    assert again["results"] == told["results"]
    new = item("new", if_version=0)
    assert (await far.call("upsert", collection=name, items=[new]))["stored"] == 1
    gone = [{"id": "a", "if_version": told["results"][0]["version"]}]
    assert (await far.call("delete", collection=name, items=gone))["stored"] == 1
    wanted = [("a", "upsert"), ("new", "upsert"), ("a", "delete")]
    assert await beyond(world, name) == wanted


async def test_an_event_is_one_change_whichever_regions_it_reaches(party, far, world):
    name, home, _ = await homed(party, far)
    one = item("x", event_id=f"{name}-x", if_version=0)
    asked = [party(Http, region) for region in ("asia", "europe", "paris")] * 4
    touched = await home.call("upsert", collection=name, items=[item("touched")])
    await followed(party(Http, "paris"), name, touched["token"])
    told = await asyncio.gather(
        *(one_of.call("upsert", collection=name, items=[one]) for one_of in asked)
    )
    told.append(await far.call("upsert", collection=name, items=[one]))
    assert all(t["results"] == told[0]["results"] for t in told)
    assert (await beyond(world, name))[1:] == [("x", "upsert")]


async def test_a_bad_item_leaves_its_neighbours_alone(party, far):
    name, home, written = await homed(party, far)
    old = written["results"][0]["version"] - 1
    items = [
        item("x"),
        {"id": "bad", "vector": [1]},
        item("a", if_version=old),
        item("y"),
    ]
    told = await far.call("upsert", collection=name, items=items)
    codes = [r.get("error", {}).get("code") for r in told["results"]]
    assert codes == [None, "wrong_dimension", "version_conflict", None]
    assert (told["stored"], told["results"][2]["id"]) == (2, "a")
    near = await home.call("upsert", collection=name, items=items)
    assert [r.get("error") for r in near["results"]] == [
        r.get("error") for r in told["results"]
    ]


async def test_a_patch_is_merged_into_what_home_has(party, far):
    name, home, _ = await homed(party, far)
    # Nothing waits for asia to hear of it.
    await home.call("upsert", collection=name, items=[item("new", metadata={"a": 1})])
    items = [
        {"id": "new", "metadata": {"b": 2}, "event_id": f"{name}-p"},
        {"id": "new", "metadata": {"c": 3}},
        {"id": "none", "metadata": {"b": 2}},
        {"id": "new", "metadata": {"big": "x" * 1100}},
    ]
    told = await far.call("patch", collection=name, items=items)
    codes = [r.get("error", {}).get("code") for r in told["results"]]
    assert codes == [None, None, "unknown_item", "metadata_too_large"]
    assert "body.items[3].metadata" in told["results"][3]["error"]["message"]
    stored = await home.call("get_item", collection=name, id="new")
    assert stored["metadata"] == {"a": 1, "b": 2, "c": 3}
    # The same patch is answered with its change though its item is gone.
    await far.call("delete", collection=name, items=[{"id": "new"}])
    again = await far.call("patch", collection=name, items=items[:1])
    assert again["results"] == told["results"][:1]
    assert (await refusal(home.call("get_item", collection=name, id="new"))).code == (
        "unknown_item"
    )


async def test_what_a_filter_finds_is_what_home_has(party, far):
    name, home, _ = await homed(party, far)
    items = [item(f"n{n}", metadata={"lang": "xx"}) for n in range(20)]
    # Nothing waits for asia to hear of them.
    await home.call("upsert", collection=name, items=items)
    told = await far.call(
        "delete", collection=name, filter={"field": "lang", "eq": "xx"}
    )
    assert (told["stored"], told["more"]) == (20, False)
    assert (await home.call("count_items", collection=name))["count"] == 4
    none = await far.call(
        "delete", collection=name, filter={"field": "lang", "eq": "xx"}
    )
    assert (none["stored"], none["results"]) == (0, [])


@pytest.mark.parametrize("kind", ["drop", "twice"])
async def test_a_message_that_is_lost_or_doubled_changes_nothing(
    party, http, world, kind
):
    name, _, _ = await homed(party, http)
    await fault(world, kind, 3)
    try:
        told = await http.call(
            "upsert", collection=name, items=[item("x", if_version=0)]
        )
    finally:
        await fault(world, kind, 0)
    assert told["stored"] == 1
    assert await beyond(world, name) == [("x", "upsert")]


async def test_a_batch_of_several_messages_keeps_its_order(party, http, world):
    """Of 6.5 MB: three messages; one item is written in the first and the last."""
    name, _, _ = await homed(party, http)
    limits = {"max_body_bytes": 2**24, "max_batch_items": 1000}
    one = world.regions["asia"].second_instance(SERVICE_LIMITS=json.dumps(limits))
    wide = f"{name}w"
    home = party(Http, "europe")
    await home.call("create_collection", name=wide, dimension=4096, writes="home")
    large = Http(SimpleNamespace(url=f"http://127.0.0.1:{one['port']}"))
    party.open.append(large)
    await until(lambda: _known(large, wide), lambda known: known, 30)
    vectors = numpy.random.default_rng(7).random((300, 4096), "<f4")
    items = [
        {"id": str(n % 299), "vector": v.tobytes(), "metadata": {"n": n}}
        for n, v in enumerate(vectors)
    ]
    told = await large.call("upsert", collection=wide, items=items)
    assert told["stored"] == 300
    places = [r["position"]["seq"] for r in told["results"]]
    assert places == sorted(set(places))
    last = await home.call("get_item", collection=wide, id="0")
    assert last["metadata"] == {"n": 299}
    assert last["version"] == told["results"][299]["version"]


async def _known(driver, name):
    try:
        return await driver.call("describe_collection", collection=name)
    except (Refused, aiohttp.ClientError):
        return None


async def test_without_its_database_a_home_is_away_and_nothing_is_done(
    party, http, world
):
    name, _, _ = await homed(party, http)
    one = item("x", event_id=f"{name}-x")
    async with europe_without_database(world):
        refused = await refusal(http.call("upsert", collection=name, items=[one]))
        assert refused.code == "home_away" and "event ids" in refused.message
        assert refused.details == {"home": "europe"}
        by_filter = http.call("delete", collection=name, filter={"field": "n", "eq": 1})
        assert (await refusal(by_filter)).code == "home_away"
        # Reading goes on.
        assert (await http.call("get_item", collection=name, id="a"))["id"] == "a"
    assert await beyond(world, name) == []
    told = await http.call("upsert", collection=name, items=[one])
    assert told["stored"] == 1
    assert await beyond(world, name) == [("x", "upsert")]


async def test_a_home_that_says_nothing_is_away_by_the_deadline(party, http, world):
    name, _, _ = await homed(party, http)
    hurried = party(Http, "asia")
    hurried.session.headers["x-meridian-timeout-ms"] = "700"
    europe = world.regions["europe"]
    europe.kill("worker")
    one = item("x", event_id=f"{name}-x")
    try:
        refused = await refusal(hurried.call("upsert", collection=name, items=[one]))
        assert refused.code == "home_away" and "waited" in refused.message
    finally:
        europe.start_worker()
    # What nobody waits for is not done, though its message is still there.
    told = await http.call("upsert", collection=name, items=[item("y")])
    assert told["stored"] == 1
    assert await beyond(world, name) == [("y", "upsert")]
    again = await http.call("upsert", collection=name, items=[one])
    assert again["stored"] == 1
    assert await beyond(world, name) == [("y", "upsert"), ("x", "upsert")]


async def test_a_home_that_dies_while_it_writes_stores_it_once(party, http, world):
    """The worker is killed with the question at hand; another one is asked again."""
    name, _, _ = await homed(party, http)
    europe = world.regions["europe"]
    os.kill(europe.worker["pid"], signal.SIGSTOP)
    asked = asyncio.create_task(
        http.call("upsert", collection=name, items=[item("x", if_version=0)])
    )
    await asyncio.sleep(0.5)
    os.kill(europe.worker["pid"], signal.SIGKILL)
    await asyncio.to_thread(wait_gone, europe.worker["pid"])
    europe.start_worker()
    assert (await asked)["stored"] == 1
    assert await beyond(world, name) == [("x", "upsert")]


async def test_a_forwarded_write_waits_for_a_copy_in_another_region(party, http):
    """Paris copies europe."""
    name, _, _ = await homed(party, http, durability="region")
    told = await http.call("upsert", collection=name, items=[item("x")])
    assert told["results"][0]["position"]["origin"] == "europe"


async def test_without_a_copy_elsewhere_a_forwarded_write_is_not_told(party, world):
    """No replica follows asia, so its worker must not acknowledge."""
    home, europe = party(Http, "asia"), party(Http, "europe")
    name = f"{os.urandom(5).hex()}c"
    made = home.call(
        "create_collection",
        name=name,
        dimension=3,
        writes="home",
        durability="region",
    )
    assert (await refusal(made)).code == "unavailable"
    await until(lambda: _known(europe, name), lambda known: known, 20)
    one = item("x", event_id=f"{name}-x")
    for _ in range(2):
        refused = await refusal(europe.call("upsert", collection=name, items=[one]))
        assert refused.code == "unavailable"
        assert "No other region has a copy" in refused.message
    assert await changes(world, name, "asia") == [("x", "upsert")]


async def test_the_client_asks_until_the_home_is_back(party, http, world):
    name, _, _ = await homed(party, http)
    async with Client(world.regions["asia"].url, deadline=60) as client:
        async with europe_without_database(world):
            writing = asyncio.create_task(client.put(name, [item("x")]))
            refused = http.call("upsert", collection=name, items=[item("y")])
            assert (await refusal(refused)).code == "home_away"
            assert not writing.done()
        (result,) = await writing
    assert result["position"]["origin"] == "europe"
    assert await beyond(world, name) == [("x", "upsert")]


async def test_a_pushed_message_comes_again_while_the_home_is_away(party, http, world):
    name, _, _ = await homed(party, http)
    data = base64.b64encode(json.dumps({"items": [item("x")]}).encode()).decode()
    message = {"messageId": name, "data": data, "attributes": {"collection": name}}

    async def push():
        url = f"{http.url}/v1/push"
        async with http.session.post(url, json={"message": message}) as answer:
            return answer.status, await answer.json()

    async with europe_without_database(world):
        status, answer = await push()
        assert (status, answer["error"]["code"]) == (503, "home_away")
    for _ in range(2):
        assert await push() == (200, {"stored": 1, "refused": ""})
    assert await beyond(world, name) == [("x", "upsert")]


async def test_its_trace_leads_from_the_caller_to_the_home(party, http, world):
    name, _, _ = await homed(party, http)
    event, trace = f"{name}-x", "0af7651916cd43dd8448eb211c80319d"
    http.session.headers["traceparent"] = f"00-{trace}-b7ad6b7169203331-01"
    await http.call("upsert", collection=name, items=[item("x", event_id=event)])
    root = change_root(event).trace.hex()
    found = await Receiver(world).one(root, "write", "commit", *["feed"] * 3)
    (span,) = [s for s in found["spans"] if s["name"] == "write"]
    assert span["region"] == "europe"
    assert span["links"] == [trace]
