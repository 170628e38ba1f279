"""A graph beside the index: what it may change of an answer, and when it is there."""

import asyncio
import threading

import aiohttp
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
from service.stream.guide import Guide
from service.stream.guides import Guides
from service.stream.trial import Asked
from service.telemetry import Metrics
from tests.service.asking import fresh
from tests.service.drivers import Http
from tests.service.kernel_build import kernels, vectors

NONE = numpy.empty(0, numpy.int64)
EVERYTHING = -numpy.inf
DIMENSION = 32


@pytest.fixture(params=kernels(), ids=lambda k: k.name)
def kernel(request):
    return request.param


def put(index, name, row):
    factor, bias = metric.stored(name, row)
    return index.add(row, factor=factor, bias=bias)


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


@pytest.mark.parametrize("name", metric.METRICS)
@pytest.mark.parametrize("element", ["f32", "f16"])
def test_slots_are_scored_as_searches_score_them(kernel, name, element):
    index = kernel.index(200, element)
    rows = vectors(1, 300, 200, "skewed").astype(numpy.float16).astype(numpy.float32)
    slots = [put(index, name, row) for row in rows]
    for slot in slots[::7]:
        index.remove(slot)
    query, offset = metric.asked(name, rows[5])
    found, scores = index.exact(query, 300, EVERYTHING, offset)
    again = index.score(query, found, offset)
    assert numpy.abs(again - scores).max() <= 1e-6 * numpy.abs(scores).max()
    nowhere = index.score(query, numpy.array([slots[0], 10**6]), offset)
    assert numpy.isnan(nowhere).all()
    with pytest.raises(ValueError, match="slots"):
        index.score(query, numpy.array([-1]))


@pytest.mark.parametrize("name", ["cosine", "l2"])
def test_a_graph_finds_the_nearest_with_the_kernels_scores(kernel, name):
    # Far from the origin, as the vectors of many models are.
    rows = vectors(2, 1500, DIMENSION, "unit") * 3 + 1
    index = kernel.index(DIMENSION)
    slots = numpy.array([put(index, name, row) for row in rows])
    graph = Graph(name, rows[:500])
    for at in range(0, len(rows), 100):
        graph.add(slots[at : at + 100], rows[at : at + 100])
    hits = 0
    for row in rows[:40]:
        query, offset = metric.asked(name, row + 0.1)
        found = graph.search(index, query, 10, EVERYTHING, offset, 256, NONE)
        exact = index.exact(query, 10, EVERYTHING, offset)
        same = dict(zip(exact[0].tolist(), exact[1].tolist(), strict=True))
        for slot, score in zip(*(part.tolist() for part in found), strict=True):
            if slot in same:
                hits += 1
                assert score == pytest.approx(same[slot], rel=1e-5, abs=1e-6)
    assert hits >= 0.98 * 400


def test_where_most_proposals_are_gone_the_kernel_is_asked(kernel):
    rows = vectors(3, 400, DIMENSION, "unit")
    index = kernel.index(DIMENSION)
    slots = index.add_many(rows)
    graph = Graph("cosine", rows)
    graph.add(slots, rows)
    assert graph.search(index, rows[0], 5, EVERYTHING, 0.0, 64, NONE) is not None
    for slot in index.exact(rows[0], 8, EVERYTHING)[0]:
        index.remove(slot)
    assert graph.search(index, rows[0], 5, EVERYTHING, 0.0, 64, NONE) is None
    worthless = numpy.full(DIMENSION, numpy.nan, numpy.float32)
    assert graph.search(index, worthless, 5, EVERYTHING, 0.0, 64, NONE) is None


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

    @rule(many=st.integers(1, 10))
    def write_while_rows_are_added(self, many):
        async def both():
            self.beside.search(numpy.ones(DIMENSION, numpy.float32))
            for _ in range(many):
                await asyncio.sleep(0)
                slot = next(iter(self.rows), None)
                if slot is not None:
                    del self.rows[slot]
                    self.beside.remove(slot)
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


async def scraped(url):
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        lines = (await answer.text()).splitlines()
    values = (line.rsplit(" ", 1) for line in lines if line and line[0] != "#")
    return {name: float(value) for name, value in values}


async def test_an_instance_answers_by_its_graph(world):
    region = world.regions["asia"]
    port = region.second_instance(MERIDIAN_GRAPH="always")["port"]
    driver, name = Http(region), fresh()
    driver.url = f"http://127.0.0.1:{port}"
    await driver.call("create_collection", name=name, dimension=DIMENSION)
    rows = vectors(11, 300, DIMENSION, "unit")
    for at in (0, 150):
        items = [
            {"id": str(n), "vector": rows[n].tolist()} for n in range(at, at + 150)
        ]
        token = (await driver.call("upsert", collection=name, items=items))["token"]
    late = {"consistency": "read_your_writes", "token": token}
    vector = rows[42].tolist()
    for _ in range(200):
        answer = await driver.call("search", collection=name, vector=vector, **late)
        assert answer["hits"][0]["id"] == "42" and len(answer["hits"]) == 10
        found = await scraped(driver.url + "/metrics")
        if found.get('meridian_searches_total{path="graph"}', 0) > 0:
            break
        await asyncio.sleep(0.05)
    assert found['meridian_searches_total{path="graph"}'] > 0
    assert found["meridian_graph_build_seconds_total"] > 0
    gone = await driver.call("delete", collection=name, items=[{"id": "42"}])
    late["token"] = gone["token"]
    again = await driver.call("search", collection=name, vector=vector, **late)
    assert "42" not in [hit["id"] for hit in again["hits"]]
    await driver.close()
