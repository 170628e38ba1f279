"""What a write costs that another hub commits, beside one at home, in one run.

    python -m tests.service.forward_cost

Two hubs and a regional cell on one machine, no delay added between them: between
continents add the way of two messages. Writes are timed by their caller over HTTP, in
turns between the regions, so that what else the machine does falls on all of them.
"""

import asyncio
import contextlib
import statistics
import time

import numpy

from tests.service.asking import fresh
from tests.service.drivers import Http, Refused
from tests.service.single import in_a_world

ROUNDS = 200
WRITERS = 32
SECONDS = 5.0
DIMENSION = 384
REGIONS = {"asia": "asia", "europe": "europe", "paris": "europe"}
"""The home is europe, paris a cell of it."""


def _items(count):
    vectors = numpy.random.default_rng(1).random((count, DIMENSION), "<f4")
    return [{"id": fresh(), "vector": v.tobytes()} for v in vectors]


async def _timed(driver, name, count):
    items = _items(count)
    started = time.perf_counter()
    answer = await driver.call("upsert", collection=name, items=items)
    assert answer["stored"] == count
    return (time.perf_counter() - started) * 1000


async def in_turns(drivers, name, count, rounds):
    """Prints milliseconds of a request of so many items, by region."""
    taken = {region: [] for region in drivers}
    for _ in range(rounds):
        for region, driver in drivers.items():
            taken[region].append(await _timed(driver, name, count))
    for region, some in taken.items():
        late = sorted(some)[int(0.95 * len(some))]
        print(
            f"{count} items in {region}: median {statistics.median(some):.1f} ms, "
            f"p95 {late:.1f} ms"
        )


async def at_once(region, driver, name):
    """Prints how many single writes are taken in a second, many at once."""
    until, count = time.perf_counter() + SECONDS, 0

    async def writer():
        nonlocal count
        while time.perf_counter() < until:
            await _timed(driver, name, 1)
            count += 1

    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    print(f"{WRITERS} writers in {region}: {count / SECONDS:.0f} writes/s")


async def measure(world):
    """Prints the figures."""
    await world.ready()
    drivers = {name: Http(region) for name, region in world.regions.items()}
    for durability in ("zone", "region"):
        name = fresh()
        fields = {"dimension": DIMENSION, "writes": "home", "durability": durability}
        home = drivers["europe"]
        await home.call("create_collection", name=name, **fields)
        for driver in drivers.values():
            await _known(driver, name)
        print(f"durability {durability}:")
        await in_turns(drivers, name, 1, ROUNDS)
        await in_turns(drivers, name, 100, ROUNDS // 10)
        for region in ("europe", "asia"):
            await at_once(region, drivers[region], name)
    for driver in drivers.values():
        await driver.close()


async def _known(driver, name):
    """Returns once a region has heard of a collection."""
    for _ in range(200):
        with contextlib.suppress(Refused):
            await driver.call("describe_collection", collection=name)
            return
        await asyncio.sleep(0.05)


def main():
    """The command."""
    in_a_world(REGIONS, measure)


if __name__ == "__main__":
    main()
