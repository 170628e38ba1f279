"""Standing queries across regions."""

import asyncio
import json
import math
import os
import signal
import uuid

import aiohttp
import pytest
import pytest_asyncio

from service.client import Client, ClientError, Query
from tests.service.world import wait_gone, wait_ready

pytestmark = pytest.mark.asyncio


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


async def known(client, name):
    for _ in range(400):
        try:
            return await client.describe(name)
        except ClientError:
            await asyncio.sleep(0.02)
    raise AssertionError(f"{name} did not arrive at {client.url}")


def item(n, angle=0.0, **more):
    return {"id": f"i{n}", "vector": [math.cos(angle), math.sin(angle)], **more}


async def take(watching, count, seconds=20.0):
    found = []
    async with asyncio.timeout(seconds):
        async for match in watching:
            found.append(match)
            if len(found) == count:
                return found
    return found


async def nothing_more(watching, seconds=0.4):
    with pytest.raises(TimeoutError):
        await take(watching, 1, seconds)


async def test_a_write_in_any_region_is_told_in_every_region_once(world, name):
    clients = {n: Client(r.url) for n, r in world.regions.items()}
    query = Query(stream="s", collection=name, vector=[1, 0], threshold=0.9)
    watching = {n: c.watch([query]) for n, c in clients.items()}
    for one in watching.values():
        await one.ready()
    written = {}
    for n, region in enumerate(list(world.regions) * 4):
        metadata = {"text": f"from {region}"}
        results = await clients[region].put(
            name, [item(n, 0.1, metadata=metadata), item(f"far{n}", 1.5)]
        )
        written[results[0]["event_id"]] = region
    for region, one in watching.items():
        matches = await take(one, len(written))
        assert {m.event_id: m.written_in for m in matches} == written
        assert {m.region for m in matches} == {region}
        assert all(abs(m.score - math.cos(0.1)) < 1e-6 for m in matches)
        await nothing_more(one, 0.2)
        assert one.repeats == 0
        await one.close()
    for client in clients.values():
        await client.close()


async def test_a_token_of_one_region_resumes_in_another(world, name):
    query = Query(stream="s", collection=name, vector=[1, 0], threshold=0.5)
    async with Client(world.regions["asia"].url) as asia:
        watching = asia.watch([query])
        await watching.ready()
        await asia.put(name, [item(n) for n in range(3)])
        seen = await take(watching, 3)
        token = watching.tokens["s"]
        await watching.close()
        await asia.put(name, [item(n) for n in range(3, 40)])
        async with Client(world.regions["paris"].url) as paris:
            await paris.put(name, [item(99)])
            resumed = paris.watch(
                [
                    Query(
                        stream="s",
                        collection=name,
                        vector=[1, 0],
                        threshold=0.5,
                        start={"token": token},
                    )
                ]
            )
            missed = await take(resumed, 38)
            await nothing_more(resumed)
            await resumed.close()
    assert {m.id for m in seen} == {"i0", "i1", "i2"}
    assert {m.id for m in missed} == {f"i{n}" for n in range(3, 40)} | {"i99"}
    assert resumed.repeats == 0
    assert resumed.gaps == []
    of_asia = [m.position["seq"] for m in missed if m.position["origin"] == "asia"]
    assert of_asia == sorted(of_asia)


async def test_watching_from_a_minute_ago_gives_what_is_in_the_log(world, name):
    async with Client(world.regions["europe"].url) as client:
        await client.put(name, [item(n) for n in range(7)])
        query = Query(
            stream="s",
            collection=name,
            vector=[1, 0],
            threshold=0.5,
            start={"seconds": 60},
        )
        watching = client.watch([query])
        assert len(await take(watching, 7)) == 7
        await watching.close()


async def test_a_retry_through_another_hub_is_told_once(world, name):
    query = Query(stream="s", collection=name, vector=[1, 0], threshold=0.5)
    async with (
        Client(world.regions["asia"].url) as asia,
        Client(world.regions["europe"].url) as europe,
        Client(world.regions["paris"].url) as paris,
    ):
        watching = [c.watch([query]) for c in (asia, europe, paris)]
        for one in watching:
            await one.ready()
        start = watching[2].tokens["s"]
        for n in range(5):
            same = item(n, event_id=f"same-{name}-{n}")
            await asia.put(name, [same])
            await europe.put(name, [same])
        await asia.put(name, [item("end")])
        await europe.put(name, [item("end2")])
        for one in watching:
            found = await take(one, 7)
            assert len({m.event_id for m in found}) == 7
            await nothing_more(one)
            assert one.repeats == 0
        token = Query(
            stream="s",
            collection=name,
            vector=[1, 0],
            threshold=0.5,
            start={"token": start},
        )
        replayed = paris.watch([token])
        assert len({m.event_id for m in await take(replayed, 7)}) == 7
        await nothing_more(replayed)
        assert replayed.repeats == 0
        for one in (*watching, replayed):
            await one.close()


async def test_a_request_repeated_in_another_region_is_one_event(world, name):
    """What a load balancer does after a 503: same body, same request id."""
    query = Query(stream="s", collection=name, vector=[1, 0], threshold=0.5)
    path = f"/v1/collections/{name}/items:upsert"
    asia, europe = world.regions["asia"], world.regions["europe"]
    async with Client(asia.url) as client, aiohttp.ClientSession() as session:
        watching = client.watch([query])
        await watching.ready()
        for n in range(3):
            headers = {"x-request-id": f"request-{name}"}
            for region in (asia, europe):
                body = {"items": [item(n), item(f"{n}b")]}
                async with session.post(
                    region.url + path, json=body, headers=headers
                ) as answer:
                    assert answer.status == 200
        found = await take(watching, 6)
        assert {m.id for m in found} == {
            f"i{n}{b}" for n in range(3) for b in ("", "b")
        }
        await nothing_more(watching)
        assert watching.repeats == 0
        await watching.close()


async def test_a_token_that_the_log_no_longer_holds_gives_a_gap(world, name):
    region = world.regions["europe"]
    query = Query(stream="s", collection=name, vector=[1, 0], threshold=0.5)
    async with Client(region.url) as client:
        watching = client.watch([query])
        await watching.ready()
        token = watching.tokens["s"]
        await watching.close()
        results = await client.put(name, [item(n) for n in range(10)])
        lane = results[0]["position"]["lane"]
        connection = await region.postgres.connect()
        # What retention does, at a finer grain than a range.
        await connection.execute(
            "DELETE FROM change WHERE origin = 'europe' AND lane = $1 AND seq <= $2",
            lane,
            results[4]["position"]["seq"],
        )
        await connection.close()
        late = Query(
            stream="s",
            collection=name,
            vector=[1, 0],
            threshold=0.5,
            start={"token": token},
        )
        watching = client.watch([late])
        found = await take(watching, 5)
        await watching.close()
    assert {m.id for m in found} == {f"i{n}" for n in range(5, 10)}
    (gap,) = watching.gaps
    assert gap.origin == "europe"
    assert gap.before == (1, results[5]["position"]["seq"])


async def test_lost_and_doubled_messages_are_repaired(world, name):
    query = Query(stream="s", collection=name, vector=[1, 0], threshold=0.5)
    broker = f"http://127.0.0.1:{world.broker_port}"
    async with (
        Client(world.regions["asia"].url) as asia,
        Client(world.regions["europe"].url) as europe,
        Client(world.regions["paris"].url) as paris,
        aiohttp.ClientSession() as session,
    ):
        watching = [c.watch([query]) for c in (asia, europe, paris)]
        for one in watching:
            await one.ready()
        written = set()
        for n in range(30):
            fault = {0: "drop", 10: "twice", 29: "drop"}.get(n)
            if fault:
                async with session.post(f"{broker}/{fault}", json={"count": 3}):
                    pass
            (result,) = await asia.put(name, [item(n)])
            written.add(result["event_id"])
        for one in watching:
            found = await take(one, 30)
            assert {m.event_id for m in found} == written
            await nothing_more(one, 0.2)
            assert one.repeats == 0
            await one.close()


async def test_a_watcher_that_does_not_read_gets_everything_later(world, name):
    region = world.regions["asia"]
    big = {"text": "x" * 900}
    async with (
        Client(region.url) as client,
        aiohttp.ClientSession() as session,
        session.ws_connect(region.url + "/v1/watch", max_msg_size=0) as socket,
    ):
        for stream in range(20):
            await socket.send_json(
                {
                    "type": "watch",
                    "stream": f"s{stream}",
                    "collection": name,
                    "vector": [1, 0],
                    "threshold": 0.5,
                }
            )
        for _ in range(20):
            assert (await socket.receive_json())["type"] == "watching"
        for n in range(5):
            await client.put(name, [item(f"{n}-{i}", metadata=big) for i in range(60)])
        await asyncio.sleep(0.5)
        seen = {}
        async with asyncio.timeout(30):
            while sum(map(len, seen.values())) < 20 * 300:
                message = await socket.receive_json()
                if message["type"] == "match":
                    seen.setdefault(message["stream"], []).append(message)
    for matches in seen.values():
        events = [m["event_id"] for m in matches]
        assert len(events) == len(set(events)) == 300
        order = [m["position"]["seq"] for m in matches]
        assert order == sorted(order)


WRONG = [
    ("no json", "bad_json"),
    ({"type": "shout"}, "bad_request"),
    ({"type": "drop", "stream": "none"}, "unknown_stream"),
    ({"type": "watch", "stream": "a", "vector": [1, 0]}, "missing_key"),
    ({"threshold": math.inf}, "bad_json"),
    ({"vector": [1, 0, 0]}, "wrong_dimension"),
    ({"collection": "nowhere"}, "unknown_collection"),
    ({"from": {"token": "x"}}, "bad_token"),
    ({"from": "yesterday"}, "out_of_range"),
    ({"from": {"seconds": -1}}, "out_of_range"),
    ({"stream": "kept"}, "duplicate_stream"),
    ({"colour": "red"}, "unknown_key"),
]


async def test_a_wrong_message_is_refused_and_the_connection_lives(world, name):
    url = world.regions["asia"].url + "/v1/watch"
    right = {
        "type": "watch",
        "stream": "kept",
        "collection": name,
        "vector": [1, 0],
        "threshold": 0.5,
    }
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        await socket.send_json(right)
        assert (await socket.receive_json())["type"] == "watching"
        for wrong, code in WRONG:
            text = wrong
            if isinstance(wrong, dict):
                base = {} if "type" in wrong else {**right, "stream": "other"}
                text = json.dumps({**base, **wrong})
            await socket.send_str(text)
            answer = await socket.receive_json()
            assert (answer["type"], answer["error"]["code"]) == ("error", code)
        await socket.send_json({"type": "ping"})
        beat = await socket.receive_json()
        assert beat["type"] == "heartbeat"
        assert list(beat["tokens"]) == ["kept"]


async def test_sigterm_says_goaway_and_ends_and_the_client_resumes(world, name):
    region = world.regions["asia"]
    query = Query(stream="s", collection=name, vector=[1, 0], threshold=0.5)
    async with Client(region.url) as client:
        watching = client.watch([query])
        await watching.ready()
        pid = region.instance["pid"]
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(region.url + "/v1/watch") as socket,
            session.get(region.url + "/admin/matches"),
        ):
            await socket.send_json({"type": "ping"})
            assert (await socket.receive_json())["type"] == "heartbeat"
            os.kill(pid, signal.SIGTERM)
            assert (await socket.receive_json())["type"] == "heartbeat"
            assert (await socket.receive_json())["type"] == "goaway"
            await asyncio.to_thread(wait_gone, pid, 10)
        region.start_instance()
        client._urls[:] = [region.url]
        async with aiohttp.ClientSession() as session:
            await wait_ready(session, region)
        await client.put(name, [item(1)])
        (match,) = await take(watching, 1)
        assert match.id == "i1"
        assert watching.reconnects >= 1
        await watching.close()


async def test_delivered_matches_are_shown_to_the_console(world, name):
    region = world.regions["asia"]
    query = Query(stream="s", collection=name, vector=[1, 0], threshold=0.5)
    async with Client(region.url) as client, aiohttp.ClientSession() as session:
        watching = client.watch([query])
        await watching.ready()
        async with session.get(region.url + "/admin/matches") as events:
            assert events.headers["content-type"] == "text/event-stream"
            await client.put(name, [item(1, metadata={"text": "shown " + name})])
            async with asyncio.timeout(10):
                async for line in events.content:
                    if name.encode() in line:
                        break
        shown = json.loads(line.removeprefix(b"data: "))
        assert (shown["stream"], shown["item"]) == ("s", "i1")
        assert shown["written_in"] == shown["region"] == "asia"
        await watching.close()
