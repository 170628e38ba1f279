"""What the log no longer has comes by comparison of states, and only what differs."""

import asyncio
import subprocess
import time

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.log.change import Position
from service.log.state import MOST_KEYS, hybrid
from service.worker.inbox import Applier
from tests.service.digest_parts import EVER, Opened, on, prepare
from tests.service.servers import Postgres
from tests.service.test_converge import LANE


@pytest.fixture(scope="module")
def postgres(tmp_path_factory, cluster):
    folder = tmp_path_factory.mktemp("digest")
    subprocess.run(["cp", "-a", str(cluster), str(folder / "data")], check=True)
    server = Postgres(folder / "data", folder / "log")
    server.start()
    asyncio.run(prepare(server))
    yield server
    server.stop()


rows = st.lists(
    st.tuples(
        st.sampled_from("xyz"),
        st.integers(1, 4),
        st.sampled_from(["hub0", "hub1"]),
    )
    # What a version is, it is everywhere.
    .map(lambda row: (*row, (row[1] + (row[2] == "hub1")) % 2 == 0)),
    max_size=4,
    unique_by=lambda row: row[0],
)
creations = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from(["hub0", "hub1"])),
    max_size=2,
    unique=True,
)
drops = st.lists(st.integers(1, 4), max_size=1)
states = st.tuples(rows, creations, drops)
drawn = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@drawn
@given(states, st.one_of(st.none(), states))
def test_digests_are_equal_if_and_only_if_states_are(postgres, first, second):
    async def run():
        async with Opened(postgres, 2) as (a, b):
            await a.put(*first[0], created=first[1], dropped=first[2])
            other = second or [part[::-1] for part in first]
            await b.put(*other[0], created=other[1], dropped=other[2])
            same = await a.counted() == await b.counted()
            assert (await a.digest() == await b.digest()) is same
            assert second is not None or same

    asyncio.run(run())


@drawn
@given(states, states)
def test_two_rounds_make_two_hubs_equal(postgres, first, second):
    async def run():
        async with Opened(postgres, 2) as (a, b):
            for hub, (items, created, dropped) in ((a, first), (b, second)):
                await hub.put(*items, created=created, dropped=dropped)
            await a.round(b)
            await b.round(a)
            assert await a.counted() == await b.counted()
            newest = {}
            for item, at, origin, deleted in first[0] + second[0]:
                held = newest.get(item, (0, "", False))
                newest[item] = max(held, (at, origin, deleted), key=lambda v: v[:2])
            last = max(first[2] + second[2], default=0)
            wanted = {i: v[:2] for i, v in newest.items() if v[0] >= last}
            assert {r[2]: r[3:5] for r in (await a.counted())[0]} == wanted
            # Equal states exchange nothing but their sums.
            assert await a.round(b) == (0, ["state.digest"])
            assert await b.round(a) == (0, ["state.digest"])

    asyncio.run(run())


def test_rows_that_were_lost_by_hand_come_back(postgres):
    @on(postgres, 2)
    async def _(a, b):
        await a.commit([("collection", "", None)])
        await a.commit([("upsert", f"i{n}", b"\0\1\2\3") for n in range(5000)])
        while await b.take(a, 1000):
            pass
        before = await b.state()
        await b.pool.execute("DELETE FROM item WHERE id IN ('i7', 'i8')")
        assert (await a.round(b))[0] == 0
        taken, asked = await b.round(a)
        assert taken == 2
        assert asked == ["state.digest", "state.within", "state.keys", "state.rows"]
        # 5,000 items lie in 1,024 buckets, and those that differ are looked into.
        assert b.answered["state.keys"] <= 4
        assert await b.state() == before
        noted = await b.pool.fetch("SELECT id FROM repaired ORDER BY id")
        assert [row["id"] for row in noted] == ["i7", "i8"]


def test_a_new_hub_gets_everything_in_bounded_messages(postgres):
    @on(postgres, 3)
    async def _(a, b, new):
        await a.commit([("collection", "", None)])
        await b.put(*[(f"b{n}", 5, "hub1", n % 9 == 0) for n in range(MOST_KEYS + 100)])
        big = bytes(300_000)
        await a.commit([("upsert", f"big{n}", big) for n in range(20)])
        await a.round(b)
        taken, asked = await new.round(a)
        assert taken == 1 + 20 + MOST_KEYS + 100
        # Six rows of 300 kB fit into an answer.
        assert asked.count("state.rows") >= 4
        assert await new.counted() == await a.counted()
        vector = await new.pool.fetchval("SELECT vector FROM item WHERE id = 'big3'")
        assert vector == big


def test_a_tombstone_wins_over_what_is_older_and_nothing_comes_back(postgres):
    @on(postgres, 2)
    async def _(a, b):
        await a.put(("gone", 10, "hub0", False), ("again", 10, "hub0", True))
        await b.put(("gone", 11, "hub1", True), ("again", 11, "hub1", False))
        await a.round(b)
        await b.round(a)
        for hub in (a, b):
            rows = await hub.pool.fetch("SELECT id, deleted FROM item ORDER BY id")
            assert [tuple(r) for r in rows] == [("again", False), ("gone", True)]


def test_a_row_that_comes_too_late_changes_nothing(postgres):
    @on(postgres, 1)
    async def _(a):
        await a.put(("x", 10, "hub1", True))
        for late in (("x", 9, "hub1", False), ("x", 10, "hub0", False)):
            await a.put(late)
        row = await a.pool.fetchrow("SELECT at, origin, deleted FROM item")
        assert tuple(row) == (10, "hub1", True)
        assert await a.pool.fetchval("SELECT count(*) FROM repaired") == 1


def test_a_tombstone_stays_until_every_other_hub_has_said_that_it_has_it(postgres):
    @on(postgres, 3)
    async def _(a, b, c):
        old = hybrid(time.time() - 8 * 86_400)
        await a.put(("x", old, "hub0", True))
        # b was away all the time: it still has what was deleted.
        await b.put(("x", old - 1, "hub1", False))

        async def sweep():
            floor = await a.state_.floor()
            return await a.pool.fetchval("SELECT sweep_items($1, 10)", floor)

        assert await sweep() == 0
        for hub in (b, c):
            await hub.round(a)
            assert await sweep() == 0
        # Its next question tells that a round is complete.
        await b.round(a)
        assert await sweep() == 0
        await c.round(a)
        assert await sweep() == 1
        await a.round(b)
        assert (await a.counted())[0] == []
        assert await b.pool.fetchval("SELECT deleted FROM item")


def test_a_hub_that_was_away_for_longer_than_the_log_is_kept_goes_on(postgres):
    @on(postgres, 2)
    async def _(a, b):
        await a.commit([("collection", "", None)])
        await a.commit([("upsert", "x", b"1"), ("upsert", "y", b"1")])
        await b.take(a, 2)
        await a.commit([("delete", "x", None), ("upsert", "z", b"2")])
        dropped = await a.pool.fetchval("SELECT drop_ranges($1)", 2**60)
        assert dropped >= 1
        await a.commit([("upsert", "y", b"3")])
        with pytest.raises(asyncpg.PostgresError, match="hole"):
            await b.take(a, 10)
        # As long as the lane may go on by itself, only the state is repaired.
        await b.round(a)
        assert b.went_on == [] and await b.position("hub0") == Position(1, 2)
        b.stuck = {LANE}
        await b.round(a)
        assert b.went_on == [("hub0", [LANE])]
        # Past what is lost, not past what the log still has.
        assert await b.position("hub0") == Position(1, 5)
        assert await b.take(a, 10) == 1
        assert (await b.state())[:4] == (await a.state())[:4]
        # Whoever stood before the gap is told of it: the log begins after it.
        assert await b.reader.oldest("hub0", LANE) == Position(1, 6)
        b.stuck = {LANE}
        await b.round(a)
        assert await b.position("hub0") == Position(1, 6)


def test_what_was_repaired_before_its_change_came_is_the_same_after(postgres):
    @on(postgres, 2)
    async def _(a, b):
        await a.commit([("upsert", "x", b"1"), ("delete", "y", None)])
        await b.round(a)
        repaired = await b.counted()
        assert await b.take(a, 10) == 2
        assert await b.counted() == repaired == await a.counted()


def test_the_clock_passes_what_came_by_comparison(postgres):
    @on(postgres, 2)
    async def _(a, b):
        far = hybrid(time.time() + 3600)
        await a.put(("x", far, "hub0", False))
        everything = [list(range(1024)), [], *EVER, ["", "", ""]]
        keys = await a.state_.answer("state.keys", everything)
        (row,) = await a.state_.answer("state.rows", [[[*keys[0].values()][:3]]])
        await b.state_.merge_items([row])
        await b.commit([("upsert", "x", b"2")])
        at, origin = await b.pool.fetchrow("SELECT at, origin FROM item")
        assert (at > far, origin) == (True, "hub1")


def test_a_hub_that_lost_its_log_begins_an_epoch_that_others_follow(postgres):
    @on(postgres, 2)
    async def _(a, b):
        await a.commit([("upsert", "x", b"1"), ("upsert", "y", b"1")])
        await b.take(a, 10)
        await a.pool.execute(
            "TRUNCATE item, change, written, peer; UPDATE head SET seq = 0, clock = 0"
        )
        await a.round(b)
        assert await a.counted() == await b.counted()
        await a.commit([("upsert", "x", b"2")])
        assert await b.take(a, 10) == 1
        assert await b.position("hub0") == Position(2, 1)
        assert await a.counted() == await b.counted()
        await a.round(b)
        assert (await a.reader.positions(LANE))["hub0", LANE] == Position(2, 1)


def test_a_dropped_collection_is_told_and_its_rows_are_no_difference(postgres):
    @on(postgres, 2)
    async def _(a, b):
        await a.commit([("collection", "", None)])
        await a.commit([("upsert", "x", b"1")])
        await b.take(a, 10)
        await a.commit([("drop", "", None)])
        await a.pool.fetchval("SELECT sweep_items(0, 10)")
        taken, asked = await b.round(a)
        assert (taken, asked) == (1, ["state.digest"] + ["state.collections"] * 2)
        assert await b.pool.fetchval("SELECT count(*) FROM collection") == 0
        assert (await b.counted()) == (await a.counted())
        row = await b.pool.fetchrow("SELECT tenant, collection, id FROM repaired")
        assert tuple(row) == ("t", "c", "")


def test_what_may_be_on_its_way_is_no_difference(postgres):
    @on(postgres, 2)
    async def _(a, b):
        b.reconciler._interval = 600.0
        await a.commit([("upsert", "x", b"1")])
        assert await b.round(a) == (0, ["state.digest"])
        assert (await b.state_.compared())["hub0"] < hybrid(time.time() - 59)


def test_a_round_that_breaks_is_not_complete_and_the_next_one_goes_on(postgres):
    @on(postgres, 2)
    async def _(a, b):
        await a.put(("x", 1, "hub0", False), ("y", 1, "hub0", False))
        answer, broken = a.state_.answer, []

        async def breaks(question, params):
            if question == "state.rows" and not broken:
                broken.append(question)
                raise ConnectionError("away")
            return await answer(question, params)

        a.state_.answer = breaks
        with pytest.raises(ConnectionError):
            await b.round(a)
        assert await b.state_.compared() == {}
        assert (await b.round(a))[0] == 2
        assert await b.counted() == await a.counted()


def test_applying_and_comparing_at_once_ends_the_same(postgres):
    @on(postgres, 2)
    async def _(a, b):
        for n in range(5):
            ops = [("upsert", f"i{k}", bytes([n])) for k in range(20)]
            await a.commit([*ops, ("delete", f"i{n}", None)])
        applier = Applier(b.pool)

        async def follow():
            while True:
                at = await b.position("hub0")
                changes = await a.reader.after("hub0", LANE, at, 7)
                if not changes:
                    return
                await applier.apply(changes)

        await asyncio.gather(follow(), b.round(a), b.round(a))
        assert await b.counted() == await a.counted()
