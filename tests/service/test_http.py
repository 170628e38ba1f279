"""One instance over HTTP, with real Postgres and Redis below it."""

import asyncio
import base64
import json
import uuid

import aiohttp
import numpy
import pytest
import pytest_asyncio

from service.client import Client, ClientError
from service.log.change import Position
from service.stream.token import write_token
from service.text.minilm import load as load_model

pytestmark = pytest.mark.asyncio


@pytest.fixture
def asia(world):
    return world.regions["asia"]


async def post(url, body, **options):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=data, **options) as answer,
    ):
        return answer.status, answer.headers, await answer.json()


async def get(url, method="GET"):
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url) as answer,
    ):
        return answer.status, answer.headers, await answer.text()


@pytest_asyncio.fixture
async def name(asia):
    made = f"c{uuid.uuid4().hex[:12]}"
    async with Client(asia.url) as client:
        await client.create(made, dimension=3)
    return made


async def test_what_was_stored_is_found_read_and_deleted(asia, name):
    async with Client(asia.url) as client:
        results = await client.put(
            name,
            [
                {"id": "x", "vector": [1, 0, 0], "metadata": {"text": "ex"}},
                {"id": "y/ü%41?", "vector": [0, 2, 0]},
                {"id": "z", "vector": [1, 1, 0]},
            ],
        )
        assert [r["position"]["seq"] for r in results] == sorted(
            r["position"]["seq"] for r in results
        )
        hits = await search_until(client, name, 3)
        assert [h["id"] for h in hits] == ["x", "z", "y/ü%41?"]
        assert hits[0]["score"] == pytest.approx(1)
        assert hits[1]["score"] == pytest.approx(0.5**0.5)
        assert hits[0]["metadata"] == {"text": "ex"}
        item = await client.get(name, "y/ü%41?")
        vector = numpy.frombuffer(base64.b64decode(item["vector"]), "<f4")
        assert vector.tolist() == [0, 2, 0]
        assert item["version"] == results[1]["version"]
        await client.delete(name, ["x"])
        hits = await search_until(client, name, 2)
        assert [h["id"] for h in hits] == ["z", "y/ü%41?"]
        with pytest.raises(ClientError) as refused:
            await client.get(name, "x")
        assert refused.value.code == "unknown_item"
        assert (await client.describe(name))["count"] == 2
        assert name in [c["name"] for c in await client.collections()]


async def search_until(client, name, count):
    for _ in range(200):
        hits = await client.search(name, vector=[1, 0, 0])
        if len(hits) == count:
            return hits
        await asyncio.sleep(0.02)
    raise AssertionError(hits)


async def test_a_minimum_score_and_k_bound_the_hits(asia, name):
    async with Client(asia.url) as client:
        items = [{"id": str(n), "vector": [1, n, 0]} for n in range(10)]
        await client.put(name, items)
        await search_until(client, name, 10)
        assert len(await client.search(name, vector=[1, 0, 0], k=4)) == 4
        near = await client.search(name, vector=[1, 0, 0], minimum_score=0.7)
        assert [h["id"] for h in near] == ["0", "1"]


async def test_the_same_event_id_is_stored_once(asia, name):
    async with Client(asia.url) as client:
        item = {"id": "a", "vector": [1, 0, 0], "event_id": "event-1" + name}
        first = await client.put(name, [item])
        again = await client.put(name, [item, item])
        assert {r["position"]["seq"] for r in again} == {first[0]["position"]["seq"]}
        assert {r["version"] for r in again} == {first[0]["version"]}


async def test_creating_again_is_the_same_and_never_changes_a_field(asia, name):
    async with Client(asia.url) as client:
        assert (await client.create(name, dimension=3))["dimension"] == 3
        with pytest.raises(ClientError) as refused:
            await client.create(name, dimension=4)
        assert (refused.value.status, refused.value.code) == (409, "immutable_field")


async def test_one_bad_item_never_fails_the_others(asia, name):
    items = [
        {"id": "good", "vector": [1, 0, 0]},
        {"id": "short", "vector": [1, 0]},
        {"id": "odd", "vector": [1, 0, 0], "colour": "red"},
        {"id": "big", "vector": [1, 0, 0], "metadata": {"a": "x" * 2000}},
        {"id": "last", "vector": [0, 1, 0], "metadata": {"nul": "a\u0000b"}},
    ]
    url = f"{asia.url}/v1/collections/{name}/items:upsert"
    status, _, body = await post(url, {"items": items})
    assert status == 200
    codes = [r.get("error", {}).get("code") for r in body["results"]]
    assert codes == [
        None,
        "wrong_dimension",
        "unknown_key",
        "metadata_too_large",
        None,
    ]
    assert body["stored"] == 2
    async with Client(asia.url) as client:
        assert len(await search_until(client, name, 2)) == 2
        assert (await client.get(name, "last"))["metadata"] == {"nul": "a\u0000b"}


def upsert(vector):
    return {"items": [{"id": "bad", "vector": vector}]}


BAD = [
    ("/items:upsert", b'{"items": [', 400, "bad_json"),
    ("/items:upsert", b'{"items": [{"id": "a", "vector": [NaN]}]}', 400, "bad_json"),
    ("/items:upsert", upsert([1, 2]), 400, "wrong_dimension"),
    ("/items:upsert", upsert([1, 2, 1e39]), 400, "not_finite"),
    ("/items:upsert", upsert("AADAfwAAwH8AAMB/"), 400, "not_finite"),
    ("/items:upsert", upsert(["a", 1, 2]), 400, "wrong_type"),
    ("/items:upsert", {"items": []}, 400, "batch_empty"),
    ("/items:upsert", {"items": [{}] * 201}, 400, "batch_too_large"),
    ("/items:upsert", {"item": []}, 400, "unknown_key"),
    ("/items:upsert", {}, 400, "missing_key"),
    ("/items:upsert", [], 400, "wrong_type"),
    ("/items:delete", {"items": [{"id": 3}]}, 400, "wrong_type"),
    (":search", {"vector": [1, 0, 0], "k": 0}, 400, "out_of_range"),
    (":search", {"vector": [1, 0]}, 400, "wrong_dimension"),
    (":search", {}, 400, "bad_request"),
    (":find", {}, 404, "not_found"),
]


@pytest.mark.parametrize(("path", "body", "status", "code"), BAD)
async def test_bad_input_is_refused_in_words_and_stores_nothing(
    asia, name, path, body, status, code
):
    url = f"{asia.url}/v1/collections/{name}{path}"
    got, headers, answer = await post(url, body, headers={"x-request-id": "ask-12345"})
    error = answer["error"]
    assert (got, error["code"]) == (status, code)
    assert error["request_id"] == headers["x-request-id"] == "ask-12345"
    assert headers["x-meridian-region"] == "asia"
    assert "x-meridian-retry" not in headers
    assert len(error["message"]) > 20
    async with Client(asia.url) as client:
        assert (await client.describe(name))["count"] == 0


async def test_a_body_over_the_limit_is_refused(asia, name):
    url = f"{asia.url}/v1/collections/{name}/items:upsert"
    status, _, answer = await post(url, b" " * (2**20 + 1))
    assert (status, answer["error"]["code"]) == (413, "body_too_large")

    async def chunks():
        for _ in range(40):
            yield b" " * 2**15

    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=chunks()) as reply,
    ):
        assert reply.status == 413


async def test_an_unknown_collection_is_refused(asia):
    base = f"{asia.url}/v1/collections/nowhere"
    for path, body in (
        (":search", {"vector": [1]}),
        ("/items:upsert", upsert([1])),
        ("/items:delete", {"items": [{"id": "a"}]}),
    ):
        status, _, answer = await post(base + path, body)
        assert (status, answer["error"]["code"]) == (404, "unknown_collection")
    assert (await get(base))[0] == 404
    assert (await get(base + "/items/a"))[0] == 404


async def test_a_wrong_method_and_a_wrong_path_say_so(asia):
    assert (await get(f"{asia.url}/v1/collections", "DELETE"))[0] == 405
    assert (await get(f"{asia.url}/v2"))[0] == 404


async def test_sentences_are_stored_and_found(asia):
    if load_model() is None:
        pytest.skip("the extra [text] is not installed")
    made = f"c{uuid.uuid4().hex[:12]}"
    async with Client(asia.url) as client:
        await client.create(made, dimension=384)
        texts = {"goal": "Argentina score a goal", "cash": "Inflation rises"}
        await client.put(made, [{"id": i, "text": t} for i, t in texts.items()])
        for _ in range(100):
            hits = await client.search(made, text="Messi finds the net")
            if len(hits) == 2:
                break
            await asyncio.sleep(0.05)
        assert hits[0]["id"] == "goal"
        (vector,) = await client.embed(["Argentina score a goal"])
        assert len(vector) == 384
        assert (await client.search(made, vector=vector, k=1))[0]["score"] > 0.999


async def test_a_sentence_in_a_narrow_collection_is_refused(asia, name):
    url = f"{asia.url}/v1/collections/{name}:search"
    status, _, answer = await post(url, {"text": "hello"})
    expected = "wrong_dimension" if load_model() else "text_unavailable"
    assert (status, answer["error"]["code"]) == (400, expected)


async def test_health_metrics_and_schema_answer(asia, name):
    status, _, body = await get(f"{asia.url}/health/ready")
    assert status == 200
    ready = json.loads(body)
    assert ready["status"] == "ok"
    assert ready["kernel"]
    for probe in ("startup", "live"):
        assert (await get(f"{asia.url}/health/{probe}"))[0] == 200
    status, _, text = await get(f"{asia.url}/metrics")
    assert status == 200
    for metric in (
        "meridian_http_requests_total{",
        "meridian_commit_seconds_count",
        "meridian_kernel{",
        "meridian_applied_position{",
    ):
        assert metric in text
    worker = f"http://127.0.0.1:{asia.worker['port']}"
    assert (
        'meridian_applied_position{origin="asia"}'
        in (await get(f"{worker}/metrics"))[2]
    )
    assert "$defs" in (await get(f"{asia.url}/v1/schema"))[2]


async def test_many_writers_leave_no_hole_and_no_double(asia, name):
    async with Client(asia.url) as client:

        async def write(n):
            items = [{"id": f"{n}-{i}", "vector": [1, i, n]} for i in range(5)]
            return await client.put(name, items)

        written = await asyncio.gather(*(write(n) for n in range(60)))
    connection = await asia.postgres.connect()
    try:
        assert await connection.fetchval("SHOW fsync") == "on"
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
        lane = written[0][0]["position"]["lane"]
        seqs = await connection.fetch(
            "SELECT seq FROM change WHERE origin = 'asia' AND lane = $1 ORDER BY seq",
            lane,
        )
        head = await connection.fetchval(
            "SELECT seq FROM head WHERE origin = 'asia' AND lane = $1", lane
        )
    finally:
        await connection.close()
    assert [r[0] for r in seqs] == list(range(1, head + 1))
    acknowledged = [r["position"]["seq"] for results in written for r in results]
    assert len(set(acknowledged)) == 300


async def test_a_token_of_what_was_never_written_leaves_no_lane_behind(asia, name):
    """It is a caller's word: an instance that believed it would be taken away."""
    _, _, text = await get(f"{asia.url}/v1/collections/{name}")
    positions = {"asia": Position(1, 2**62), "nowhere": Position(1, 5)}
    body = {
        "vector": [1, 0, 0],
        "consistency": "read_your_writes",
        "token": write_token(json.loads(text)["lane"], positions, 0),
        "deadline_ms": 300,
    }
    status, _, answer = await post(f"{asia.url}/v1/collections/{name}:search", body)
    assert (status, answer["error"]["code"]) == (503, "behind")
    lags = []
    for _ in range(25):  # It looks every second.
        status, _, text = await get(f"{asia.url}/health/ready")
        lags.append(json.loads(text)["lag"])
        assert status == 200
        await asyncio.sleep(0.1)
    # A write of the test before may be one that the region has yet to hear of.
    assert max(lags) < 100
    assert lags[-1] == 0
