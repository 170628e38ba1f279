"""Callers, tenants and limits as they meet the service: nobody reaches another's."""

import asyncio
import base64
import hashlib
import json
import re
import uuid

import aiohttp
import pytest

from service.contract import OPERATIONS
from service.contract.proto import kinds
from tests.service.asking import floats, fresh, of_type, refusal, until, watching
from tests.service.drivers import STREAMING, UNARY, Events, Http, Refused, WebSocket
from tests.service.strict import ROOT, ROOT_SHA256, bearer, key_of

CHOSEN = ("items", "vector", "tenant", "threshold")
"""Optional fields that the crawl fills in."""


@pytest.mark.parametrize("kind", UNARY, ids=lambda k: k.name)
async def test_without_a_key_nothing_is_answered(strict, root, kind):
    driver = kind(strict)
    if kind is WebSocket:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await driver.call("list_collections")
        assert refused.value.status == 401
    else:
        refused = await refusal(driver.call("list_collections"))
        assert refused.code == "unauthenticated"
    await driver.close()
    async with aiohttp.ClientSession() as session:
        # Through a proxy; a collector beside the service needs no key.
        headers = {"x-forwarded-for": "192.0.2.7"}
        for path in ("/metrics", "/admin/matches", "/v1/knobs"):
            async with session.get(strict.url + path, headers=headers) as answer:
                assert answer.status == 401, path
        async with session.get(strict.url + "/health/live") as answer:
            assert answer.status == 200
        url = f"{strict.url}/v1/collections?api_key={ROOT}"
        async with session.get(url) as answer:
            assert answer.status == 401 and "revoke" in await answer.text()


@pytest.mark.parametrize("kind", UNARY, ids=lambda k: k.name)
async def test_a_scope_that_is_missing_is_named(strict, root, kind):
    key = await key_of(root, "reader", scopes=["read"])
    driver = kind(strict, bearer(key))
    await driver.call("list_collections")
    refused = await refusal(driver.call("create_collection", name="x", dimension=2))
    assert refused.code == "forbidden" and "manage" in refused.message
    await driver.close()


async def test_a_key_is_rotated_without_a_gap_and_revoked(strict, root):
    key = await key_of(root, "rotating")
    old = Http(strict, bearer(key))
    await old.call("list_collections")
    (shown,) = (await old.call("list_keys"))["keys"]
    assert shown["id"] == key.split("_")[1] and "hashes" not in shown
    made = await old.call("rotate_key", id=shown["id"], overlap_seconds=60.0)
    new = Http(strict, bearer(made["key"]))
    await new.call("list_collections")
    await old.call("list_collections")
    await new.call("revoke_key", id=shown["id"])
    for driver in (old, new):
        refused = await refusal(driver.call("list_collections"))
        assert refused.code == "unauthenticated"
        await driver.close()


async def test_nobody_makes_a_key_that_may_do_more(strict, root):
    driver = Http(strict, bearer(await key_of(root, "small", scopes=["read", "keys"])))
    more = driver.call("create_key", scopes=["write"])
    assert (await refusal(more)).code == "forbidden"
    other = driver.call("create_key", scopes=["read"], tenant="other")
    assert (await refusal(other)).code == "forbidden"
    higher = driver.call("create_key", scopes=["read"], tier="premium")
    assert (await refusal(higher)).code == "forbidden"
    assert (await driver.call("create_key", scopes=["read"]))["key"].startswith("mk_")
    await driver.close()


def names_of_the_owner(collection):
    """What a thief would send: the other tenant's names in every field."""
    return {
        "collection": collection,
        "name": "secret-query",
        "id": "secret-item",
        "ids": ["secret-item"],
        "items": [{"id": "secret-item", "vector": [0, 0, 1]}],
        "vector": [1, 0, 0],
        "threshold": 0.5,
        "tenant": "owner",
        "scopes": ["read"],
        "texts": ["a"],
        "value": 1.0,
        "seconds": 60.0,
    }


async def kept_by_the_owner(strict, key, collection):
    """A persistent stream of the other tenant: the thief knows its id too."""
    streams = WebSocket(strict, bearer(key))
    await streams.send(watching(collection, persistent=True))
    await of_type(streams, "watching")
    return streams, (await of_type(streams, "attached"))["id"]


@pytest.mark.parametrize("kind", UNARY, ids=lambda k: k.name)
async def test_no_operation_reaches_what_is_another_tenants(strict, root, kind):
    """Every operation with the other's names: nothing of it is seen or changed."""
    mine, name = kind(strict, bearer(await key_of(root, "owner"))), fresh()
    await mine.call("create_collection", name=name, dimension=3)
    item = {"id": "secret-item", "vector": [1, 0, 0], "metadata": {"secret": "word"}}
    written = await mine.call("upsert", collection=name, items=[item])
    query = {"vector": [1, 0, 0], "name": "secret-query"}
    await mine.call("save_query", collection=name, **query)
    streams, stream = await kept_by_the_owner(strict, await key_of(root, "owner"), name)
    thief = kind(strict, bearer(await key_of(root, "thief")))
    before = await mine.call("scroll", collection=name)
    known = names_of_the_owner(name)
    for operation in OPERATIONS.values():
        fields = {k.rstrip("_"): v for k, v in kinds(operation.request).items()}
        params = {
            k: known[k]
            for k, v in fields.items()
            if k in known
            and (not v.optional or k in CHOSEN)
            and (v.what == "vector" or v.repeated == isinstance(known[k], list))
        }
        if operation.name == "create_collection":
            params = {"name": name, "dimension": 3}
        if operation.name == "drop_stream":
            params = {"id": stream}
        try:
            seen = json.dumps(await thief.call(operation.name, **params), default=str)
        except Refused as refused:
            assert refused.code in (
                "unknown_collection",
                "forbidden",
                "not_found",
                "text_unavailable",
                "unknown_item",
                "unknown_query",
            ), (operation.name, refused)
            seen = refused.message
        assert '"word"' not in seen and "secret-query" not in seen.replace(
            "'secret-query'", ""
        )
        assert stream not in seen or operation.name == "drop_stream"
        if operation.name == "create_collection":
            # Of the same name, and yet its own.
            assert (await thief.call("count_items", collection=name))["count"] == 0
            await thief.call("drop_collection", collection=name)
    token = {"consistency": "read_your_writes", "token": written["token"]}
    stolen = thief.call("search", collection=name, vector=[1, 0, 0], **token)
    assert (await refusal(stolen)).code == "unknown_collection"
    assert await mine.call("scroll", collection=name) == before
    assert [
        q["name"] for q in (await mine.call("list_queries", collection=name))["queries"]
    ]
    assert stream in [s["id"] for s in (await mine.call("list_streams"))["streams"]]
    for driver in (mine, thief, streams):
        await driver.close()


@pytest.mark.parametrize("kind", STREAMING, ids=lambda k: k.name)
async def test_a_stream_hears_only_its_own_tenant(strict, root, kind):
    name = fresh()
    keys = [await key_of(root, tenant) for tenant in ("one", "two")]
    writers = [Http(strict, bearer(key)) for key in keys]
    for writer in writers:
        await writer.call("create_collection", name=name, dimension=3)
    stream = kind(strict, bearer(keys[0]))
    await stream.send(watching(name))
    await of_type(stream, "watching")
    for writer, item in zip(reversed(writers), ("theirs", "mine"), strict=True):
        items = [{"id": item, "vector": [1, 0, 0]}]
        await writer.call("upsert", collection=name, items=items)
    assert (await of_type(stream, "match"))["item"]["id"] == "mine"
    for driver in (*writers, stream):
        await driver.close()


async def test_a_session_is_not_reached_by_another_tenant(strict, root):
    name = fresh()
    keys = [await key_of(root, tenant) for tenant in ("one", "two")]
    writer = Http(strict, bearer(keys[0]))
    await writer.call("create_collection", name=name, dimension=3)
    stream = Events(strict, bearer(keys[0]))
    await stream.send(watching(name))
    await of_type(stream, "watching")
    url = f"{strict.url}/v1/streams/{stream.id}"
    body = json.dumps({"type": "drop", "stream": "s"})
    async with (
        aiohttp.ClientSession(headers=bearer(keys[1])) as session,
        session.post(url, data=body) as answer,
    ):
        assert answer.status == 404
    await stream.send({"type": "list"})
    assert (await of_type(stream, "streams"))["streams"]
    for driver in (writer, stream):
        await driver.close()


async def test_a_revoked_key_ends_its_open_connections(strict, root):
    name, key = fresh(), await key_of(root, "leaving")
    writer = Http(strict, bearer(key))
    await writer.call("create_collection", name=name, dimension=3)
    stream = WebSocket(strict, bearer(key))
    await stream.send(watching(name))
    await of_type(stream, "watching")
    await root.call("revoke_key", id=key.split("_")[1])
    async with asyncio.timeout(30):
        while (message := await stream.receive(30))["type"] != "goaway":
            pass
    assert message["reason"] == "revoked"
    for driver in (writer, stream):
        await driver.close()


async def test_a_ticket_opens_one_connection_for_a_page_that_may(strict, root):
    name = fresh()
    page = "https://app.example"
    key = await key_of(root, "paged", origins=[page])
    writer = Http(strict, bearer(key))
    await writer.call("create_collection", name=name, dimension=3)
    vector = base64.b64encode(floats(1, 0, 0)).decode()
    query = {"collection": name, "vector": vector, "threshold": "0.5"}
    async with aiohttp.ClientSession() as browser:

        async def ticket():
            return {"ticket": (await writer.call("issue_ticket"))["ticket"]}

        def origin(name):
            return {"headers": {"origin": name}}

        given = await ticket()
        url = f"{strict.url}/v1/watch"
        async with browser.ws_connect(url, params=given, **origin(page)) as socket:
            await socket.send_json(watching(name))
            assert (await socket.receive_json())["type"] == "watching"
        for params, who, status in (
            (given, page, 401),
            (await ticket(), "https://evil.example", 403),
            ({"ticket": "mt_" + "x" * 43}, page, 401),
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await browser.ws_connect(url, params=params, **origin(who))
            assert refused.value.status == status
        url = f"{strict.url}/v1/streams"
        given = await ticket() | query
        async with browser.get(url, params=given, **origin(page)) as answer:
            assert answer.status == 200
            assert answer.headers["access-control-allow-origin"] == page
        # A ticket is for streams: it reads nothing by itself.
        url = f"{strict.url}/v1/collections"
        async with browser.get(url, params=await ticket()) as answer:
            assert answer.status == 401
        # A refusal before there is a caller can be read by a page of a key, and by
        # no other.
        for path in ("/v1/collections", "/v1/streams", "/v1/nothing"):
            for who, told in ((page, page), ("https://evil.example", None)):
                wrong = {"origin": who, "authorization": "Bearer mk_wrong"}
                async with browser.get(strict.url + path, headers=wrong) as answer:
                    assert answer.status in (401, 404)
                    given = answer.headers.get("access-control-allow-origin")
                    assert given == told, (path, who)
        headers = {"origin": page, "access-control-request-method": "POST"}
        async with browser.options(url, headers=headers) as answer:
            assert answer.status == 204
            assert answer.headers["access-control-allow-origin"] == page
        headers["origin"] = "https://evil.example"
        async with browser.options(url, headers=headers) as answer:
            assert answer.status == 403
    await writer.close()


@pytest.mark.parametrize("kind", UNARY, ids=lambda k: k.name)
async def test_a_rate_is_kept_and_the_wait_is_said(strict, root, kind):
    tenant, name = f"free-{uuid.uuid4().hex[:6]}", fresh()
    driver = kind(strict, bearer(await key_of(root, tenant, tier="free")))
    await driver.call("create_collection", name=name, dimension=2)
    refused = 0
    for _ in range(20):
        try:
            await driver.call("search", collection=name, vector=[1, 0])
        except Refused as error:
            assert error.code == "rate_limited" and "wait" in error.message
            refused += 1
    # Five at once, and one every two seconds that the twenty took.
    assert 5 <= refused <= 15
    # What is not limited goes on.
    await driver.call("describe_collection", collection=name)
    await driver.close()


async def test_the_admission_level_refuses_free_and_holds_its_streams(strict, root):
    name = fresh()
    free = await key_of(root, "levelled", tier="free")
    paid = await key_of(root, "levelled", tier="premium")
    writer = Http(strict, bearer(paid))
    cheap = Http(strict, bearer(free))
    await writer.call("create_collection", name=name, dimension=3)
    streams = [WebSocket(strict, bearer(key)) for key in (free, paid)]
    for stream in streams:
        await stream.send(watching(name))
        await of_type(stream, "watching")
    low = WebSocket(strict, bearer(paid))
    await low.send(watching(name, priority="low"))
    await of_type(low, "watching")
    await root.call("turn_knob", name="admission", value=1.5, seconds=60.0)

    async def states():
        found = []
        for stream in (streams[0], low):
            await stream.send({"type": "list"})
            listed = await of_type(stream, "streams")
            found.append(listed["streams"][0]["state"])
        return found

    await until(states, lambda found: found == ["held", "held"])
    refused = await refusal(cheap.call("search", collection=name, vector=[1, 0, 0]))
    assert refused.code == "overloaded" and refused.details["retry_after"] >= 1
    await writer.call("search", collection=name, vector=[1, 0, 0])
    items = [{"id": "x", "vector": [1, 0, 0]}]
    await writer.call("upsert", collection=name, items=items)
    assert (await of_type(streams[1], "match"))["item"]["id"] == "x"
    # When it is turned back, the held streams hear what they missed.
    await root.call("turn_knob", name="admission", value=0.0, seconds=60.0)
    async with asyncio.timeout(30):
        for stream in (streams[0], low):
            assert (await of_type(stream, "match"))["item"]["id"] == "x"
    for driver in (writer, cheap, low, *streams):
        await driver.close()


async def test_a_quota_is_kept(strict, root):
    tenant, name = f"quota-{uuid.uuid4().hex[:6]}", fresh()
    driver = Http(strict, bearer(await key_of(root, tenant)))
    await driver.call("create_collection", name=name, dimension=2)
    await root.call("set_quota", tenant=tenant, items=3, streams=1)
    assert (await driver.call("show_quota"))["items"] == 3
    items = [{"id": str(n), "vector": [1, 0]} for n in range(4)]
    refused = await refusal(driver.call("upsert", collection=name, items=items))
    assert refused.code == "quota_exceeded" and refused.details["allowed"] == 3
    await driver.call("upsert", collection=name, items=items[:3])
    refused = await refusal(driver.call("upsert", collection=name, items=items[3:]))
    assert refused.code == "quota_exceeded"
    stream = WebSocket(strict, driver.headers)
    again = await driver.call("upsert", collection=name, items=items[:1])
    assert again["stored"] == 1, "what replaces an item adds none"
    # Across from what was written just now, which the instance may yet follow.
    await stream.send(watching(name, vector=[0, 1]))
    await of_type(stream, "watching")
    await stream.send(watching(name, vector=[0, 1], stream="t"))
    assert (await of_type(stream, "error"))["error"]["code"] == "quota_exceeded"
    for made in (driver, stream):
        await made.close()


async def test_no_secret_and_nothing_of_a_user_is_in_logs_and_metrics(strict, root):
    """After all that the tests above sent: keys, hashes, tickets, texts, vectors."""
    key = await key_of(root, "scanned")
    driver = Http(strict, bearer(key))
    name = fresh()
    await driver.call("create_collection", name=name, dimension=2)
    private = f"private-{uuid.uuid4().hex}"
    items = [{"id": private, "vector": [1, 0], "metadata": {"note": private}}]
    await driver.call("upsert", collection=name, items=items)
    await refusal(driver.call("get_item", collection=name, id=private + "x"))
    await refusal(driver.call("search", collection=name, text=private))
    async with (
        aiohttp.ClientSession(headers=bearer(ROOT)) as session,
        session.get(strict.url + "/metrics") as answer,
    ):
        metrics = await answer.text()
        assert answer.status == 200 and "meridian_http_requests_total" in metrics
    config = json.dumps(await root.call("show_config"))
    assert ROOT_SHA256 not in config and "***" in config
    logged = strict.log.read_text()
    secret = key.split("_", 2)[2]
    hashed = hashlib.sha256(secret.encode()).hexdigest()
    for text in (metrics, logged, config):
        for forbidden in (ROOT, ROOT_SHA256, secret, hashed, private, name):
            assert forbidden not in text
        assert not re.search(r"mk_\w{12}_|mt_[\w-]{43}|mr_[\w-]{43}", text)
    await driver.close()
