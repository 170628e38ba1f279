"""API keys and quotas, on a real Postgres through the real group commit."""

import asyncio

import orjson
import pytest
import pytest_asyncio

from service.access.caller import SYSTEM_TENANT
from service.access.quotas import Quota, QuotaStore
from service.access.records import KeyStore, split_key
from service.access.system import FRESH
from service.contract import ServiceError
from tests.service.access_parts import Clock, hub, start_postgres

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def postgres(tmp_path_factory, cluster):
    server = start_postgres(tmp_path_factory.mktemp("keys"), cluster)
    yield server
    server.stop()


@pytest_asyncio.fixture
async def home(postgres):
    async with hub(postgres, "a") as made:
        yield made


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def keys(home, clock):
    return KeyStore(home.reader, home.committer, clock)


def other(home, clock):
    """The same keys as another instance sees them."""
    return KeyStore(home.reader, home.committer, clock)


async def test_a_new_key_opens_what_it_was_made_for(keys):
    text = await keys.create(
        "acme", ["read", "watch"], "premium", ["https://App.example.com:443"], "for me"
    )
    assert len(text) == 59
    who = await keys.caller(text)
    assert (who.tenant, who.tier, who.scopes) == (
        "acme",
        "premium",
        {"read", "watch"},
    )
    assert who.origins == ("https://app.example.com",)
    assert who.key == split_key(text)[0]
    assert who.expires is None
    assert keys.known(text) == who


async def test_only_the_hash_of_a_secret_is_anywhere(keys, home):
    text = await keys.create("acme", ["read"], "free")
    name, secret = split_key(text)
    row = await home.reader.item(SYSTEM_TENANT, "keys", name)
    change = await home.pool.fetchval(
        "SELECT metadata FROM change WHERE item_id = $1", name
    )
    for stored in (row["metadata"], change):
        assert secret not in stored
        assert len(orjson.loads(stored)["hashes"]) == 1
    hashed = orjson.loads(change)["hashes"][0]["sha256"]
    record = await keys.get(name)
    shown = repr(record) + str(await keys.list("acme")) + repr(record.hashes[0])
    assert hashed not in shown
    assert secret not in shown


async def test_a_wrong_secret_an_unknown_id_and_another_form_open_nothing(keys):
    text = await keys.create("acme", ["read"], "free")
    name, secret = split_key(text)
    other_secret = ("A" if secret[0] != "A" else "B") + secret[1:]
    for wrong in (
        f"mk_{name}_{other_secret}",
        f"mk_{'x' * 12}_{secret}",
        text + "\n",
        text[:-1],
        "",
    ):
        assert await keys.caller(wrong) is None
    assert await keys.caller(text) is not None


async def test_a_revoked_key_stops_at_once_here_and_within_10_s_elsewhere(
    keys, home, clock
):
    text = await keys.create("acme", ["read"], "free")
    far = other(home, clock)
    assert await far.caller(text) is not None
    await keys.revoke(split_key(text)[0])
    assert await keys.caller(text) is None
    clock.now += FRESH
    assert far.known(text) is None
    assert await far.caller(text) is None


async def test_a_clock_that_is_set_back_prolongs_no_key(keys, home, clock):
    text = await keys.create("acme", ["read"], "free")
    far = other(home, clock)
    await far.caller(text)
    await keys.revoke(split_key(text)[0])
    clock.now -= 3600
    assert await far.caller(text) is None


async def test_both_secrets_work_until_the_overlap_ends(keys, clock):
    old = await keys.create("acme", ["read"], "free")
    name = split_key(old)[0]
    new = await keys.rotate(name, 600)
    assert split_key(new)[0] == name
    assert (await keys.caller(old)).expires == clock.now + 600
    assert (await keys.caller(new)).expires is None
    clock.now += 599
    assert await keys.caller(old) is not None
    clock.now += 1
    assert await keys.caller(old) is None
    assert await keys.caller(new) is not None


async def test_a_second_rotation_never_lets_an_old_secret_live_longer(keys, clock):
    first = await keys.create("acme", ["read"], "free")
    name = split_key(first)[0]
    second = await keys.rotate(name, 60)
    await keys.rotate(name, 6000)
    assert (await keys.caller(first)).expires == clock.now + 60
    assert (await keys.caller(second)).expires == clock.now + 6000


async def test_a_key_has_a_bounded_number_of_secrets(keys):
    name = split_key(await keys.create("acme", ["read"], "free"))[0]
    for _ in range(7):
        await keys.rotate(name, 600)
    with pytest.raises(ServiceError, match="8 secrets") as refused:
        await keys.rotate(name, 600)
    assert refused.value.details["retry_after"] == 600


async def test_a_revoked_or_unknown_key_is_not_rotated(keys):
    name = split_key(await keys.create("acme", ["read"], "free"))[0]
    await keys.revoke(name)
    for wrong in (name, "x" * 12, "../../etc"):
        with pytest.raises(ServiceError) as refused:
            await keys.rotate(wrong)
        assert refused.value.code == "not_found"


async def test_a_rotation_elsewhere_does_not_undo_a_revocation(postgres, clock):
    """Both hubs change one key before either hears of the other."""
    async with hub(postgres, "a") as a, hub(postgres, "b") as b:
        here = KeyStore(a.reader, a.committer, clock)
        there = KeyStore(b.reader, b.committer, clock)
        name = split_key(await here.create("acme", ["read"], "free"))[0]
        await a.send_to(b)
        await here.revoke(name)
        rotated = await there.rotate(name)
        await b.send_to(a)
        await a.send_to(b)
        clock.now += FRESH
        for store in (here, there):
            assert await store.caller(rotated) is None
            assert (await store.get(name)).revoked is not None
        rows = [
            [
                tuple(row)
                for row in await each.pool.fetch(
                    "SELECT id, metadata, at, origin FROM item WHERE id LIKE $1 "
                    "ORDER BY id",
                    f"{name}%",
                )
            ]
            for each in (a, b)
        ]
        assert len(rows[0]) == 2
        assert rows[0] == rows[1]


async def test_an_instance_builds_on_what_it_wrote_though_its_replica_lags(home, clock):
    class Lagging:
        """A reader whose server shows only what it had at first."""

        def __init__(self, reader):
            self._reader = reader
            self.rows = {}

        async def item(self, tenant, collection, name):
            found = await self._reader.item(tenant, collection, name)
            return self.rows.setdefault(name, found)

    keys = KeyStore(Lagging(home.reader), home.committer, clock)
    first = await keys.create("acme", ["read"], "free")
    name = split_key(first)[0]
    assert await keys.caller(first) is not None
    second = await keys.rotate(name, 600)
    third = await keys.rotate(name, 600)
    for text in (first, second, third):
        assert await keys.caller(text) is not None
    await keys.revoke(name)
    assert await keys.caller(third) is None


async def test_keys_are_listed_by_tenant(keys):
    mine = await keys.create("lister", ["read", "keys"], "free", note="one")
    await keys.create("somebody", ["read"], "free")
    (shown,) = await keys.list("lister")
    assert shown["id"] == split_key(mine)[0]
    assert shown["note"] == "one"
    assert shown["revoked"] is None
    assert "hashes" not in shown
    await keys.revoke(shown["id"])
    (shown,) = await keys.list("lister")
    assert shown["revoked"] is not None


async def test_an_absence_is_believed_for_a_second_only(keys, home, clock):
    far = other(home, clock)
    text = await keys.create("acme", ["read"], "free")
    name = split_key(text)[0]
    await home.pool.execute("UPDATE item SET deleted = true WHERE id = $1", name)
    assert await far.caller(text) is None
    await home.pool.execute("UPDATE item SET deleted = false WHERE id = $1", name)
    assert await far.caller(text) is None
    clock.now += 1
    assert await far.caller(text) is not None


async def test_many_who_ask_for_one_key_read_it_once(home, clock):
    class Counting:
        def __init__(self, reader):
            self._reader, self.asked = reader, []

        async def item(self, tenant, collection, name):
            self.asked.append(name)
            return await self._reader.item(tenant, collection, name)

    reader = Counting(home.reader)
    text = await other(home, clock).create("acme", ["read"], "free")
    keys = KeyStore(reader, home.committer, clock)
    found = await asyncio.gather(*(keys.caller(text) for _ in range(50)))
    assert all(who is not None for who in found)
    name = split_key(text)[0]
    assert reader.asked == [name, f"{name}.revoked"]


async def test_every_origin_of_any_key_is_known(keys, clock):
    await keys.create("acme", ["read"], "free", ["https://a.example", "http://b:81"])
    assert {"https://a.example", "http://b:81"} <= await keys.origins()
    await keys.create("acme", ["read"], "free", ["https://late.example"])
    assert "https://late.example" not in await keys.origins()
    clock.now += 30
    assert "https://late.example" in await keys.origins()


@pytest.mark.parametrize(
    "given",
    [
        {"tenant": "~system"},
        {"tenant": "Acme"},
        {"tenant": "acme\n"},
        {"tenant": "a" * 64},
        {"scopes": ["read", "everything"]},
        {"scopes": []},
        {"scopes": "read"},
        {"tier": "gold"},
        {"origins": ["https://x.example/path"]},
        {"note": "x" * 201},
    ],
)
async def test_a_key_that_makes_no_sense_is_refused_in_words(keys, given):
    good = {"tenant": "acme", "scopes": ["read"], "tier": "free"}
    with pytest.raises(ServiceError) as refused:
        await keys.create(**(good | given))
    assert refused.value.code == "out_of_range"
    assert next(iter(given)) in refused.value.message


async def test_without_a_database_the_answer_is_unavailable(postgres, clock):
    async with hub(postgres, "a") as made:
        keys = KeyStore(made.reader, made.committer, clock)
        text = await keys.create("acme", ["read"], "free")
        assert await keys.caller(text) is not None
        made.pool.terminate()
        assert await keys.caller(text) is not None
        clock.now += FRESH
        with pytest.raises(ServiceError) as refused:
            await keys.caller(text)
        assert (refused.value.code, refused.value.elsewhere) == ("unavailable", True)


async def test_a_quota_is_kept_and_has_a_default(home, clock):
    store = QuotaStore(home.reader, home.committer, clock, Quota(streams=5))
    assert await store.get("fresh") == Quota(streams=5)
    await store.set("fresh", Quota(items=3, bytes=1000))
    assert await store.get("fresh") == Quota(items=3, bytes=1000)
    far = QuotaStore(home.reader, home.committer, clock)
    assert await far.get("fresh") == Quota(items=3, bytes=1000)
    await store.set("fresh", Quota(items=4))
    assert (await far.get("fresh")).items == 3
    clock.now += FRESH
    assert (await far.get("fresh")).items == 4
