"""Order, convergence and tokens as pure functions."""

import base64
import random

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.contract import ServiceError
from service.kernel import load
from service.log.change import START, Change, Position, decode, encode, lane_of
from service.log.definition import Definition, Fields
from service.log.sequencer import Sequencer
from service.stream.items import Items
from service.stream.token import read_token, write_token


def change(seq, *, epoch=1, origin="a", item="i", op="upsert", at=None, vector=(1, 0)):
    data = None if op == "delete" else numpy.array(vector, "<f4").tobytes()
    at = seq if at is None else at
    event = f"{origin}-{epoch}-{seq}"
    position = (origin, 3, epoch, seq, event)
    return Change(*position, "default", "c", item, op, data, "{}", at, "r", 1, 2)


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=120))
def test_any_arrival_goes_out_in_order_and_once(arrivals):
    sequencer, out = Sequencer(START), []
    for seq, advance in arrivals:
        sequencer.offer([change(seq)])
        if advance:
            for ready in sequencer.ready(5):
                out.append(ready.seq)
                sequencer.advance(ready.position)
    while ready := sequencer.ready(7):
        out += [r.seq for r in ready]
        sequencer.advance(ready[-1].position)
    arrived = {seq for seq, _ in arrivals}
    expected = next(n for n in range(1, 32) if n not in arrived)
    assert out == list(range(1, expected))


@given(st.sets(st.integers(1, 40), min_size=1), st.integers(40, 60))
def test_filling_the_reported_hole_reaches_the_head(arrived, head):
    sequencer = Sequencer(START)
    sequencer.offer([change(seq) for seq in arrived])
    sequencer.saw_head(Position(1, head))
    for _ in range(100):
        while ready := sequencer.ready():
            sequencer.advance(ready[-1].position)
        hole = sequencer.hole(0.0, 0.0)
        if hole is None:
            break
        first, last = hole
        assert not any(first.seq <= seq <= last.seq for seq in arrived)
        sequencer.offer(change(seq) for seq in range(first.seq, last.seq + 1))
    assert sequencer.position == (1, max(head, *arrived))
    assert sequencer.lag == 0


def test_a_hole_is_reported_only_after_the_patience():
    sequencer = Sequencer(START)
    sequencer.offer([change(2)])
    assert sequencer.hole(10.0, 1.0) is None
    assert sequencer.hole(10.9, 1.0) is None
    assert sequencer.hole(11.1, 1.0) == ((1, 1), (1, 1))


def test_an_epoch_begins_only_after_the_last_of_the_one_before():
    sequencer = Sequencer(Position(1, 5))
    begun = [change(1, epoch=2), change(2, epoch=2)]
    sequencer.offer(begun)
    assert sequencer.ready() == []
    assert sequencer.hole(0.0, 0.0) == ((1, 6), (2, 1))
    sequencer.offer([change(6), change(7), *begun], Position(1, 5))
    out = [c.position for c in sequencer.ready()]
    assert out == [(1, 6), (1, 7), (2, 1), (2, 2)]


def test_what_only_a_lost_primary_had_holds_the_next_epoch_up_no_longer():
    sequencer = Sequencer(Position(1, 9))
    sequencer.offer([change(1, epoch=3)], Position(1, 7))
    assert [c.position for c in sequencer.ready()] == [(3, 1)]


@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=4),
    st.lists(st.tuples(st.integers(0, 19), st.integers(1, 6)), max_size=30),
)
def test_runs_of_a_log_of_several_epochs_go_out_in_its_order(lengths, runs):
    """Any runs of the log, in any order; then what the holes ask for."""
    log = [
        change(seq, epoch=epoch)
        for epoch, length in enumerate(lengths, 1)
        for seq in range(1, length + 1)
    ]

    def after(n):
        return log[n - 1].position if n else START

    sequencer, out = Sequencer(START), []

    def drain():
        while ready := sequencer.ready(3):
            out.extend(c.position for c in ready)
            sequencer.advance(ready[-1].position)

    for start, size in runs:
        if start < len(log):
            sequencer.offer(log[start : start + size], after(start))
            drain()
    if log:
        sequencer.saw_head(log[-1].position)
    for _ in range(100):
        hole = sequencer.hole(0.0, 0.0)
        if hole is None:
            break
        first, last = hole
        before = Position(first.epoch, first.seq - 1)
        start = next(n for n, c in enumerate(log) if c.position > before)
        end = next(n for n, c in enumerate(log) if c.position >= last)
        sequencer.offer(log[start : end + 1], before)
        drain()
    assert out == [c.position for c in log]


def test_a_frame_gives_back_what_went_in():
    changes = [change(1), change(2, op="delete"), change(3, vector=(0.5,) * 99)]
    assert decode(encode(changes)) == changes


writes = st.lists(
    st.tuples(
        st.sampled_from("xyz"),
        st.integers(1, 5),
        st.sampled_from("ab"),
        st.sampled_from(["upsert", "delete"]),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(writes, st.randoms(use_true_random=False), st.integers(1, 3))
def test_items_converge_whatever_the_order_and_repetition(given_writes, shuffle, times):
    fields = Fields(dimension=2, metric="dot")
    definition = Definition("default", "c", 3, 0, fields)
    # One clock value of one origin belongs to one write.
    unique = {(item, at, origin): op for item, at, origin, op in given_writes}
    changes = [
        change(n, item=item, at=at, origin=origin, op=op, vector=(at, n))
        for n, ((item, at, origin), op) in enumerate(unique.items())
    ]
    states = []
    for _ in range(3):
        items = Items(definition, load().index(2))
        order = changes * times
        shuffle.shuffle(order)
        for one in order:
            items.apply(one)
        query = numpy.array([1, 0.5], numpy.float32)
        slots, scores = items.index.search(query, 10, -numpy.inf)
        hits = items.hits(slots, scores)
        states.append(sorted((h["id"], h["score"], h["version"]) for h in hits))
    assert states[0] == states[1] == states[2]


@given(
    st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(1), st.integers(0)))
)
def test_a_token_gives_back_its_positions(positions):
    small = {o: Position(e % 2**31, s % 2**53) for o, (e, s) in positions.items()}
    assert read_token(write_token(5, small, 2), 5) == (5, small, 2)


@pytest.mark.parametrize(
    "token", ["", "x", "W10", "bm9uZQ", "ü", write_token(4, {}, 1)]
)
def test_a_foreign_token_is_refused(token):
    with pytest.raises(ServiceError) as refused:
        read_token(token, 5)
    assert refused.value.code == "bad_token"


@pytest.mark.parametrize(
    "number",
    ["-1", "1.5", "1e308", '"7"', "true", "null", "9223372036854775808", "7" * 80],
)
def test_a_token_with_a_number_that_no_log_has_is_refused(number):
    inside = f'[1,5,{{"a":[1,{number}]}},1]'
    token = base64.urlsafe_b64encode(inside.encode()).decode()
    with pytest.raises(ServiceError) as refused:
        read_token(token, 5)
    assert refused.value.code == "bad_token"


def test_collections_spread_over_all_lanes():
    rng = random.Random(1)
    lanes = [lane_of("default", f"c{rng.random()}") for _ in range(2000)]
    assert set(lanes) == set(range(16))
    assert max(lanes.count(n) for n in range(16)) < 250
