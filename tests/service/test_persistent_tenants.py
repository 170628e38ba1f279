"""Whose persistent streams are, and how many of them a tenant may have."""

import pytest

from tests.service.asking import fresh, refusal, watching
from tests.service.drivers import STREAMING, UNARY, Http, WebSocket
from tests.service.persistent_parts import attach, heard, put, row
from tests.service.strict import bearer, key_of


async def stream_of(strict, key, name, kind=WebSocket):
    """A persistent stream of a tenant, and the connection that has it."""
    streams = kind(strict, bearer(key))
    await streams.send(watching(name, persistent=True))
    return streams, await heard(streams, "attached")


@pytest.mark.parametrize("kind", UNARY, ids=lambda k: k.name)
async def test_anothers_stream_is_not_found(strict, root, world, kind):
    keys = [await key_of(root, f"{t}-{kind.name}") for t in ("owner", "thief")]
    writer = Http(strict, bearer(keys[0]))
    name = fresh()
    await writer.call("create_collection", name=name, dimension=3)
    streams, made = await stream_of(strict, keys[0], name)
    thief = kind(strict, bearer(keys[1]))
    assert (await thief.call("list_streams"))["streams"] == []
    refused = await refusal(thief.call("drop_stream", id=made["id"]))
    nothing = made["id"][:-32] + "0" * 32
    unknown = await refusal(thief.call("drop_stream", id=nothing))
    assert refused.code == unknown.code == "not_found"
    assert refused.message.replace(made["id"], nothing) == unknown.message
    kept = await row(world, made["id"], "asia")
    assert (kept["epoch"], kept["tenant"]) == (1, f"owner-{kind.name}")
    await put(writer, name, "1")
    assert (await heard(streams, "match"))["item"]["id"] == "1"
    for driver in (writer, streams, thief):
        await driver.close()


@pytest.mark.parametrize("kind", STREAMING, ids=lambda k: k.name)
async def test_nobody_attaches_to_anothers_stream(strict, root, world, kind):
    keys = [await key_of(root, f"{t}-{kind.name}") for t in ("mine", "thief")]
    writer = Http(strict, bearer(keys[0]))
    name = fresh()
    await writer.call("create_collection", name=name, dimension=3)
    streams, made = await stream_of(strict, keys[0], name)
    thief = kind(strict, bearer(keys[1]))
    await thief.send(attach(made["id"]))
    while (answer := await thief.receive())["type"] != "error":
        assert answer["type"] in ("connected", "heartbeat")
    assert answer["error"]["code"] == "not_found"
    # `unfenced` opens nothing either: the home is there and knows whose it is.
    known = {"token": "x", "definition": made["definition"]}
    await thief.send(attach(made["id"], unfenced=True, **known))
    assert (await thief.receive())["error"]["code"] == "not_found"
    kept = await row(world, made["id"], "asia")
    assert (kept["epoch"], kept["tenant"]) == (1, f"mine-{kind.name}")
    for driver in (writer, streams, thief):
        await driver.close()


async def test_persistent_streams_count_whether_anybody_has_them(strict, root):
    key, name = await key_of(root, "counted"), fresh()
    await root.call("set_quota", tenant="counted", streams=2)
    writer = Http(strict, bearer(key))
    await writer.call("create_collection", name=name, dimension=3)
    ids = []
    for _ in range(2):
        streams, made = await stream_of(strict, key, name)
        ids.append(made["id"])
        await streams.close()
    # Two are stored and nobody has them.
    more = WebSocket(strict, bearer(key))
    for options in ({"persistent": True}, {}):
        await more.send(watching(name, **options))
        error = (await more.receive())["error"]
        assert error["code"] == "quota_exceeded", options
        assert error["details"] == {"what": "streams", "given": 3, "allowed": 2}
    assert len((await writer.call("list_streams"))["streams"]) == 2
    # To attach to one makes it no third.
    await more.send(attach(ids[0]))
    await heard(more, "attached")
    await writer.call("drop_stream", id=ids[1])
    await more.send(watching(name, stream="third", persistent=True))
    assert (await heard(more, "attached"))["stream"] == "third"
    for driver in (writer, more):
        await driver.close()
