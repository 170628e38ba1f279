"""The client against real instances: every transport, failures, streams."""

import asyncio
import contextlib
import uuid

import aiohttp
import aiohttp.web
import numpy
import pytest
import pytest_asyncio

from service.client import Client, ClientError, DeadlineError, Query, SyncClient, load
from service.client.channels import OVER
from service.client.client import TRANSPORTS
from tests.service.servers import free_port
from tests.service.world import wait_listening


def url_of(region, over):
    port = region.grpc["port"] if over == "grpc" else region.instance["port"]
    return f"http://127.0.0.1:{port}"


@pytest_asyncio.fixture(params=TRANSPORTS)
async def client(request, world):
    asia = world.regions["asia"]
    async with Client(url_of(asia, request.param), over=request.param) as made:
        yield made


def fresh():
    return f"c{uuid.uuid4().hex[:12]}"


async def test_every_method_over_every_transport(client):
    name = fresh()
    await client.create(name, dimension=2, element_type="f16")
    results = await client.put(
        name,
        [
            {"id": "a", "vector": numpy.float32([1, 0]).tobytes()},
            {"id": "b", "vector": [0, 1], "metadata": {"n": 1}},
        ],
    )
    assert [r["id"] for r in results] == ["a", "b"]
    await client.patch(name, [{"id": "b", "metadata": {"m": 2}}])
    assert (await client.get(name, "b"))["metadata"] == {"n": 1, "m": 2}
    for _ in range(100):
        hits = await client.search(name, vector=[1, 0.1], k=2)
        if len(hits) == 2:
            break
        await asyncio.sleep(0.05)
    assert [h["id"] for h in hits] == ["a", "b"]
    many = await client.search_many(name, [[1, 0], [0, 1]], k=1)
    assert [[h["id"] for h in hits] for hits in many] == [["a"], ["b"]]
    assert [i["id"] async for i in client.scroll(name, page=1)] == ["a", "b"]
    assert await client.count(name) == 2
    assert name in [c["name"] for c in await client.collections()]
    assert await client.delete_where(name, {"field": "n", "exists": True}) == 1
    with pytest.raises(ClientError) as refused:
        await client.get(name, "b")
    assert refused.value.code == "unknown_item" and refused.value.status == 404
    await client.drop(name)


@pytest.mark.parametrize("over", OVER)
async def test_streams_over_every_transport_survive_a_drain(world, over):
    """An instance that is told to end hands its streams on: no gap, no double."""
    name = fresh()
    asia, europe = world.regions["asia"], world.regions["europe"]
    protocol = {"MERIDIAN_PROTOCOL": "grpc"} if over == "grpc" else {}
    doomed = asia.second_instance(**protocol)
    rpc = "grpc" if over == "grpc" else "http"
    urls = [f"http://127.0.0.1:{doomed['port']}", url_of(europe, over)]
    async with Client(asia.url) as writer, Client(urls, over=rpc) as reader:
        await writer.create(name, dimension=2)
        for url in urls:
            await wait_listening(int(url.rsplit(":", 1)[1]))
            async with Client(url, over=rpc) as one:
                await reachable(one, name)
        query = Query(stream="s", collection=name, vector=[1, 0], threshold=0.5)
        watching = reader.watch([query], over)
        await asyncio.wait_for(watching.ready(), 20)
        heard = []

        async def listen():
            async for match in watching:
                heard.append(match.id)

        listening = asyncio.create_task(listen())
        for n in range(60):
            await writer.put(name, [{"id": str(n), "vector": [1, 0]}])
            if n == 20:
                asia.end(doomed)
        for _ in range(200):
            if len(heard) >= 60:
                break
            await asyncio.sleep(0.05)
        await watching.close()
        listening.cancel()
    assert heard == [str(n) for n in range(60)]
    assert watching.reconnects >= 1 and watching.gaps == []


async def reachable(client, name):
    for _ in range(200):
        with contextlib.suppress(ClientError):
            await client.describe(name)
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{name} did not arrive")


@pytest.mark.parametrize("over", OVER)
async def test_a_watcher_marks_pauses_and_grants_over_every_transport(world, over):
    asia = world.regions["asia"]
    name = fresh()
    rpc = "grpc" if over == "grpc" else "http"
    async with Client(url_of(asia, over), over=rpc) as client:
        await client.create(name, dimension=2)
        query = Query(
            stream="s", collection=name, vector=[1, 0], threshold=0.5, credit=1
        )
        watching = client.watch([query], over)
        await watching.ready()
        items = [{"id": str(n), "vector": [1, 0.1 * n]} for n in range(3)]
        await client.put(name, items)
        matches = aiter(watching)
        assert (await asyncio.wait_for(anext(matches), 10)).id == "0"
        pending = asyncio.ensure_future(anext(matches))
        assert not (await asyncio.wait([pending], timeout=0.3))[0]
        await watching.credit("s", 5)
        assert (await asyncio.wait_for(pending, 10)).id == "1"
        await watching.feedback("s", "1", good=True)
        for _ in range(100):
            if watching.learned:
                break
            await asyncio.sleep(0.05)
        assert watching.learned["s"]["marks"] == 1
        await watching.feedback("s", "nothing", good=True)
        for _ in range(100):
            if watching.refusals:
                break
            await asyncio.sleep(0.05)
        assert watching.refusals[0]["code"] == "unknown_item"
        await watching.close()


class Flaky:
    """A server in front of an instance that fails as it is told."""

    def __init__(self, target):
        self.target = target
        self.seen = []
        self.fail = 0
        self.delay = 0.0
        self.status = 503

    async def __aenter__(self):
        app = aiohttp.web.Application()
        app.router.add_route("*", "/{path:.*}", self.serve)
        self.session = aiohttp.ClientSession()
        self.runner = aiohttp.web.AppRunner(app)
        await self.runner.setup()
        port = free_port()
        await aiohttp.web.TCPSite(self.runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_):
        await self.runner.cleanup()
        await self.session.close()

    async def serve(self, request):
        self.seen.append((request.path, request.headers))
        if self.delay:
            await asyncio.sleep(self.delay)
        data = await request.read()
        if self.fail > 0:
            self.fail -= 1
            # Done, but the answer is lost: the worst kind of failure.
            async with self.session.request(
                request.method, self.target + request.raw_path, data=data
            ):
                pass
            error = {"code": "unavailable", "message": "lost"}
            return aiohttp.web.json_response({"error": error}, status=self.status)
        async with self.session.request(
            request.method, self.target + request.raw_path, data=data
        ) as answer:
            body = await answer.read()
            return aiohttp.web.Response(status=answer.status, body=body)


@pytest_asyncio.fixture
async def flaky(world):
    async with Flaky(world.regions["asia"].url) as made:
        yield made


async def test_a_write_whose_answer_was_lost_is_stored_once(flaky):
    name = fresh()
    async with Client(flaky.url) as client:
        await client.create(name, dimension=2)
        flaky.fail = 2
        (result,) = await client.put(name, [{"id": "a", "vector": [1, 0]}])
        item = await client.get(name, "a")
        assert result["version"] == item["version"]


async def test_retries_end_at_the_deadline_and_are_few(flaky):
    flaky.fail = 10**6
    async with Client(flaky.url) as client:
        before = asyncio.get_running_loop().time()
        # Whether the deadline falls into an attempt or between two is chance.
        with pytest.raises((ClientError, DeadlineError)):
            await client.call("list_collections", deadline=1.0)
        assert asyncio.get_running_loop().time() - before < 5
        assert 1 < len(flaky.seen) <= 20
        assert len({h["X-Request-Id"] for _, h in flaky.seen}) == 1


async def test_a_refusal_for_good_is_not_asked_again(flaky):
    async with Client(flaky.url) as client:
        with pytest.raises(ClientError) as refused:
            await client.describe("nowhere")
        assert refused.value.code == "unknown_collection"
        assert len(flaky.seen) == 1


async def test_a_slow_read_is_hedged_and_a_write_is_not(world, flaky):
    name = fresh()
    asia = world.regions["asia"].url
    async with Client([flaky.url, asia], hedge_after=0.05) as client:
        await client.create(name, dimension=2)
        flaky.delay = 4.0
        flaky.seen.clear()
        answer = await asyncio.wait_for(client.call("list_collections"), 3.5)
        assert name in [c["name"] for c in answer["collections"]]
        flaky.delay = 0.3
        flaky.seen.clear()
        await client.put(name, [{"id": "a", "vector": [1, 0]}])
        assert len(flaky.seen) == 1


async def test_nobody_there_is_said_within_the_deadline():
    async with Client(f"http://127.0.0.1:{free_port()}") as client:
        with pytest.raises(DeadlineError) as ended:
            await client.call("list_collections", deadline=0.5)
        assert "list_collections" in str(ended.value)


async def test_answers_are_cached_until_a_write(flaky):
    name = fresh()
    async with Client(flaky.url, cache_entries=100, cache_seconds=60) as client:
        await client.create(name, dimension=2)
        await client.put(name, [{"id": "a", "vector": [1, 0]}])
        flaky.seen.clear()
        for _ in range(5):
            await client.get(name, "a")
        assert len(flaky.seen) == 1
        await client.patch(name, [{"id": "a", "metadata": {"new": 1}}])
        assert (await client.get(name, "a"))["metadata"] == {"new": 1}


async def test_a_load_says_how_far_it_is_and_what_was_refused(client):
    name, seen = fresh(), []
    await client.create(name, dimension=2)
    items = ({"id": str(n), "vector": [1, n]} for n in range(1000))
    bad = [{"id": "bad", "vector": [1]}]

    def all_items():
        yield from items
        yield from bad

    done = await load(
        client,
        name,
        all_items(),
        batch=100,
        progress=lambda state: seen.append(state.stored),
    )
    assert done.stored == 1000 and seen == sorted(seen) and len(seen) == 11
    assert [r["error"]["code"] for r in done.refused] == ["wrong_dimension"]
    assert await client.count(name) == 1000


def test_without_a_loop_it_is_the_same(running):
    asia = running.regions["asia"]
    name = fresh()
    with SyncClient(asia.url) as client:
        client.create(name, dimension=2)
        query = Query(stream="s", collection=name, vector=[1, 0], threshold=0.5)
        matches = client.watch([query])
        done = client.load(name, ({"id": str(n), "vector": [1, 0]} for n in range(5)))
        assert done.stored == 5
        assert sorted(i["id"] for i in client.scroll(name, page=2)) == list("01234")
        client.delete(name, ["0"])
        matches.close()
        with pytest.raises(ClientError):
            client.get(name, "0")


def test_a_key_is_never_shown():
    client = Client("http://127.0.0.1:1", key="mk_abc_secret")
    assert "secret" not in repr(client)


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="http, websocket, grpc"):
        Client("http://127.0.0.1:1", over="carrier pigeon")
    with pytest.raises(ValueError, match="at least one"):
        Client([])


async def test_what_is_watched_ends_with_its_client(world):
    asia = world.regions["asia"]
    async with Client(asia.url) as client:
        name = f"c{uuid.uuid4().hex[:12]}"
        await client.create(name, dimension=2)
        query = Query(stream="s", collection=name, vector=[1, 0], threshold=0.5)
        watching = client.watch([query])
        await watching.ready()
    async with asyncio.timeout(5):
        assert [match async for match in watching] == []
    await asyncio.sleep(1.2)  # longer than any pause before it would connect again
    assert client._sessions._session is None
