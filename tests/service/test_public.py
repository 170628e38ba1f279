"""Items that caches may keep: public collections and signed addresses."""

import json
import time
import uuid

import aiohttp
import pytest
import pytest_asyncio

from service.access.gate import new_root_key
from service.client import Client
from service.contract.signing import (
    MOST_SECONDS,
    public_path,
    read_address,
    signed_path,
)
from tests.service.asking import filled, until
from tests.service.drivers import Http, Refused

ROOT, ROOT_SHA256 = new_root_key()
SCOPES = ["read", "write", "watch", "manage", "keys"]


@pytest.fixture(scope="module")
def strict(running):
    """An instance where everybody needs a key."""
    region = running.regions["asia"]
    made = region.second_instance(
        MERIDIAN_ACCESS="required", MERIDIAN_ROOT_KEY_SHA256=ROOT_SHA256
    )

    class Strict:
        url = f"http://127.0.0.1:{made['port']}"

    yield Strict
    region.end(made)


@pytest_asyncio.fixture
async def root(strict, world):
    made = Http(strict, bearer(ROOT))

    async def ask():
        try:
            return await made.call("list_collections")
        except (aiohttp.ClientError, Refused):
            return None

    await until(ask, lambda answer: answer is not None)
    yield made
    await made.close()


class Owner:
    """A tenant with a key, a public collection and a private one."""

    def __init__(self, strict, tenant, key):
        self.url, self.tenant, self.key = strict.url, tenant, key
        self.driver = Http(strict, bearer(key))


@pytest_asyncio.fixture
async def owner(strict, root):
    tenant = f"t{uuid.uuid4().hex[:8]}"
    key = await root.call(
        "create_key", tenant=tenant, scopes=SCOPES, tier="standard", origins=[]
    )
    made = Owner(strict, tenant, key["key"])
    made.public, _ = await filled(made.driver, public=True)
    made.private, _ = await filled(made.driver)
    yield made
    await made.driver.close()


def bearer(key):
    return {"authorization": f"Bearer {key}"}


async def get(url, **headers):
    """(status, headers, body) of whoever has no key."""
    async with aiohttp.ClientSession() as session:
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        async with session.get(url, headers=named) as answer:
            return answer.status, answer.headers, await answer.read()


async def test_anybody_reads_an_item_of_a_public_collection(owner):
    url = owner.url + public_path(owner.tenant, owner.public, "a")
    status, headers, body = await get(url)
    assert status == 200
    assert headers["cache-control"] == "public, max-age=60"
    item = json.loads(body)
    same = await owner.driver.call("get_item", collection=owner.public, id="a")
    assert item == same
    assert headers["etag"] == f'"{item["version"]:x}"'


async def test_a_cache_that_has_the_version_is_told_so_until_it_changes(owner):
    url = owner.url + public_path(owner.tenant, owner.public, "b")
    _, headers, _ = await get(url)
    tag = headers["etag"]
    for known in (tag, f"W/{tag}", f'"x", {tag}'):
        status, again, body = await get(url, if_none_match=known)
        assert (status, body) == (304, b"")
        assert again["etag"] == tag and "max-age" in again["cache-control"]
    item = {"id": "b", "metadata": {"lang": "es"}}
    await owner.driver.call("patch", collection=owner.public, items=[item])
    status, headers, body = await get(url, if_none_match=tag)
    assert status == 200 and headers["etag"] != tag
    assert json.loads(body)["metadata"]["lang"] == "es"


async def test_what_is_not_public_is_told_from_nothing_by_nobody(owner):
    paths = [
        public_path(owner.tenant, owner.private, "a"),
        public_path(owner.tenant, owner.public, "no-such-item"),
        public_path(owner.tenant, "no-such-collection", "a"),
        public_path("no-such-tenant", owner.public, "a"),
        public_path("default", owner.public, "a"),
        public_path("~system", "keys", "a"),
        public_path(owner.tenant, owner.public, "a\x00b"),
        f"/v1/public/{owner.tenant}/collections/{owner.public}",
        "/v1/public/",
    ]
    told = set()
    for path in paths:
        status, headers, body = await get(owner.url + path)
        assert status == 404, path
        assert headers["cache-control"] == "private, no-store"
        told.add(json.loads(body)["error"]["message"])
    assert len(told) == 1


async def test_a_signed_address_opens_one_item_until_it_ends(owner):
    async with Client(owner.url, key=owner.key) as client:
        url = client.signed_address(owner.private, "a", 3600)
        short = client.signed_address(owner.private, "a", 30)
    status, headers, body = await get(url)
    assert status == 200 and json.loads(body)["id"] == "a"
    assert headers["cache-control"] == "public, max-age=60"
    _, headers, _ = await get(short)
    kept = int(headers["cache-control"].removeprefix("public, max-age="))
    assert 20 <= kept <= 30, "no cache keeps it longer than it is open"
    now = int(time.time())
    for expires in (now - 1, now + MOST_SECONDS + 60):
        path = signed_path(owner.key, owner.private, "a", expires)
        status, headers, _ = await get(owner.url + path)
        assert (status, headers["cache-control"]) == (404, "private, no-store")


async def test_a_signature_opens_nothing_else(owner):
    expires = int(time.time()) + 600
    path = signed_path(owner.key, owner.private, "a", expires)
    assert (await get(owner.url + path))[0] == 200
    who = path.split("/")[3]
    name, _, signature = who.removeprefix("~").split(".")
    wrong = signature[:-1] + ("A" if signature[-1] != "A" else "E")
    others = [
        path.replace("/items/a", "/items/b"),
        path.replace(owner.private, owner.public),
        path.replace(str(expires), str(expires + 1)),
        path.replace(signature, wrong),
        path.replace(name, "A" * 12),
        path.replace(f".{signature}", ""),
    ]
    for other in others:
        assert other != path
        assert (await get(owner.url + other))[0] == 404, other


async def test_an_address_ends_with_its_key(owner, root):
    made = await owner.driver.call(
        "create_key", tenant=owner.tenant, scopes=["read"], tier="free", origins=[]
    )
    unable = await owner.driver.call(
        "create_key", tenant=owner.tenant, scopes=["write"], tier="free", origins=[]
    )
    expires = int(time.time()) + 600
    url = owner.url + signed_path(made["key"], owner.private, "a", expires)
    assert (await get(url))[0] == 200
    path = signed_path(unable["key"], owner.private, "a", expires)
    assert (await get(owner.url + path))[0] == 404, "it may not read itself"
    name = made["key"].split("_")[1]
    rotated = await owner.driver.call("rotate_key", id=name, overlap_seconds=600)
    assert (await get(url))[0] == 200, "the old secret goes on for the overlap"
    path = signed_path(rotated["key"], owner.private, "a", expires)
    assert (await get(owner.url + path))[0] == 200
    await owner.driver.call("revoke_key", id=name)
    for one in (url, owner.url + path):
        assert (await get(one))[0] == 404


async def test_public_is_for_good(owner):
    with pytest.raises(Refused) as refused:
        await owner.driver.call(
            "create_collection", name=owner.private, dimension=3, public=True
        )
    assert refused.value.code == "immutable_field"
    described = await owner.driver.call("describe_collection", collection=owner.public)
    assert described["public"] is True


async def test_every_other_answer_is_kept_by_no_cache(owner):
    paths = [
        "/v1/collections",
        f"/v1/collections/{owner.public}",
        f"/v1/collections/{owner.public}/items/a",
        f"/v1/collections/{owner.public}/items/missing",
        "/v1/schema",
        "/v1/limits",
        "/health/ready",
        "/metrics",
        "/nothing",
    ]
    for path in paths:
        for headers in ({}, bearer(owner.key)):
            _, answered, _ = await get(owner.url + path, **headers)
            assert answered["cache-control"] == "private, no-store", path


async def test_only_a_key_signs():
    async with Client("http://127.0.0.1:9") as client:
        with pytest.raises(ValueError, match="mk_"):
            client.signed_address("c", "a")
    async with Client("http://127.0.0.1:9", key=f"mk_{'a' * 12}_{'b' * 43}") as client:
        with pytest.raises(ValueError, match="allowed"):
            client.signed_address("c", "a", MOST_SECONDS + 1)
        path = client.signed_address("c", "ä/b c", 60).removeprefix(
            "http://127.0.0.1:9"
        )
    assert "%2F" in path
    address = read_address(path.replace("%C3%A4%2Fb%20c", "ä/b c"))
    assert (address.collection, address.item) == ("c", "ä/b c")
