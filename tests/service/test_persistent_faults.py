"""Persistent streams whose home is away, or does not get every message once."""

import pytest

from tests.service.drivers import Http, WebSocket
from tests.service.persistent_parts import (
    ack,
    attach,
    europe_without_database,
    heard,
    made_in,
    put,
    row,
)


@pytest.mark.parametrize("region", ["paris", "asia"])
async def test_with_its_home_away_it_goes_on_unfenced(party, world, region):
    name, writer, first, made = await made_in(party, "europe", writes_to="asia")
    await put(writer, name, "1", "2")
    one = await heard(first, "match")
    await first.close()
    second = party(WebSocket, region)
    async with europe_without_database(world):
        await second.send(attach(made["id"]))
        refused = (await second.receive())["error"]
        assert refused["code"] == "home_away" and "unfenced" in refused["message"]
        assert refused["details"] == {"home": "europe"}
        await second.send(attach(made["id"], unfenced=True))
        assert (await second.receive())["error"]["code"] == "missing_key"
        known = {"token": one["token"], "definition": made["definition"]}
        await second.send(attach(made["id"], unfenced=True, **known))
        unfenced = await heard(second, "attached")
        assert (unfenced["epoch"], unfenced["unfenced"]) == (0, True)
        two = await heard(second, "match")
        assert (two["item"]["id"], two["epoch"]) == ("2", 0)
        await second.send(ack(two))
    # Its home is back: it is owned, and what was acknowledged is kept.
    fenced = await heard(second, "attached", 30)
    assert (fenced["epoch"], fenced["unfenced"]) == (2, False)
    assert (await heard(second, "acked"))["token"] == two["token"]
    assert (await row(world, made["id"]))["acked_position"] == two["token"]


async def test_a_list_names_the_hubs_that_are_away(party, world):
    _, _, _, made = await made_in(party, "asia")
    async with europe_without_database(world):
        answer = await party(Http, "asia").call("list_streams")
        assert answer["away"] == ["europe"]
        assert made["id"] in [s["id"] for s in answer["streams"]]


@pytest.mark.parametrize("fault", ["drop", "twice"])
async def test_questions_that_are_lost_or_doubled_change_nothing(party, world, fault):
    import aiohttp

    _, _, _, made = await made_in(party, "europe")
    second = party(WebSocket, "asia")
    await second.send({"type": "ping"})
    await heard(second, "heartbeat")
    broker = f"http://127.0.0.1:{world.broker_port}"
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{broker}/{fault}", json={"count": 2}),
    ):
        pass
    await second.send(attach(made["id"]))
    assert (await heard(second, "attached"))["epoch"] == 2
    assert (await row(world, made["id"]))["epoch"] == 2


async def test_a_late_message_of_an_owner_undoes_nothing(party, world):
    _, _, _, made = await made_in(party, "europe")
    kept = await row(world, made["id"])
    connection = await world.regions["europe"].postgres.connect()
    keep = "SELECT * FROM keep_streams($1, $2, $3, $4)"

    async def send(turn, acked, owner=kept["owner"]):
        return await connection.fetchrow(keep, [made["id"]], [owner], [turn], [acked])

    assert (await send(2000, "newer"))["kept"]
    assert (await send(1000, "older"))["kept"]
    assert (await row(world, made["id"]))["acked_position"] == "newer"
    refused = await send(3000, "others", "somebody")
    assert (refused["kept"], refused["epoch"]) == (False, 1)
    assert (await row(world, made["id"]))["acked_position"] == "newer"
    # Of two who attach at once one is the owner, the other looks again.
    take = "SELECT * FROM take_stream($1, 'default', $2, 1)"
    assert (await connection.fetchrow(take, made["id"], "one"))["epoch"] == 2
    assert await connection.fetchrow(take, made["id"], "two") is None
    assert (await connection.fetchrow(take, made["id"], "one"))["epoch"] == 2
    await connection.close()
