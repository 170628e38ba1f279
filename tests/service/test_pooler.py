"""Instances behind a pooler that lends its sessions for one transaction each."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from service.log.pooled import Borrowed
from tests.service.asking import filled, fresh, of_type, until, watching
from tests.service.drivers import Http, WebSocket
from tests.service.pooler import PROGRAM, SESSIONS, Pooler
from tests.service.servers import Postgres
from tests.service.world import World, wait_gone

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")
CLIENTS = 24


@pytest.fixture(scope="module")
def pooler(postgres: Postgres, tmp_path_factory) -> Iterator[Pooler]:
    made = Pooler(tmp_path_factory.mktemp("pooler") / "pooler", postgres.port)
    made.start()
    yield made
    made.stop()


async def connected(pooler, kind=Borrowed, **options):
    return await asyncpg.connect(
        host="127.0.0.1",
        port=pooler.port,
        user="meridian",
        database="postgres",
        connection_class=kind,
        **options,
    )


async def asked_in_turns(connections):
    """Every client asks a question of its own again and again; what it heard."""

    async def asks(number, connection):
        query = f"SELECT $1::int8 + {number}"
        return [await connection.fetchval(query, turn) - turn for turn in range(40)]

    work = (asks(number, c) for number, c in enumerate(connections))
    return await asyncio.gather(*work, return_exceptions=True)


async def test_clients_that_share_sessions_hear_their_own_answers(pooler):
    connections = [
        await connected(pooler, statement_cache_size=0) for _ in range(CLIENTS)
    ]
    assert await asked_in_turns(connections) == [[n] * 40 for n in range(CLIENTS)]
    for connection in connections:
        await connection.close()


async def test_that_with_prepared_statements_they_do_not(pooler):
    """What the setting is for: otherwise it could go."""
    connections = [await connected(pooler, asyncpg.Connection) for _ in range(CLIENTS)]
    heard = await asked_in_turns(connections)
    assert any(isinstance(answer, asyncpg.PostgresError) for answer in heard)
    for connection in connections:
        connection.terminate()


@pytest.mark.parametrize("kind", [Borrowed, asyncpg.Connection])
async def test_cursors_of_several_processes_do_not_meet(pooler, kind, monkeypatch):
    """Each process counts from one; only random names differ then."""
    read = []
    for _ in range(2 * SESSIONS):
        monkeypatch.setattr(asyncpg.connection, "_uid", 0)
        one = await connected(pooler, kind, statement_cache_size=0)
        try:
            async with one.transaction():
                asked = one.cursor("SELECT n FROM generate_series(1, $1) n", 3)
                read.append([row["n"] async for row in asked])
        except asyncpg.DuplicatePreparedStatementError:
            read.append(None)
        one.terminate()
    assert (read == [[1, 2, 3]] * len(read)) == (kind is Borrowed)


@pytest.fixture(scope="module")
def behind(tmp_path_factory, template, cluster) -> Iterator[World]:
    """A hub and a cell of it, whose instances go through poolers."""
    folder, regions = tmp_path_factory.mktemp("behind"), {"a": "a", "b": "a"}
    made = World(Path(folder), template, cluster, regions, {}, pooled=True)
    yield made
    made.close()


@pytest.fixture
async def hub(behind) -> AsyncIterator[Http]:
    await behind.ready()
    driver = Http(behind.regions["a"])
    yield driver
    await driver.close()


async def test_a_write_is_searched_and_heard_in_a_cell(behind, hub):
    name, written = await filled(hub)
    cell, socket = Http(behind.regions["b"]), WebSocket(behind.regions["b"])
    await until(
        lambda: cell.call("search", collection=name, vector=[0, 0, 1], k=1),
        lambda answer: [hit["id"] for hit in answer["hits"]] == ["c"],
    )
    await socket.send(watching(name))
    await of_type(socket, "watching")
    await hub.call("upsert", collection=name, items=[{"id": "e", "vector": [9, 0, 0]}])
    assert (await of_type(socket, "match"))["item"]["id"] == "e"
    await socket.close()
    await cell.close()


async def test_many_writers_at_once_and_a_server_that_is_killed(behind, hub):
    """All that was acknowledged is there afterwards, whatever answers were lost."""
    name, region = fresh(), behind.regions["a"]
    await hub.call("create_collection", name=name, dimension=3)
    stored = set()

    async def write(writer):
        driver = Http(region)
        for number in range(40):
            item = {"id": f"{writer}-{number}", "vector": [1, writer, number]}
            answer = await until(lambda item=item: tried(driver, item), bool, 30)
            assert answer["stored"] == 1
            stored.add(item["id"])
        await driver.close()

    async def tried(driver, item):
        try:
            return await driver.call("upsert", collection=name, items=[item])
        except Exception:  # refused while the server is away: asked again
            return None

    work = asyncio.gather(*(write(writer) for writer in range(12)))
    await until(lambda: asyncio.sleep(0, len(stored)), lambda count: count > 60)
    pid = region.postgres.process.child.pid
    region.postgres.kill()
    wait_gone(pid)
    region.postgres.start()
    await work
    assert len(stored) == 480
    await until(
        lambda: hub.call("describe_collection", collection=name),
        lambda answer: answer["count"] == 480,
        30,
    )
