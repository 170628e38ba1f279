"""A graph beside the index: what it may change of an answer, and when it is there."""

import asyncio
import threading

import numpy
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from service.kernel import metric
from service.kernel.graph import Graph
from service.stream.choice import ADD_SECONDS, Choice
from service.stream.guide import Guide
from service.stream.guides import Guides
from service.stream.trial import Asked
from service.telemetry import Metrics
from tests.service.kernel_build import kernels, put, vectors

EVERYTHING = -numpy.inf
DIMENSION = 32


@pytest.fixture(params=kernels(), ids=lambda k: k.name)
def kernel(request):
    return request.param


class Beside:
    """An index and its guide, as a collection has them."""

    def __init__(self, kernel, name="cosine", **options):
        self.name, self.index = name, kernel.index(DIMENSION)
        self.guides = Guides(Metrics(), options.pop("mode", "always"), 64)
        self.guide = Guide(self.index, name, self.guides, **options)

    def add(self, row):
        slot = put(self.index, self.name, row)
        self.guide.added(slot)
        return slot

    def remove(self, slot):
        self.index.remove(slot)
        self.guide.removed(slot)

    def search(self, row, k=5, seconds=0.001):
        """As an instance asks: its scores, and whether the graph found them."""
        query, offset = metric.asked(self.name, row)
        way = self.guide.way(k, masked=False, queries=1, share=1.0)
        with self.index.reading():
            found = way and way.search(self.index, query, k, EVERYTHING, offset)
            walked = found is not None
            if not walked:
                found = self.index.search(query, k, EVERYTHING, offset)
        self.guide.took(Asked(query, offset, k), way, seconds)
        return found, walked

    def exact(self, row, k=5):
        query, offset = metric.asked(self.name, row)
        return self.index.exact(query, k, EVERYTHING, offset)

    async def settled(self):
        """Until nothing is being added."""
        while (task := self.guide._task) is not None and not task.done():
            await asyncio.sleep(0.005)


class Machine(RuleBasedStateMachine):
    """Writes, deletes and searches in any order, while a graph comes and goes."""

    @initialize(seed=st.integers(0, 2**31), name=st.sampled_from(["cosine", "l2"]))
    def begin(self, seed, name):
        self.loop = asyncio.new_event_loop()
        self.rng = numpy.random.default_rng(seed)
        self.beside = Beside(kernels()[-1], name)
        self.rows = {}
        for _ in range(60):
            self._add()

    def _add(self):
        row = self.rng.normal(size=DIMENSION).astype(numpy.float32)
        self.rows[self.beside.add(row)] = row

    @rule(many=st.integers(1, 20))
    def add(self, many):
        for _ in range(many):
            self._add()
        slot, row = list(self.rows.items())[-1]
        (slots, scores), _ = self._search(row)
        assert slots[0] == slot
        assert scores[0] == pytest.approx(self.beside.exact(row)[1][0], abs=1e-5)

    @rule(many=st.integers(1, 20), data=st.data())
    def remove(self, many, data):
        for _ in range(min(many, len(self.rows))):
            slot = data.draw(st.sampled_from(sorted(self.rows)))
            row = self.rows.pop(slot)
            self.beside.remove(slot)
            (slots, _), _ = self._search(row)
            assert slot not in slots

    @rule()
    def build(self):
        async def built():
            self.beside.search(numpy.ones(DIMENSION, numpy.float32))
            await self.beside.settled()

        self.loop.run_until_complete(built())
        assert self.beside.guide.rows == len(self.rows)

    @rule(many=st.integers(1, 10), again=st.booleans())
    def write_while_rows_are_added(self, many, again):
        async def both():
            self.beside.search(numpy.ones(DIMENSION, numpy.float32))
            for _ in range(many):
                await asyncio.sleep(0)
                slot = next(iter(self.rows), None)
                if slot is not None:
                    del self.rows[slot]
                    self.beside.remove(slot)
                if again:
                    self._add()
            await self.beside.settled()

        self.loop.run_until_complete(both())

    def _search(self, row):
        async def asked():
            answer = self.beside.search(row)
            await self.beside.settled()
            return answer

        return self.loop.run_until_complete(asked())

    @invariant()
    def every_answer_is_of_living_rows_with_exact_scores(self):
        if not hasattr(self, "rows") or not self.rows:
            return
        asked = next(reversed(self.rows.values()))
        way = self.beside.guide.way(5, masked=False, queries=1, share=1.0)
        if way is None:
            return
        query, offset = metric.asked(self.beside.name, asked)
        found = way.search(self.beside.index, query, 5, EVERYTHING, offset)
        if found is None:
            return
        exact = self.beside.exact(asked, len(self.rows))
        scores = dict(zip(exact[0].tolist(), exact[1].tolist(), strict=True))
        assert len(found[0]) == min(5, len(self.rows))
        assert len(set(found[0].tolist())) == len(found[0])
        for slot, score in zip(*(part.tolist() for part in found), strict=True):
            assert score == pytest.approx(scores[slot], abs=1e-5, rel=1e-5)

    def teardown(self):
        if hasattr(self, "loop"):
            self.beside.guide.close()
            self.beside.guides.close()
            self.loop.close()


Machine.TestCase.settings = settings(
    deadline=None, max_examples=15, stateful_step_count=15
)
TestMachine = Machine.TestCase


async def test_a_slot_that_is_used_again_is_found_by_its_new_row_only(kernel):
    beside = Beside(kernel)
    rows = vectors(5, 200, DIMENSION, "unit")
    slots = [beside.add(row) for row in rows]
    beside.search(rows[0])
    await beside.settled()
    beside.remove(slots[7])
    again = beside.add(-rows[7])
    assert again == slots[7]
    (found, scores), walked = beside.search(-rows[7])
    assert walked and found[0] == again and scores[0] == pytest.approx(1, abs=1e-5)
    assert again not in beside.search(rows[7])[0][0]
    await beside.settled()
    assert beside.guide.rows == 200 and len(beside.guide._graph) == 201
    assert beside.search(-rows[7])[0][0][0] == again
    assert again not in beside.search(rows[7])[0][0]


async def test_rows_replaced_or_removed_while_others_are_added_are_so_at_once(kernel):
    beside, made = Beside(kernel), []
    rows = vectors(5, 200, DIMENSION, "unit")
    slots = [beside.add(row) for row in rows]
    run = beside.guides.run

    async def between(work):
        if not made:
            beside.remove(slots[3])
            made.append(beside.add(-rows[3]))
            beside.remove(slots[150])
        return await run(work)

    beside.guides.run = between
    beside.search(rows[0])
    await beside.settled()
    assert made == [slots[3]]
    (found, scores), walked = beside.search(-rows[3])
    assert walked and found[0] == made[0] and scores[0] == pytest.approx(1, abs=1e-5)
    await beside.settled()
    assert beside.guide.rows == 199


async def test_an_item_written_over_while_a_search_waits_its_turn_is_found(kernel):
    beside = Beside(kernel)
    rows = vectors(5, 200, DIMENSION, "unit")
    slots = [beside.add(row) for row in rows]
    beside.search(rows[0])
    await beside.settled()
    way = beside.guide.way(5, masked=False, queries=1, share=1.0)
    asked = (beside.index, rows[7], 5, EVERYTHING, 0.0)
    with beside.index.reading():
        beside.remove(slots[7])
        again = beside.add(rows[7])
        assert again != slots[7]
        assert way.search(*asked)[0][0] == again
        # The graph may be given up in that time; the next one is none of this search's.
        beside.guide.close()
        beside.remove(again)
        beside.add(rows[7])
        assert way.search(*asked) is None


async def test_rows_are_added_while_other_threads_search(kernel):
    beside = Beside(kernel)
    rows = vectors(6, 1500, DIMENSION, "unit")
    for row in rows[:600]:
        beside.add(row)
    beside.search(rows[0])
    await beside.settled()
    for row in rows[600:]:
        beside.add(row)
    steps, asked, wrong, ends = [], [], [], threading.Event()
    run = beside.guides.run

    async def counted(work):
        steps.append(beside.guide.rows)
        return await run(work)

    beside.guides.run = counted

    loop = asyncio.get_running_loop()

    async def taken():
        return beside.guide.way(3, masked=False, queries=1, share=1.0)

    def searches(seed):
        rng = numpy.random.default_rng(seed)
        while not ends.is_set():
            n = int(rng.integers(0, 1500))
            way = asyncio.run_coroutine_threadsafe(taken(), loop).result(10)
            with beside.index.reading():
                found = way.search(beside.index, rows[n], 3, EVERYTHING, 0.0)
            asked.append(n)
            if found is None or abs(found[1][0] - 1) > 1e-5:
                wrong.append(n)

    threads = [threading.Thread(target=searches, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    beside.search(rows[0])
    await beside.settled()
    ends.set()
    await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in threads))
    assert asked and not wrong
    assert beside.guide.rows == 1500 and len(steps) == 900 / 4
    assert steps == sorted(steps)


@pytest.mark.parametrize(
    ("metric_", "mode", "mebibytes"), [("dot", "always", 64), ("l2", "off", 64)]
)
async def test_no_graph_where_none_may_be(metric_, mode, mebibytes):
    beside = Beside(kernels()[-1], metric_, mode=mode)
    for row in vectors(7, 50, DIMENSION, "unit"):
        beside.add(row)
    assert not beside.search(numpy.ones(DIMENSION, numpy.float32))[1]
    await beside.settled()
    assert beside.guide._graph is None


async def test_no_graph_where_there_is_no_memory_and_it_is_given_back():
    guides = Guides(Metrics(), "always", 1)
    full = guides.take(2**20 // (DIMENSION + 200) - 10, DIMENSION)
    assert full
    beside = Beside(kernels()[-1])
    beside.guides = beside.guide._guides = guides
    for row in vectors(8, 50, DIMENSION, "unit"):
        beside.add(row)
    beside.search(numpy.ones(DIMENSION, numpy.float32))
    await beside.settled()
    assert beside.guide._graph is None
    guides.give_back(full)
    beside.search(numpy.ones(DIMENSION, numpy.float32))
    await beside.settled()
    assert beside.guide.rows == 50
    assert guides.take(2**20 // (DIMENSION + 200), DIMENSION) == 0
    beside.guide.close()
    assert guides.take(2**20 // (DIMENSION + 200), DIMENSION)


async def test_a_graph_ends_when_memory_is_short_and_none_is_begun():
    beside = Beside(kernels()[-1])
    for row in vectors(8, 50, DIMENSION, "unit"):
        beside.add(row)
    ask = numpy.ones(DIMENSION, numpy.float32)
    beside.search(ask)
    await beside.settled()
    beside.guide.heed()
    assert beside.search(ask)[1]
    beside.guide._guides = Guides(Metrics(), "always", 64, limit=2**20)
    beside.guide.heed()
    beside.search(ask)
    await beside.settled()
    assert not beside.search(ask)[1] and beside.guide._graph is None


async def test_a_graph_of_rows_that_are_gone_is_given_up():
    beside = Beside(kernels()[-1])
    slots = [beside.add(row) for row in vectors(9, 100, DIMENSION, "unit")]
    ask = numpy.ones(DIMENSION, numpy.float32)
    beside.search(ask)
    await beside.settled()
    for slot in slots[:30]:
        beside.remove(slot)
    first = beside.guide._graph
    beside.search(ask)
    await beside.settled()
    assert beside.guide._graph is not first and beside.guide.rows == 70


def test_filters_batches_and_many_hits_go_by_the_kernel():
    guide = Beside(kernels()[-1]).guide
    guide._graph, guide._live = Graph("cosine", vectors(1, 9, DIMENSION, "unit")), True
    assert guide.way(10, masked=False, queries=1, share=1.0) is not None
    assert guide.way(10, masked=True, queries=1, share=1.0) is None
    assert guide.way(10, masked=False, queries=2, share=1.0) is None
    assert guide.way(101, masked=False, queries=1, share=1.0) is None
    usual = guide.way(10, masked=False, queries=1, share=1.0).expansion
    assert guide.way(10, masked=False, queries=1, share=0.25).expansion == usual // 4


class Dearer(Choice):
    """The rule where every scan takes twice the graph's time."""

    def tried(self, rows, scan, walk, recall):
        return super().tried(rows, 2 * walk, walk, recall)


@pytest.mark.parametrize(("rule_", "used"), [(Choice, False), (Dearer, True)])
async def test_a_graph_that_searches_have_paid_for_is_tried(rule_, used):
    beside = Beside(kernels()[-1], mode="auto", choice=rule_(least=10))
    rows = vectors(12, 200, DIMENSION, "unit")
    for row in rows:
        beside.add(row)
    asked = 0
    while beside.guide._task is None:
        assert not beside.search(rows[asked % 200], seconds=0.002)[1]
        asked += 1
    assert asked == pytest.approx(200 * ADD_SECONDS / 0.0019, abs=2)
    await beside.settled()
    # So few rows are scanned faster than a graph is walked, and that is measured.
    assert beside.search(rows[0])[1] == used
    assert beside.guide.rows == (200 if used else 0)
