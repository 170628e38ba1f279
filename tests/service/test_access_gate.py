"""From headers to a caller: keys, root, tokens, tickets, and what is refused."""

import asyncio
import dataclasses

import pytest
import pytest_asyncio

from service.access.address import FAILURES, read_networks
from service.access.caller import SCOPES, TENANT_SCOPES
from service.access.gate import Access, Gate, new_root_key
from service.access.records import KeyStore, sha256, split_key
from service.access.tickets import SECONDS, Tickets
from service.contract import ServiceError
from tests.service.access_parts import Clock, caller, hub, redis_client, start_postgres

pytestmark = pytest.mark.asyncio

PEER = "203.0.113.9"


@pytest.fixture(scope="module")
def postgres(tmp_path_factory, cluster):
    server = start_postgres(tmp_path_factory.mktemp("gate"), cluster)
    yield server
    server.stop()


@pytest_asyncio.fixture
async def keys(postgres):
    async with hub(postgres, "a") as made:
        yield KeyStore(made.reader, made.committer, Clock())


@pytest_asyncio.fixture
async def tickets(redis_server):
    client = redis_client(redis_server.port)
    yield Tickets(client)
    await client.aclose()


def gate(keys, tickets=None, **more):
    access = Access(**({"required": True} | more))
    return Gate(access, keys._clock, keys=keys, tickets=tickets)


def bearer(text):
    return [(b"Authorization", f"Bearer {text}".encode())]


async def refusal(awaitable, code):
    with pytest.raises(ServiceError) as refused:
        await awaitable
    assert refused.value.code == code, refused.value.message
    return refused.value


async def test_a_key_is_taken_from_either_header(keys):
    door = gate(keys)
    text = await keys.create("acme", ["read"], "free")
    for headers in (
        bearer(text),
        [(b"authorization", b"bearer  " + text.encode())],
        [(b"X-API-Key", text.encode())],
    ):
        assert (await door.admit(headers, b"", PEER)).tenant == "acme"


async def test_without_a_credential_the_mode_decides(keys):
    error = await refusal(gate(keys).admit([], b"", PEER), "unauthenticated")
    assert error.status == 401
    assert "Authorization" in error.message
    who = await gate(keys, required=False).admit([], b"", PEER)
    assert (who.tenant, who.scopes) == ("default", TENANT_SCOPES)
    assert "operate" not in who.scopes


async def test_a_wrong_credential_is_refused_in_the_open_mode_too(keys):
    door = gate(keys, required=False)
    wrong = f"mk_{'a' * 12}_{'b' * 43}"
    await refusal(door.admit(bearer(wrong), b"", PEER), "unauthenticated")
    await refusal(door.admit(bearer("a.b.c"), b"", PEER), "unauthenticated")
    await refusal(door.admit([(b"x-api-key", b"")], b"", PEER), "unauthenticated")


async def test_root_operates_in_both_modes_and_nobody_else_is_root(keys):
    text, digest = new_root_key()
    for required in (True, False):
        door = gate(keys, required=required, root_sha256=digest)
        who = await door.admit(bearer(text), b"", PEER)
        assert who.scopes == set(SCOPES)
        await refusal(door.admit(bearer(digest), b"", PEER), "unauthenticated")
        await refusal(door.admit(bearer(text[:-1]), b"", PEER), "unauthenticated")
    door = gate(keys)
    await refusal(door.admit(bearer(text), b"", PEER), "unauthenticated")
    await refusal(door.admit([(b"x-api-key", b"")], b"", PEER), "unauthenticated")


async def test_a_root_key_itself_is_no_digest(keys):
    with pytest.raises(ValueError, match="digest") as refused:
        Access(root_sha256=new_root_key()[0])
    assert "mr_" not in str(refused.value)


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Basic dTpw")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")],
        [(b"authorization", b"Bearer a"), (b"x-api-key", b"b")],
        [(b"authorization", b"\xff\xfe")],
    ],
)
async def test_an_unclear_header_is_refused(keys, headers):
    await refusal(gate(keys).admit(headers, b"", PEER), "unauthenticated")


async def test_a_key_in_the_address_is_refused_though_it_is_good(keys):
    door = gate(keys)
    text = await keys.create("acme", ["read"], "free")
    for query in (
        f"api_key={text}",
        f"q=1&key={text}",
        f"key=%6d{text[1:]}",
        "api-key=1",
        "access_token=x",
        "x=eyJhbGciOiJub25lIn0.eyJpc3MiOiIifQ.x",
    ):
        for headers in ([], bearer(text)):
            error = await refusal(
                door.admit(headers, query.encode(), PEER, ticket_allowed=True),
                "unauthenticated",
            )
            assert "address" in error.message
            assert text not in error.message
    for harmless in (b"q=mk_x&token=WzEsMiwzXQ&ticketing=1", b"k=10"):
        assert await door.admit(bearer(text), harmless, PEER)


async def test_a_revoked_key_and_its_connections_end(keys):
    door = gate(keys)
    text = await keys.create("acme", ["read"], "free")
    who = await door.admit(bearer(text), b"", PEER)
    assert await door.holds(who)
    await keys.revoke(who.key)
    assert not await door.holds(who)
    await refusal(door.admit(bearer(text), b"", PEER), "unauthenticated")


async def test_a_caller_of_an_old_secret_holds_until_its_overlap_ends(keys):
    door = gate(keys)
    text = await keys.create("acme", ["read"], "free")
    await keys.rotate(split_key(text)[0], 60)
    who = await door.admit(bearer(text), b"", PEER)
    assert await door.holds(who)
    keys._clock.now += 60
    assert not await door.holds(who)


def guess(n):
    return bearer(f"mk_{n:012d}_{'g' * 43}")


async def test_twenty_guesses_a_minute_and_keys_in_use_go_on(keys):
    door = gate(keys)
    used = await keys.create("acme", ["read"], "free")
    unused = await keys.create("acme", ["read"], "free")
    await door.admit(bearer(used), b"", PEER)
    for n in range(FAILURES):
        await refusal(door.admit(guess(n), b"", PEER), "unauthenticated")
    error = await refusal(door.admit(guess(99), b"", PEER), "rate_limited")
    assert error.status == 429
    assert 0 < error.details["retry_after"] <= 3
    await refusal(door.admit(bearer(unused), b"", PEER), "rate_limited")
    assert await door.admit(bearer(used), b"", PEER)
    assert await door.admit(bearer(unused), b"", "203.0.113.10")
    keys._clock.now += 3
    await refusal(door.admit(guess(98), b"", PEER), "unauthenticated")
    await refusal(door.admit(guess(97), b"", PEER), "rate_limited")


async def test_guesses_at_once_are_counted_too(keys):
    door = gate(keys)

    async def one(n):
        with pytest.raises(ServiceError) as refused:
            await door.admit(guess(n), b"", PEER)
        return refused.value.code

    codes = await asyncio.gather(*(one(n) for n in range(3 * FAILURES)))
    assert codes.count("unauthenticated") == FAILURES
    assert codes.count("rate_limited") == 2 * FAILURES


async def test_failures_count_for_the_client_behind_a_trusted_proxy(keys):
    door = gate(keys, proxies=read_networks("10.0.0.0/8"))

    def of(address, n):
        return [*guess(n), (b"x-forwarded-for", f"8.8.8.{n}, {address}".encode())]

    for n in range(FAILURES):
        await refusal(door.admit(of("7.7.7.7", n), b"", "10.1.1.1"), "unauthenticated")
    await refusal(door.admit(of("7.7.7.7", 50), b"", "10.1.1.1"), "rate_limited")
    await refusal(door.admit(of("7.7.7.8", 51), b"", "10.1.1.1"), "unauthenticated")


async def test_nothing_that_is_said_or_shown_holds_a_secret(keys, capsys):
    text, digest = new_root_key()
    door = gate(keys, root_sha256=digest)
    key = await keys.create("acme", ["read"], "free")
    secret = split_key(key)[1]
    wrong = f"mk_{split_key(key)[0]}_{'z' * 43}"
    said = [repr(door._access), repr(await door.admit(bearer(key), b"", PEER))]
    for headers, query in (
        (bearer(wrong), b""),
        (bearer(text + "x"), b""),
        ([], f"api_key={key}".encode()),
        (bearer(key) + bearer(text), b""),
        ([(b"authorization", b"Basic " + key.encode())], b""),
    ):
        error = await refusal(door.admit(headers, query, PEER), "unauthenticated")
        said += [error.message, repr(error), repr(error.details)]
    said += list(capsys.readouterr())
    for hidden in (secret, "z" * 43, text, digest, sha256(secret)):
        assert not [s for s in said if hidden in s]


async def test_a_ticket_opens_one_connection(keys, tickets):
    door = gate(keys, tickets)
    key = await keys.create("acme", ["read", "write", "watch"], "premium", ["*"])
    who = await door.admit(bearer(key), b"", PEER)
    query = f"a=1&ticket={await tickets.issue(who)}".encode()
    await refusal(door.admit([], query, PEER), "unauthenticated")
    got = await door.admit([], query, PEER, ticket_allowed=True)
    assert got == dataclasses.replace(who, scopes=frozenset({"read", "watch"}))
    await refusal(door.admit([], query, PEER, ticket_allowed=True), "bad_ticket")


async def test_of_many_who_send_one_ticket_one_is_let_in(keys, tickets):
    door = gate(keys, tickets)
    who = await door.admit(
        bearer(await keys.create("acme", ["watch"], "free")), b"", PEER
    )
    query = f"ticket={await tickets.issue(who)}".encode()
    answers = await asyncio.gather(
        *(door.admit([], query, PEER, ticket_allowed=True) for _ in range(20)),
        return_exceptions=True,
    )
    assert answers.count(who) == 1


async def test_a_ticket_ends_with_its_time_and_with_its_key(
    keys, tickets, redis_server
):
    door = gate(keys, tickets)
    client = redis_client(redis_server.port)
    await client.flushall()
    who = await door.admit(
        bearer(await keys.create("acme", ["watch"], "free")), b"", PEER
    )
    text = await tickets.issue(who)
    (name,) = await client.keys()
    assert text.encode() not in name
    assert 0 < await client.pttl(name) <= SECONDS * 1000
    await client.pexpire(name, 1)
    await asyncio.sleep(0.05)
    query = f"ticket={text}".encode()
    await refusal(door.admit([], query, PEER, ticket_allowed=True), "bad_ticket")
    query = f"ticket={await tickets.issue(who)}".encode()
    await keys.revoke(who.key)
    await refusal(door.admit([], query, PEER, ticket_allowed=True), "bad_ticket")
    await client.aclose()


async def test_a_ticket_beside_a_key_or_of_another_form_is_refused(keys, tickets):
    door = gate(keys, tickets)
    key = await keys.create("acme", ["watch"], "free")
    ticket = await tickets.issue(await door.admit(bearer(key), b"", PEER))
    query = f"ticket={ticket}".encode()
    both = door.admit(bearer(key), query, PEER, ticket_allowed=True)
    await refusal(both, "unauthenticated")
    for wrong in (b"ticket=x", b"ticket=", query + b"x"):
        with pytest.raises(ServiceError) as refused:
            await door.admit([], wrong, PEER, ticket_allowed=True)
        assert refused.value.status == 401
    without = gate(keys).admit([], query, PEER, ticket_allowed=True)
    await refusal(without, "bad_ticket")


async def test_an_address_of_very_many_parameters_is_refused(keys, tickets):
    door = gate(keys, tickets)
    query = b"&".join(b"ticket=%d" % n for n in range(51))
    await refusal(door.admit([], query, PEER, ticket_allowed=True), "bad_request")


async def test_a_key_that_may_neither_read_nor_watch_gets_no_ticket(tickets):
    with pytest.raises(ServiceError) as refused:
        await tickets.issue(caller(scopes=["write"]))
    assert refused.value.code == "forbidden"


async def test_without_redis_tickets_are_unavailable(keys):
    client = redis_client(1)
    made = Tickets(client)
    error = await refusal(made.issue(caller()), "unavailable")
    assert error.elsewhere
    door = gate(keys, made)
    query = b"ticket=mt_" + b"x" * 43
    await refusal(door.admit([], query, PEER, ticket_allowed=True), "unavailable")
    await client.aclose()
