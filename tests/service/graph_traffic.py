"""Clients that write, delete and search an instance while it builds a graph.

    python -m tests.service.graph_traffic --rows 60000

What they were told is kept beside it, so that every answer can be judged: a write is
found and a delete is gone at once, an item that is written over never goes missing,
and of the true nearest of the acknowledged rows as many are found as is promised.
"""

import argparse
import asyncio
import contextlib
import time
from pathlib import Path

import numpy

from tests.service.asking import fresh, scraped
from tests.service.drivers import Http, Refused

DIMENSION = 384
WITHIN = 16
"""Dimensions in which the rows really lie: a graph finds them as it does texts."""
BEST = 10
WRITERS, SEARCHERS = 2, 3
GRAPH = 'meridian_searches_total{path="graph"}'


class Ledger:
    """The acknowledged rows, and when each was last touched."""

    def __init__(self, rows, seed=7):
        self.random = numpy.random.default_rng(seed)
        self.turn = self.random.normal(size=(WITHIN, DIMENSION)).astype("f4")
        self.vectors = self.made(rows)
        self.there = numpy.zeros(rows, bool)
        self.touched = numpy.zeros(rows, int)
        self.flying = numpy.zeros(rows, bool)
        self.going = numpy.zeros(rows, bool)
        """Whether it is being deleted, or was."""
        self.clock = self.used = 0
        self.latest = (0, "")
        """Number and token of the newest write."""

    def made(self, rows):
        """Unit rows (rows, DIMENSION)."""
        inside = self.random.normal(size=(rows, WITHIN)).astype("f4")
        noise = self.random.normal(size=(rows, DIMENSION)).astype("f4")
        found = inside @ self.turn + 0.3 * noise
        return found / numpy.linalg.norm(found, axis=1, keepdims=True)

    def begin(self, slots):
        self.flying[slots] = True

    def end(self, slots, answer, *, there):
        self.clock += 1
        self.touched[slots], self.flying[slots] = self.clock, False
        self.there[slots] = there
        seq = max(r["position"]["seq"] for r in answer["results"])
        self.latest = max(self.latest, (seq, answer["token"]))

    def judged(self, query, hits, since):
        """(found, wanted) among rows that nobody touched since then."""
        calm = self.there & ~self.flying & (self.touched <= since)
        found = [int(hit["id"]) for hit in hits]
        wanted = BEST - sum(not calm[slot] for slot in found)
        scores = numpy.where(calm, self.vectors @ query, -2)
        best = numpy.argpartition(-scores, BEST)[:BEST]
        best = best[numpy.argsort(-scores[best])][:wanted]
        return len(set(best.tolist()) & set(found)), wanted


class Traffic:
    """The clients of one instance, and what they saw."""

    def __init__(self, region, port, rows):
        self.ledger = Ledger(2 * rows)
        self.rows, self.name, self.region = rows, fresh(), region
        self.url = f"http://127.0.0.1:{port}"
        self.driver = self.client()
        self.wrong, self.failed = [], []
        self.checked = {"put": 0, "rewritten": 0, "deleted": 0}
        self.found = {"building": [0, 0], "built": [0, 0]}
        self.seconds = {"building": [], "built": []}
        self.phase = "building"
        self.ended = False

    def client(self):
        made = Http(self.region)
        made.url = self.url
        return made

    async def fill(self):
        """The collection and its first rows."""
        await self.driver.call(
            "create_collection", name=self.name, dimension=DIMENSION, element_type="f32"
        )
        for at in range(0, self.rows, 200):
            await self.put(self.driver, range(at, min(at + 200, self.rows)))
        self.ledger.used = self.rows

    async def put(self, driver, slots):
        ledger, slots = self.ledger, list(slots)
        ledger.begin(slots)
        items = [{"id": str(n), "vector": ledger.vectors[n].tobytes()} for n in slots]
        answer = await driver.call("upsert", collection=self.name, items=items)
        ledger.end(slots, answer, there=True)

    async def delete(self, driver, slot):
        self.ledger.begin([slot])
        self.ledger.going[slot] = True
        items = [{"id": str(slot)}]
        answer = await driver.call("delete", collection=self.name, items=items)
        self.ledger.end([slot], answer, there=False)

    async def hits(self, driver, query):
        """What a search finds that has waited for the newest write."""
        late = {"consistency": "read_your_writes", "token": self.ledger.latest[1]}
        vector = query.astype("f4").tobytes()
        wanted = {"collection": self.name, "vector": vector, "k": BEST}
        return (await driver.call("search", **wanted, **late))["hits"]

    async def writer(self, number):
        """Puts, writes over and deletes items of its own, and looks at once."""
        ledger, random = self.ledger, numpy.random.default_rng(number)
        mine = list(range(number, self.rows, WRITERS))
        driver = self.client()
        while not self.ended and ledger.used < len(ledger.there):
            kind = random.choice(["put", "rewritten", "deleted"], p=[0.5, 0.25, 0.25])
            slot = mine[random.integers(len(mine))]
            if kind == "put":
                slot, ledger.used = ledger.used, ledger.used + 1
                mine.append(slot)
            if kind == "deleted":
                mine.remove(slot)
            with self.refusals():
                if kind == "deleted":
                    await self.delete(driver, slot)
                else:
                    await self.put(driver, [slot])
                hits = await self.hits(driver, ledger.vectors[slot])
                here = str(slot) in [hit["id"] for hit in hits]
                if here == (kind == "deleted"):
                    self.wrong.append((kind, slot, self.phase))
                self.checked[kind] += 1
        await driver.close()

    async def searcher(self, number, share):
        """Searches all the time; a share is judged, one in three for a living item."""
        ledger, random = self.ledger, numpy.random.default_rng(100 + number)
        driver = self.client()
        while not self.ended:
            here = numpy.flatnonzero(ledger.there & ~ledger.going)
            slot = int(random.choice(here))
            known = random.random() < 1 / 3
            query = ledger.vectors[slot]
            if not known:
                query = query + random.normal(size=DIMENSION).astype("f4") * 0.02
            since, phase, began = ledger.clock, self.phase, time.perf_counter()
            with self.refusals():
                hits = await self.hits(driver, query)
                self.seconds[phase].append(time.perf_counter() - began)
                ids = [hit["id"] for hit in hits]
                if known and not ledger.going[slot] and str(slot) not in ids:
                    self.wrong.append(("missing", slot, phase))
                if random.random() < share and phase == self.phase:
                    found = ledger.judged(query, hits, since)
                    for n in (0, 1):
                        self.found[phase][n] += found[n]
        await driver.close()

    @contextlib.contextmanager
    def refusals(self):
        try:
            yield
        except (Refused, OSError, TimeoutError) as error:
            self.failed.append(repr(error))

    async def run(self, after, limit, share=1.0):
        """Until a graph was built and found `after` answers; what was scraped then.

        Raises TimeoutError after `limit` seconds.
        """
        clients = [self.writer(n) for n in range(WRITERS)]
        clients += [self.searcher(n, share) for n in range(SEARCHERS)]
        tasks = [asyncio.create_task(client) for client in clients]
        try:
            async with asyncio.timeout(limit):
                while True:
                    await asyncio.sleep(0.2)
                    seen = await scraped(self.url + "/metrics")
                    if seen["meridian_graph_rows"]:
                        self.phase = "built"
                    if seen.get(GRAPH, 0) >= after:
                        return seen
        finally:
            self.ended = True
            await asyncio.gather(*tasks)
            await self.driver.close()

    def recall(self, phase):
        found, wanted = self.found[phase]
        return found / wanted


def resident(pid):
    """MiB of a process in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def told(name, seconds):
    low, high = numpy.percentile(numpy.array(seconds) * 1e3, [50, 99])
    print(f"{name}: {len(seconds)} searches, median {low:.1f} ms, p99 {high:.1f} ms")


async def measured(world, rows, after):
    """Two instances under the same traffic, one without graphs; printed."""
    await world.ready()
    region = world.regions["asia"]
    parts = [region.second_instance(MERIDIAN_GRAPH=mode) for mode in ("off", "always")]
    plain, graph = (Traffic(region, part["port"], rows) for part in parts)
    await asyncio.gather(plain.fill(), graph.fill())
    beside = asyncio.create_task(plain.run(10**9, 560, 0.05))
    watching = asyncio.create_task(_watched(plain, graph, parts[1]["pid"]))
    seen = await graph.run(after, 550, 0.05)
    plain.ended = True
    await watching
    beside.cancel()
    await asyncio.gather(beside, return_exceptions=True)
    for phase in ("building", "built"):
        told(f"{phase}, no graph", plain.seconds[phase])
        told(phase, graph.seconds[phase])
        print(f"  recall {graph.recall(phase):.4f} of {graph.found[phase][1]}")
    for one, part in zip((plain, graph), parts, strict=True):
        print(f"wrong {one.wrong[:5]}, failed {one.failed[:5]}, {one.checked}")
        print(f"  memory {resident(part['pid']):.0f} MiB")
    print({k: v for k, v in seen.items() if "graph" in k or "recall" in k})
    log = (region.folder / "other-1.log").read_text().splitlines()
    print(*[line for line in log if "graph tried" in line], sep="\n")


async def _watched(plain, graph, pid):
    """Says how long it takes until a graph is there; both are in that phase then."""
    while not graph.seconds["building"]:
        await asyncio.sleep(0.1)
    began = time.perf_counter()
    print(f"loaded: {resident(pid):.0f} MiB", flush=True)
    while graph.phase == "building" and not graph.ended:
        await asyncio.sleep(0.1)
    plain.phase = "built"
    print(f"graph after {time.perf_counter() - began:.1f} s, {resident(pid):.0f} MiB")


def main():
    from tests.service.single import in_a_world

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--after", type=int, default=3000, help="searches by it")
    given = parser.parse_args()
    work = (given.rows, given.after)
    in_a_world({"asia": "asia"}, lambda world: measured(world, *work))


if __name__ == "__main__":
    main()
