"""One suite for every cell of the capability matrix: the same answers everywhere."""

import base64

import numpy
import pytest
import pytest_asyncio

from service.contract import OPERATIONS
from service.contract.matrix import MATRIX
from tests.service.asking import filled, floats, fresh, refusal, until
from tests.service.drivers import UNARY, Grpc, Http

CALLS = {driver.name: driver for driver in UNARY}


@pytest.fixture
def asia(world):
    return world.regions["asia"]


@pytest_asyncio.fixture(params=sorted(CALLS))
async def driver(request, asia):
    made = CALLS[request.param](asia)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def http(asia):
    made = Http(asia)
    yield made
    await made.close()


def test_the_matrix_names_every_operation_and_transport():
    assert MATRIX.keys() == set(OPERATIONS) | {"watch"}
    assert all("http" in MATRIX[n] and "grpc" in MATRIX[n] for n in OPERATIONS)
    assert set(MATRIX["watch"]) == {"websocket", "sse", "grpc"}
    assert {n for n, carried in MATRIX.items() if "push" in carried} == {
        "upsert",
        "patch",
        "delete",
    }


async def test_collections_are_created_described_listed_and_dropped(driver):
    name = fresh()
    made = await driver.call(
        "create_collection", name=name, dimension=3, metric="l2", element_type="f16"
    )
    again = await driver.call(
        "create_collection", name=name, dimension=3, metric="l2", element_type="f16"
    )
    assert made == again
    assert made["metric"] == "l2" and made["score"] == "higher is nearer"
    other = driver.call("create_collection", name=name, dimension=4, metric="l2")
    assert (await refusal(other)).code == "immutable_field"
    await driver.call(
        "upsert", collection=name, items=[{"id": "x", "vector": [1, 2, 3]}]
    )
    described = await driver.call("describe_collection", collection=name)
    assert described == made | {"count": 1}
    listed = (await driver.call("list_collections"))["collections"]
    assert described in listed
    assert (await driver.call("drop_collection", collection=name))["done"] is True
    gone = driver.call("describe_collection", collection=name)
    assert (await refusal(gone)).code == "unknown_collection"
    # The name is free again, for something else.
    await driver.call("create_collection", name=name, dimension=2)
    await driver.call("upsert", collection=name, items=[{"id": "y", "vector": [1, 0]}])
    found = await until(
        lambda: driver.call("search", collection=name, vector=[1, 0]),
        lambda a: a["hits"],
    )
    assert [h["id"] for h in found["hits"]] == ["y"]
    assert (await driver.call("count_items", collection=name))["count"] == 1


async def test_items_fail_one_by_one(driver):
    name = fresh()
    await driver.call("create_collection", name=name, dimension=2)
    items = [
        {"id": "good", "vector": [1, 0]},
        {"id": "short", "vector": [1]},
        {"id": "text", "vector": [0, 1], "metadata": {"big": "x" * 2000}},
        {"id": "also good", "vector": [0, 1]},
    ]
    answer = await driver.call("upsert", collection=name, items=items)
    codes = [r.get("error", {}).get("code") for r in answer["results"]]
    assert codes == [None, "wrong_dimension", "metadata_too_large", None]
    assert answer["stored"] == 2
    assert [r["id"] for r in answer["results"]] == [
        "good",
        "short",
        "text",
        "also good",
    ]


async def test_a_write_with_the_same_event_id_is_one_write(driver):
    name, _ = await filled(driver)
    item = {"id": "e", "vector": [1, 2, 3], "event_id": f"event-{name}"}
    first = await driver.call("upsert", collection=name, items=[item])
    second = await driver.call("upsert", collection=name, items=[item])
    assert first["results"] == second["results"]


async def test_a_search_has_the_expected_ids_and_scores(driver):
    name, written = await filled(driver)
    answer = await driver.call(
        "search",
        collection=name,
        vector=[1, 0.5, 0],
        k=3,
        consistency="read_your_writes",
        token=written["token"],
    )
    query = numpy.array([1, 0.5, 0]) / numpy.sqrt(1.25)
    expected = [
        ("b", float(query @ [1, 1, 0] / numpy.sqrt(2))),
        ("a", float(query[0])),
        ("d", float(query[1])),
    ]
    assert [h["id"] for h in answer["hits"]] == [i for i, _ in expected]
    for hit, (_, score) in zip(answer["hits"], expected, strict=True):
        assert hit["score"] == pytest.approx(score, abs=1e-6)
    assert answer["hits"][1]["metadata"] == {"lang": "de", "price": 5}
    high = await driver.call(
        "search", collection=name, vector=[1, 0.5, 0], minimum_score=0.9
    )
    assert [h["id"] for h in high["hits"]] == ["b"]
    many = await driver.call(
        "search", collection=name, vectors=[[1, 0, 0], floats(0, 0, 1)], k=1
    )
    assert [[h["id"] for h in r["hits"]] for r in many["results"]] == [["a"], ["c"]]


@pytest.mark.parametrize(
    ("metric", "best", "score"),
    [("cosine", "a", 1.0), ("dot", "d", 3.0), ("l2", "a", -1.0)],
)
async def test_every_metric_scores_as_documented(driver, metric, best, score):
    name, written = await filled(driver, metric=metric)
    query = {"cosine": [2, 0, 0], "dot": [0, 1, 0], "l2": [2, 0, 0]}[metric]
    answer = await driver.call(
        "search",
        collection=name,
        vector=query,
        k=1,
        consistency="read_your_writes",
        token=written["token"],
    )
    assert answer["hits"][0]["id"] == best
    assert answer["hits"][0]["score"] == pytest.approx(score, abs=1e-5)


GERMAN = {"field": "lang", "eq": "de"}
FILTERS = [
    ({"field": "lang", "eq": "de"}, "ac"),
    ({"field": "lang", "in": ["fr", "es"]}, "b"),
    ({"field": "price", "range": {"gte": 15, "lt": 25}}, "b"),
    ({"field": "lang", "exists": False}, "d"),
    ({"not": {"field": "lang", "eq": "de"}}, "bd"),
    (
        {
            "and": [
                {"field": "lang", "eq": "de"},
                {"field": "price", "range": {"gt": 5}},
            ]
        },
        "c",
    ),
    (
        {"or": [{"field": "price", "eq": 5}, {"field": "lang", "exists": False}]},
        "ad",
    ),
]


@pytest.mark.parametrize(("filter_", "expected"), FILTERS)
async def test_a_filter_is_the_same_in_every_operation(driver, filter_, expected):
    name, written = await filled(driver)
    answer = await driver.call(
        "search",
        collection=name,
        vector=[1, 1, 1],
        filter=filter_,
        consistency="read_your_writes",
        token=written["token"],
    )
    assert sorted(h["id"] for h in answer["hits"]) == sorted(expected)
    counted = await driver.call("count_items", collection=name, filter=filter_)
    assert counted["count"] == len(expected)
    page = await driver.call("scroll", collection=name, filter=filter_)
    assert [i["id"] for i in page["items"]] == sorted(expected)
    gone = await driver.call("delete", collection=name, filter=filter_)
    assert sorted(r["id"] for r in gone["results"]) == sorted(expected)
    assert gone["more"] is False
    assert (await driver.call("count_items", collection=name))["count"] == 4 - len(
        expected
    )


async def test_items_are_read_one_some_and_all(driver):
    name, written = await filled(driver)
    item = await driver.call("get_item", collection=name, id="b")
    assert base64.b64decode(item["vector"]) == floats(1, 1, 0)
    assert item["version"] == written["results"][1]["version"]
    assert item["metadata"] == {"lang": "fr", "price": 15}
    some = await driver.call("get_items", collection=name, ids=["d", "none", "a"])
    assert [i["id"] for i in some["items"]] == ["d", "a"]
    missing = driver.call("get_item", collection=name, id="none")
    assert (await refusal(missing)).code == "unknown_item"
    first = await driver.call("scroll", collection=name, limit=3)
    assert [i["id"] for i in first["items"]] == ["a", "b", "c"]
    rest = await driver.call("scroll", collection=name, cursor=first["cursor"])
    assert [i["id"] for i in rest["items"]] == ["d"]
    assert "cursor" not in rest
    wrong = driver.call("scroll", collection=name, cursor="!!")
    assert (await refusal(wrong)).code == "bad_cursor"


async def test_metadata_is_patched(driver):
    name, _ = await filled(driver)
    patch = {"lang": None, "author": {"name": "x"}}
    answer = await driver.call(
        "patch",
        collection=name,
        items=[{"id": "a", "metadata": patch}, {"id": "none", "metadata": {}}],
    )
    assert answer["stored"] == 1
    assert answer["results"][1]["error"]["code"] == "unknown_item"
    item = await driver.call("get_item", collection=name, id="a")
    assert item["metadata"] == {"price": 5, "author": {"name": "x"}}
    assert base64.b64decode(item["vector"]) == floats(1, 0, 0)


async def test_a_condition_is_judged_where_one_hub_writes(driver):
    name, written = await filled(driver, writes="home")
    version = written["results"][0]["version"]
    item = {"id": "a", "vector": [0, 1, 0]}
    stored = await driver.call(
        "upsert", collection=name, items=[item | {"if_version": version}]
    )
    late = driver.call(
        "upsert", collection=name, items=[item | {"if_version": version}]
    )
    refused = await refusal(late)
    assert refused.code == "version_conflict"
    new = {"id": "new", "vector": [1, 1, 1], "if_version": 0}
    assert (await driver.call("upsert", collection=name, items=[new]))["stored"] == 1
    taken = driver.call("upsert", collection=name, items=[new])
    assert (await refusal(taken)).code == "version_conflict"
    current = stored["results"][0]["version"]
    gone = [{"id": "a", "if_version": current}]
    assert (await driver.call("delete", collection=name, items=gone))["stored"] == 1
    anywhere, _ = await filled(driver)
    asked = driver.call(
        "upsert", collection=anywhere, items=[item | {"if_version": version}]
    )
    assert (await refusal(asked)).code == "not_supported"


async def test_saved_queries_are_searched_by_their_name(driver):
    name, _ = await filled(driver)
    saved = await driver.call(
        "save_query",
        collection=name,
        name="first",
        vector=floats(1, 0, 0),
        k=2,
        filter={"field": "lang", "eq": "de"},
    )
    assert saved["k"] == 2 and saved["filter"] == {"field": "lang", "in": ["de"]}
    found = await driver.call("search", collection=name, query="first")
    assert [h["id"] for h in found["hits"]] == ["a", "c"]
    listed = await driver.call("list_queries", collection=name)
    assert [q["name"] for q in listed["queries"]] == ["first"]
    await driver.call("drop_query", collection=name, name="first")
    gone = driver.call("search", collection=name, query="first")
    assert (await refusal(gone)).code == "unknown_query"


async def test_a_preview_tells_what_would_have_matched(driver):
    name, _ = await filled(driver)
    answer = await driver.call(
        "preview", collection=name, vector=[1, 0, 0], threshold=0.5
    )
    assert answer["matches"] == 2 and answer["judged"] == 4
    assert [e["id"] for e in answer["examples"]] == ["a", "b"]
    rated = await driver.call(
        "preview", collection=name, vector=[1, 0, 0], rate_per_hour=1
    )
    assert rated["threshold"] == pytest.approx(1.0)
    why = await driver.call(
        "explain",
        collection=name,
        id="b",
        vector=[1, 0, 0],
        threshold=0.7,
        filter={"field": "lang", "eq": "de"},
    )
    assert why["score"] == pytest.approx(0.5**0.5, abs=1e-6)
    assert why["matches"] is False and why["passes_filter"] is False


async def test_limits_and_configuration_are_shown(driver, world):
    shown = await driver.call("show_limits")
    assert shown["max_batch_items"] == world.limits["max_batch_items"]
    config = (await driver.call("show_config"))["value"]
    assert config["region"] == "asia"


REFUSALS = [
    ("search", {"vector": [1, 0, 0], "k": 0}, "out_of_range"),
    ("search", {"vector": [1, 0, 0], "k": 1001}, "out_of_range"),
    ("search", {"vector": [1, 0]}, "wrong_dimension"),
    ("search", {}, "bad_request"),
    ("search", {"vector": floats(1, 0, 0), "query": "q"}, "bad_request"),
    ("search", {"vector": floats(float("nan"), 0, 0)}, "not_finite"),
    ("search", {"vector": [1, 0, 0], "filter": {"field": "x"}}, "bad_filter"),
    ("search", {"vector": [1, 0, 0], "consistency": "none"}, "out_of_range"),
    (
        "search",
        {"vector": [1, 0, 0], "consistency": "read_your_writes"},
        "missing_key",
    ),
    (
        "search",
        {"vector": [1, 0, 0], "consistency": "read_your_writes", "token": "x"},
        "bad_token",
    ),
    ("upsert", {"items": []}, "batch_empty"),
    ("upsert", {"items": [{"id": "a", "vector": [0, 0, 0]}] * 201}, "batch_too_large"),
    ("delete", {}, "bad_request"),
    ("get_items", {"ids": []}, "batch_empty"),
    ("scroll", {"limit": 0}, "out_of_range"),
    ("save_query", {"name": "Not a name", "vector": [1, 0, 0]}, "out_of_range"),
    ("preview", {"vector": [1, 0, 0]}, "bad_request"),
    ("explain", {"id": "none", "vector": [1, 0, 0], "threshold": 0.5}, "unknown_item"),
]


@pytest.mark.parametrize(("operation", "params", "code"), REFUSALS)
async def test_a_refusal_has_the_same_code_everywhere(driver, operation, params, code):
    name = fresh()
    await driver.call("create_collection", name=name, dimension=3)
    work = driver.call(operation, collection=name, **params)
    assert (await refusal(work)).code == code
    elsewhere = driver.call(operation, collection="nowhere", **params)
    assert (await refusal(elsewhere)).code in (code, "unknown_collection")


async def test_one_question_has_one_answer_over_all_transports(asia, http):
    name, written = await filled(http, element_type="f16")
    generator = numpy.random.default_rng(7)
    rows = generator.normal(size=(150, 3)).astype("<f4")
    items = [{"id": f"r{n}", "vector": r.tobytes()} for n, r in enumerate(rows)]
    written = await http.call("upsert", collection=name, items=items)
    answers = []
    for made in (Http(asia), CALLS["websocket"](asia), Grpc(asia)):
        answers.append(
            await made.call(
                "search",
                collection=name,
                vector=floats(0.3, -0.2, 0.5),
                k=50,
                consistency="read_your_writes",
                token=written["token"],
            )
        )
        await made.close()
    ids = [[h["id"] for h in a["hits"]] for a in answers]
    assert ids[0] == ids[1] == ids[2] and len(ids[0]) == 50
    scores = numpy.array([[h["score"] for h in a["hits"]] for a in answers])
    assert numpy.abs(scores - scores[0]).max() <= 1e-6
