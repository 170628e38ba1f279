"""Both ends of a forwarded write by themselves: what is asked, what a home refuses."""

import asyncio
import uuid
from dataclasses import replace

import orjson
import pytest
import pytest_asyncio

from service.contract import ServiceError
from service.google import Google
from service.log.carried import COMMIT, answered, outcome_of, packed, refused, unpacked
from service.log.change import Position
from service.log.commit import Committed, Committer
from service.log.database import pool
from service.log.definition import Definition, Fields
from service.log.reader import Reader
from service.log.writing import Write, Writing
from service.settings import Settings
from service.stream import forward
from service.stream.forward import Forward
from service.stream.mail import Mail
from service.telemetry import Metrics
from service.worker.asked import Asked
from service.worker.forwarded import Forwarded
from tests.service.asking import filled, fresh, until
from tests.service.drivers import Http

HUBS = ("asia", "europe")


def settings_of(world, region, role):
    return Settings.from_environment(world.regions[region].environment(role))


class Asker:
    """An instance of asia, as far as it sends writes to homes."""

    def __init__(self, world):
        settings = settings_of(world, "asia", "stream")
        self.google = Google(settings)
        self.mail = Mail(settings, self.google)
        self.metrics = Metrics()
        self.forward = Forward(HUBS, self.mail, self.metrics)

    async def close(self):
        await self.mail.close()
        await self.google.close()


@pytest_asyncio.fixture
async def asker(world):
    made = Asker(world)
    yield made
    await made.close()


class Home:
    """The worker of europe, as far as it takes writes: its database is real."""

    def __init__(self, database, committer):
        self.reader = Reader(database)
        writing = Writing("europe", committer, self.reader, 1024)
        self.forwarded = Forwarded("europe", self.reader, writing)

    async def commit(self, number, definition, *writes):
        given = [[*_plain(w)] for w in writes]
        params = [*definition.key, definition.at, None, given]
        return await self.forwarded.answer(number, COMMIT, params)


def _plain(write):
    return orjson.loads(packed(write))


@pytest_asyncio.fixture
async def home(world):
    settings = settings_of(world, "europe", "worker")
    google = Google(settings)
    database = await pool(settings, settings.database_primary, google.token)
    committer = Committer(settings, google.token, Metrics())
    running = asyncio.create_task(committer.run())
    yield Home(database, committer)
    running.cancel()
    committer.close()
    database.terminate()
    await google.close()


@pytest_asyncio.fixture
async def made(world, home):
    """A collection of four items that is written in europe."""
    driver = Http(world.regions["europe"])
    name, _ = await filled(driver, writes="home")
    await driver.close()
    return await home.reader.definition("default", name)


def write(item, **more):
    event = more.pop("event_id", uuid.uuid4().hex)
    vector = None if more.get("op") == "delete" else b"\0\0\x80?" + bytes(8)
    wanted = {"n": 0, "op": "upsert", "vector": vector} | more
    return Write(event_id=event, item_id=item, **wanted)


def outcomes_of(metrics):
    """Outcome -> writes that were counted."""
    (family,) = metrics.forwarded.collect()
    return {
        s.labels["outcome"]: s.value for s in family.samples if s.name.endswith("total")
    }


def test_writes_and_outcomes_travel_as_json():
    for one in (write("a", if_version=0), write("b", op="delete", n=3)):
        assert unpacked(orjson.loads(packed(one))) == one
    stored = Committed(3, Position(1, 2), 9, 8, True)
    assert outcome_of(answered(stored), 3) == stored
    error = ServiceError("version_conflict", "no", details={"version": 4})
    back = outcome_of(answered(error), 3)
    told = (back.code, back.message, back.details)
    assert told == (error.code, error.message, error.details)
    with pytest.raises(ValueError, match="there is no write"):
        unpacked([0, "e", "i", "drop", None, "{}", None, 0])


def test_a_code_of_a_later_revision_is_a_fault():
    given = {"code": "of_tomorrow", "message": "m", "details": {}}
    assert refused(given).code == "internal"


async def test_a_message_of_its_own_for_each_part_and_all_in_order(
    asker, made, monkeypatch
):
    monkeypatch.setattr(forward, "MOST_BYTES", 300)
    writes = [write(f"i{n % 3}", n=n) for n in range(7)]
    asked = _counted(asker, monkeypatch)
    done = await asker.forward.run(made, writes, 8.0)
    assert len(asked) > 2 and sum(asked) == 7
    places = [one.position for one in done]
    assert places == sorted(set(places))
    again = await asker.forward.run(made, writes, 8.0)
    assert [o.position for o in again] == places and all(o.repeated for o in again)
    assert outcomes_of(asker.metrics) == {"stored": 14}


def _counted(asker, monkeypatch, lost=()):
    """Writes of each question; those whose numbers are `lost` reach nobody."""
    asked, ask = [], asker.mail.ask

    async def counting(home, question, params, seconds):
        asked.append(len(params[4]))
        if len(asked) - 1 in lost:
            raise TimeoutError
        return await ask(home, question, params, seconds)

    monkeypatch.setattr(asker.mail, "ask", counting)
    return asked


async def test_what_follows_a_lost_part_is_not_sent(asker, made, home, monkeypatch):
    monkeypatch.setattr(forward, "MOST_BYTES", 300)
    asked = _counted(asker, monkeypatch, lost={1})
    writes = [write(f"i{n}", n=n) for n in range(6)]
    done = await asker.forward.run(made, writes, 8.0)
    first = asked[0]
    assert len(asked) == 2, "nothing after the lost one"
    assert all(isinstance(one, Committed) for one in done[:first])
    assert {one.code for one in done[first:]} == {"home_away"}
    assert len(done) == 6
    assert outcomes_of(asker.metrics) == {"stored": first, "home_away": 6 - first}
    ids = [w.item_id for w in writes]
    assert set(await home.reader.some(made, ids)) == set(ids[:first])
    # All of it again: what was stored is answered as it was.
    again = await asker.forward.run(made, writes, 8.0)
    assert [o.position for o in again[:first]] == [o.position for o in done[:first]]
    assert set(await home.reader.some(made, ids)) == set(ids)


async def test_a_first_part_that_is_lost_is_an_error_of_all(asker, made, monkeypatch):
    asked = _counted(asker, monkeypatch, lost={0})
    with pytest.raises(ServiceError) as failed:
        await asker.forward.run(made, [write("x")], 8.0)
    assert failed.value.code == "home_away" and len(asked) == 1


async def test_a_write_beyond_a_message_leaves_its_neighbours_alone(
    asker, made, monkeypatch
):
    monkeypatch.setattr(forward, "MOST_BYTES", 300)
    writes = [write("x"), write("y", metadata=" " * 300), write("z", n=2)]
    done = await asker.forward.run(made, writes, 8.0)
    assert [isinstance(one, Committed) for one in done] == [True, False, True]
    assert (done[1].code, done[1].details["allowed"]) == ("metadata_too_large", 300)
    alone = await asker.forward.run(made, writes[1:2], 8.0)
    assert [one.code for one in alone] == ["metadata_too_large"]


async def test_a_home_that_does_not_know_the_question_is_away_in_time(
    asker, made, world, monkeypatch
):
    """As one of the revision before: it says nothing, and leaves the message."""
    monkeypatch.setattr(forward, "COMMIT", "later.commit")
    with pytest.raises(ServiceError) as failed:
        await asker.forward.run(made, [write("x")], 1.0)
    assert failed.value.code == "home_away"
    assert "waited" in failed.value.message
    log = world.regions["europe"].folder / "worker.log"
    assert "question not understood" in log.read_text()
    # It goes on with what it knows.
    monkeypatch.undo()
    (done,) = await asker.forward.run(made, [write("x")], 8.0)
    assert isinstance(done, Committed)


async def test_a_hub_that_is_none_any_more_is_not_waited_for(asker, made, monkeypatch):
    asked = _counted(asker, monkeypatch)
    gone = replace(made, fields=replace(made.fields, home="atlantis"))
    with pytest.raises(ServiceError) as failed:
        await asker.forward.run(gone, [write("x")], 8.0)
    assert failed.value.code == "home_away" and asked == []


async def refusal_of(asker, definition):
    with pytest.raises(ServiceError) as failed:
        await asker.forward.run(definition, [write("x")], 8.0)
    return failed.value


async def test_a_home_takes_writes_of_the_tenant_that_asks_only(asker, made):
    other = replace(made, tenant="another")
    assert (await refusal_of(asker, other)).code == "unknown_collection"


async def test_a_home_commits_or_refuses_and_sends_nothing_on(asker, home, world):
    """Whatever it is asked: a collection that others write is none of its own."""
    driver = Http(world.regions["europe"])
    name, _ = await filled(driver)
    known = await home.reader.definition("default", name)
    await driver.close()
    assert known.fields.home == ""
    sent = replace(known, fields=replace(known.fields, home="europe"))
    refusal = await refusal_of(asker, sent)
    assert refusal.code == "unavailable"
    assert await home.reader.some(known, ["x"]) == {}


async def test_what_was_meant_for_a_dropped_collection_is_not_written(asker, made):
    before = replace(made, at=made.at - 1)
    refusal = await refusal_of(asker, before)
    assert refusal.code == "unavailable" and refusal.retry_after == 1.0
    nowhere = Definition("default", fresh(), 0, 1, Fields(dimension=3, home="europe"))
    assert (await refusal_of(asker, nowhere)).code == "unknown_collection"


async def test_a_refused_condition_stays_refused_for_its_question(home, made):
    """Else a copy of the question stored what the asker was told is refused."""
    one = write("a", if_version=0, event_id=f"{made.name}-a")
    (first,) = await home.commit("question", made, one)
    assert first["error"]["code"] == "version_conflict"
    await home.commit("other", made, write("a", op="delete"))
    (second,) = await home.commit("question", made, one)
    assert second == first
    assert await home.reader.some(made, ["a"]) == {}
    # The client asks again by itself: it is judged anew, as at home.
    (third,) = await home.commit("question 2", made, one)
    assert "position" in third
    # And a copy of the first question changes nothing any more.
    (fourth,) = await home.commit("question", made, one)
    assert fourth == third | {"repeated": True}


async def test_a_refused_patch_stays_refused_for_its_question(home, made):
    one = write("new", op="patch", vector=None, metadata='{"a":1}')
    (first,) = await home.commit("patch", made, one)
    assert first["error"]["code"] == "unknown_item"
    await home.commit("makes it", made, write("new"))
    (second,) = await home.commit("patch", made, one)
    assert second["error"]["code"] == "version_conflict"
    (third,) = await home.commit("patch again", made, one)
    assert "position" in third
    row = (await home.reader.some(made, ["new"]))["new"]
    assert row["metadata"] == '{"a":1}'


async def test_patches_of_one_item_at_once_are_all_merged(home, made):
    some = [
        write(
            "a", op="patch", vector=None, metadata=orjson.dumps({f"k{n}": n}).decode()
        )
        for n in range(4)
    ]
    asked = [home.commit(f"{one.event_id}", made, one) for one in some]
    told = await asyncio.gather(*asked)
    assert all("position" in one for (one,) in told)
    row = (await home.reader.some(made, ["a"]))["a"]
    assert {f"k{n}" for n in range(4)} <= orjson.loads(row["metadata"]).keys()


async def test_copies_of_a_question_at_once_are_one(home, made):
    one = write("new", if_version=0)
    gone = write("a", op="delete", if_version=1)
    asked = [home.commit("twice", made, one, gone) for _ in range(8)]
    told = await asyncio.gather(*asked)
    assert len({(t[0]["at"], *t[0]["position"]) for t in told}) == 1
    assert all(t[1] == told[0][1] for t in told)
    assert told[0][1]["error"]["code"] == "version_conflict"


class Taking:
    """What a worker takes writes with, and Pub/Sub: both only say what they got."""

    topic_changes, hub = "changes", "europe"

    def __init__(self):
        self.asked, self.published = [], []
        self.free = asyncio.Event()

    async def answer(self, number, question, params):
        self.asked.append(number)
        await self.free.wait()
        return [{"n": number}]

    async def publish(self, topic, messages):
        self.published += [orjson.loads(data)["id"] for data, _ in messages]


async def test_a_worker_takes_a_question_once_at_a_time_and_no_more_than_it_holds():
    parts = Taking()
    asked = Asked(parts, parts, None, None, parts)

    async def take(number, size):
        question = {"id": number, "question": COMMIT, "params": [], "until": 2**40}
        await asked.take(question | {"region": "asia", "instance": "i"}, size)
        await asyncio.sleep(0)

    await take("a", 40 * 2**20)
    await take("a", 40 * 2**20)
    await take("b", 40 * 2**20)
    await take("c", 20 * 2**20)
    assert parts.asked == ["a", "c"] and parts.published == []
    parts.free.set()
    await until(lambda: _given(parts.published), lambda told: len(told) == 2)
    await take("b", 40 * 2**20)
    assert parts.asked == ["a", "c", "b"]


async def _given(value):
    return value


async def test_refusals_are_forgotten_after_an_hour(home, made):
    await home.commit("old", made, write("a", if_version=0))
    count = "SELECT count(*) FROM refused WHERE question = 'old'"
    assert await home.reader.pool.fetchval(count) == 1
    await home.reader.pool.execute("SELECT sweep_refused()")
    assert await home.reader.pool.fetchval(count) == 1
    await home.reader.pool.execute(
        "UPDATE refused SET at = at - interval '61 minutes' WHERE question = 'old'"
    )
    await home.reader.pool.execute("SELECT sweep_refused()")
    assert await home.reader.pool.fetchval(count) == 0
