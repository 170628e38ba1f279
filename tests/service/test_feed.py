"""The feed on a real Redis: entries of many changes, overlaps, what is kept."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio
from redis.exceptions import ResponseError

from service.feed import LENGTH, feed, feed_key, last_fed, read_feed
from service.log.change import Change, Position, encode
from tests.service.servers import Redis

ORIGIN, LANE = "asia", 3


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[redis.asyncio.Redis]:
    server = Redis(tmp_path / "redis")
    server.start()
    try:
        async with redis.asyncio.Redis(port=server.port) as opened:
            yield opened
    finally:
        server.process.kill()


def changes(first: int, last: int, epoch: int = 1) -> list[Change]:
    return [
        Change(
            ORIGIN, LANE, epoch, seq, f"e{epoch}-{seq}", "default", "c", f"i{seq}",
            "upsert", bytes(8), "{}", seq, ORIGIN, seq, seq,
        )
        for seq in range(first, last + 1)
    ]  # fmt: skip


async def fed(client: redis.asyncio.Redis, first: int, last: int, epoch: int = 1):
    run = changes(first, last, epoch)
    await feed(client, run, encode(run))


async def read(client: redis.asyncio.Redis, epoch: int, seq: int) -> list[Change]:
    found = await read_feed(client, LANE, {ORIGIN: Position(epoch, seq)}, 1)
    return found[0][1] if found else []


async def test_who_stands_within_an_entry_reads_all_that_comes_after(client):
    await fed(client, 1, 50)
    await fed(client, 51, 60)
    got = await read(client, 1, 20)
    assert [c.seq for c in got if c.seq > 20] == list(range(21, 61))
    assert got == changes(1, 60)
    assert await read(client, 1, 60) == []


async def test_two_feeders_with_other_boundaries_leave_no_hole(client):
    await fed(client, 1, 30)
    await fed(client, 1, 10)  # the slower one: refused without an error
    await fed(client, 11, 40)
    got = await read(client, 1, 30)
    assert {c.seq for c in got} >= set(range(31, 41))
    assert await last_fed(client, ORIGIN, LANE) == Position(1, 40)
    assert await client.xlen(feed_key(ORIGIN, LANE)) == 2


async def test_it_keeps_so_many_changes_however_they_are_grouped(client):
    size = 64
    for first in range(1, 3 * LENGTH, size):
        await fed(client, first, first + size - 1)
    oldest = (await client.xrange(feed_key(ORIGIN, LANE), count=1))[0][0]
    last = await last_fed(client, ORIGIN, LANE)
    assert last is not None
    kept = last.seq - int(oldest.split(b"-")[1])
    # "About": whole nodes of the stream go at once.
    assert LENGTH - size <= kept <= LENGTH * 1.5


async def test_the_epoch_before_stays_until_the_new_one_is_long(client):
    await fed(client, 1, 100)
    await fed(client, 1, 10, epoch=2)
    assert len(await read(client, 1, 0)) == 110
    for first in range(11, 2 * LENGTH, 100):
        await fed(client, first, first + 99, epoch=2)
    oldest = (await client.xrange(feed_key(ORIGIN, LANE), count=1))[0][0]
    assert oldest.startswith(b"2-")


async def test_another_refusal_is_raised(client):
    await client.set(feed_key(ORIGIN, LANE), "no stream")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await fed(client, 1, 1)
