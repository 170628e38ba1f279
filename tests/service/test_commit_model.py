"""Group commits of random batches against a model of what each write is answered."""

import random
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from service.log.migrate import migrate

pytestmark = pytest.mark.asyncio

CALL = (
    "SELECT n, epoch, seq, at, committed, repeated, refused FROM commit_changes('a', "
    "'r', $1::smallint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], "
    "$7::bytea[], $8::text[], $9::bigint[], $10::bigint[])"
)
LANES = {"c": 1, "d": 1, "e": 5}
BATCHES = 60
FAR = 2**52


@dataclass
class Write:
    collection: str
    event: str
    item: str
    op: str
    wanted: int | None

    @property
    def key(self):
        return self.collection, self.item


@dataclass
class Model:
    """A hub's log and rows, as the comments of commit_changes have them."""

    seqs: dict = field(default_factory=lambda: dict.fromkeys(LANES.values(), 0))
    clocks: dict = field(default_factory=lambda: dict.fromkeys(LANES.values(), 0))
    events: dict = field(default_factory=dict)
    items: dict = field(default_factory=dict)
    """(version, whether it is deleted, event) by key."""
    drops: dict = field(default_factory=dict)

    def version(self, write):
        """What a condition is held against; 0: it is not there."""
        at, deleted, _ = self.items.get(write.key, (0, True, ""))
        return 0 if deleted or at <= self.drops.get(write.collection, 0) else at

    def commit(self, batch, moment):
        """(seq, version, repeated, refused) of each write of one transaction."""
        known, first, touched = dict(self.events), {}, set()
        fresh, answers = [], {}
        for n, write in enumerate(batch):
            event = (LANES[write.collection], write.event)
            if event in known or event in first:
                continue
            first[event] = n
            version = self.version(write)
            late = write.key in touched
            touched.add(write.key)
            if write.wanted is not None and (write.wanted != version or late):
                answers[n] = (0, version, False, True)
            else:
                fresh.append(n)
        answers |= self._store(batch, fresh, moment)
        told = []
        for write in batch:
            event = (LANES[write.collection], write.event)
            if event in known:
                told.append((*known[event], True, False))
            else:
                seq, at, _, refused = answers[first[event]]
                again = any(event == e for e in told_events(batch, len(told)))
                told.append((seq, at, again, refused))
        return told

    def _store(self, batch, fresh, moment):
        answers = {}
        for lane in set(LANES.values()):
            mine = [n for n in fresh if LANES[batch[n].collection] == lane]
            if not mine:
                continue
            floors = [self.items.get(batch[n].key, (0,))[0] for n in mine]
            floors += [self.drops.get(batch[n].collection, 0) for n in mine]
            clock = max(self.clocks[lane], moment * 1024, *floors)
            for k, n in enumerate(mine, 1):
                at = clock + k
                answers[n] = (self.seqs[lane] + k, at, False, False)
                self.events[lane, batch[n].event] = (self.seqs[lane] + k, at)
            self.seqs[lane] += len(mine)
            self.clocks[lane] = clock + len(mine)
        for n in fresh:
            write, at = batch[n], answers[n][1]
            if write.op == "drop":
                self.drops[write.collection] = at
            else:
                self.items[write.key] = (at, write.op == "delete", write.event)
        return answers


def told_events(batch, count):
    return [(LANES[w.collection], w.event) for w in batch[:count]]


@pytest_asyncio.fixture
async def database(postgres):
    connection = await postgres.connect()
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await migrate(connection, "a")
    yield connection
    await connection.close()


def drawn(rng, number, model):
    """A batch with events of before, events twice, conditions and drops."""
    past = [event for _, event in model.events]
    batch = []
    for n in range(rng.randint(1, rng.choice([3, 30, 120]))):
        again = past and rng.random() < 0.15
        event = rng.choice(past) if again else f"{number}-{rng.randint(0, n)}"
        op = rng.choices(["upsert", "delete", "drop"], [20, 5, 0.3])[0]
        item = "" if op == "drop" else f"i{rng.randint(0, 15)}"
        write = Write(rng.choice(list(LANES)), event, item, op, None)
        if rng.random() < 0.4:
            write.wanted = rng.choice([0, model.version(write), 77])
        batch.append(write)
    return batch


async def committed(database, batch):
    size = len(batch)
    return await database.fetch(
        CALL,
        [LANES[w.collection] for w in batch],
        [w.event for w in batch],
        ["t"] * size,
        [w.collection for w in batch],
        [w.item for w in batch],
        [w.op for w in batch],
        [b"\0\0\0\0" if w.op == "upsert" else None for w in batch],
        ["{}"] * size,
        [1] * size,
        [w.wanted for w in batch],
    )


@pytest.mark.parametrize("seed", range(3))
async def test_every_write_is_answered_and_stored_as_the_model_says(database, seed):
    # A hub whose clock is far ahead has dropped one of the collections.
    rng, model = random.Random(seed), Model(drops={"e": FAR})
    await database.execute("INSERT INTO dropped VALUES ('t', 'e', $1)", FAR)
    for number in range(BATCHES):
        batch = drawn(rng, number, model)
        rows = await committed(database, batch)
        moment = max(row["committed"] for row in rows)
        told = [(r["seq"], r["at"], r["repeated"], r["refused"]) for r in rows]
        assert told == model.commit(batch, moment), (seed, number)
        assert [row["n"] for row in rows] == list(range(1, len(batch) + 1))
    stored = await database.fetch("SELECT * FROM item")
    found = {
        (r["collection"], r["id"]): (r["at"], r["deleted"], r["event_id"])
        for r in stored
    }
    assert found == model.items
    heads = await database.fetch("SELECT lane, seq, clock FROM head WHERE seq > 0")
    assert {r["lane"]: (r["seq"], r["clock"]) for r in heads} == {
        lane: (seq, model.clocks[lane]) for lane, seq in model.seqs.items()
    }
    logged = await database.fetch("SELECT lane, event_id, seq, at FROM change")
    assert {(r["lane"], r["event_id"]): (r["seq"], r["at"]) for r in logged} == (
        model.events
    )
