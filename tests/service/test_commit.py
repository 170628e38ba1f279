"""What waits for a primary and what waits for its turn."""

import time
from types import SimpleNamespace

import asyncpg
import pytest

from service.contract import ServiceError
from service.log import commit
from service.log.commit import DEADLINE, MOST, UNSENT_DEADLINE, Committer, Pending


@pytest.fixture
def committer():
    return Committer(None, None, None)


async def writes(count, seconds_ago):
    made = [Pending(f"e{n}", "c", f"i{n}", "upsert", b"", "{}") for n in range(count)]
    for pending in made:
        pending.queued = time.monotonic() - seconds_ago
    return made


@pytest.mark.asyncio
async def test_a_long_queue_behind_a_primary_that_answers_is_no_outage(committer):
    committer.submit(await writes(MOST + 1, 60))
    batch = committer._take()
    assert len(batch) == MOST
    now = time.monotonic()
    for pending in batch:
        assert pending.due == pytest.approx(now + UNSENT_DEADLINE, abs=0.2)
        pending.sent = True
        assert pending.due == pytest.approx(now + DEADLINE, abs=0.2)


@pytest.mark.asyncio
async def test_behind_one_that_does_not_answer_the_time_in_the_queue_counts(committer):
    committer.healthy = False
    committer.submit(await writes(1, 60))
    (pending,) = committer._take()
    assert pending.due < time.monotonic()


@pytest.mark.asyncio
async def test_nothing_more_is_taken_once_the_oldest_waits_too_long(committer):
    committer.submit(await writes(1, DEADLINE - 1))
    committer.submit(await writes(1, 0))
    committer._queue[0].queued -= 2
    with pytest.raises(ServiceError) as refused:
        committer.submit(await writes(1, 0))
    assert refused.value.code == "overloaded" and refused.value.elsewhere
    assert "2 writes wait, the oldest for 6." in refused.value.message
    assert len(committer._queue) == 2 <= commit.MOST_QUEUED


class NoRoom:
    """A connection to a primary whose disk is full."""

    def is_closed(self):
        return False

    async def fetch(self, *_, timeout):
        raise asyncpg.DiskFullError("could not extend file")

    def terminate(self):
        pass


@pytest.mark.asyncio
async def test_a_primary_without_room_is_away_and_has_nothing_of_it(monkeypatch):
    async def connect(*_):
        return NoRoom()

    monkeypatch.setattr(commit, "connect", connect)
    hub = SimpleNamespace(hub="a", region="a", database_primary="")
    committer = Committer(hub, None, None)
    committer.submit(await writes(2, 0))
    batch = committer._take()
    await committer._commit(batch)
    for pending in batch:
        refused = pending.done.exception()
        assert refused.code == "unavailable" and refused.elsewhere
        assert not pending.sent
    assert not committer.healthy
