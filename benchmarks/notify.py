"""Notification: from an acknowledged write in one region to a watcher in another.

    python -m benchmarks.notify [--world FOLDER] [--seconds 6]

No delay is added between regions. Writer and watchers share one process and one clock:
a sample is the moment the watcher's iterator gives the match minus the moment the
write's answer was there. Each writing region is heard in several others, at 5 and at
40 writes a second. Uses this clone's world when it answers, else a temporary one.

Measured 2026-11-24 on 2 cores shared with other worlds and builds (load 4
to 7): 5 writes/s median 16.9 ms, p99 29 ms; 40 writes/s median 17.2 ms, p99 50 ms; 37
pairs with medians 3.6 to 23.4 ms, none missing. At load 8 to 9 20.5 and 77.5 ms.
Measured 2026-11-29 on 2 slower cores, load 7: 26.7 and 105 ms; the code of 2026-11-24
in the same hour 24.4 and 69 ms, then 26.2 and 92 ms.
Measured 2026-11-30 on 2 faster cores, nothing beside: 17.9 and 23.4 ms.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import defaultdict
from typing import Any

import numpy as np

from benchmarks.clone import Clone, Json, arguments, running_world
from benchmarks.measure import noise, report, summary, verdict
from service.client import Client, Query

GOAL_MS = 25.0
COLLECTION = "notify-benchmark"
DIMENSION = 16
RATES = (5.0, 40.0)
WRITERS = ("us-central1", "europe-west1", "asia-northeast1", "us-east1", "europe-west3")
WATCHERS = (
    "us-central1",
    "us-west1",
    "europe-west1",
    "europe-west2",
    "asia-northeast1",
    "asia-south1",
    "southamerica-east1",
    "australia-southeast1",
)
SETTLE_SECONDS = 10.0
EVERYTHING = -1.0
"""Threshold that every vector reaches."""


class Heard:
    """Arrival of every event at every watcher."""

    def __init__(self) -> None:
        self.at: dict[str, dict[str, float]] = defaultdict(dict)

    async def follow(self, region: str, watching: Any) -> None:
        async for match in watching:
            self.at[match.event_id].setdefault(region, time.perf_counter())


async def late(found: list[float]) -> None:
    """How late this process' own timer is: what the machine adds to a sample."""
    while True:
        due = time.perf_counter() + 0.01
        await asyncio.sleep(0.01)
        found.append((time.perf_counter() - due) * 1000)


async def write(
    client: Client, number: int, vector: list[float], done: dict[str, float]
) -> None:
    event = uuid.uuid4().hex
    item = {"id": f"w{number}", "vector": vector, "event_id": event}
    (result,) = await client.put(COLLECTION, [item])
    if "error" not in result:
        done[event] = time.perf_counter()


async def written(client: Client, rate: float, seconds: float) -> dict[str, float]:
    """Write at a rate; event -> when it was acknowledged."""
    done: dict[str, float] = {}
    random = np.random.default_rng(7)
    tasks, due = [], time.perf_counter()
    for number in range(int(rate * seconds)):
        vector = random.standard_normal(DIMENSION).tolist()
        tasks.append(asyncio.create_task(write(client, number, vector, done)))
        due += 1 / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    await asyncio.gather(*tasks)
    return done


async def until_heard(heard: Heard, events: list[str], watchers: list[str]) -> int:
    """Wait for the last notification; how many never came."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        left = sum(len(set(watchers) - heard.at[e].keys()) for e in events)
        if not left or time.monotonic() > deadline:
            return left
        await asyncio.sleep(0.02)


async def from_region(
    urls: dict[str, str], region: str, heard: Heard, rate: float, seconds: float
) -> tuple[dict[str, list[float]], int]:
    """Watching region -> milliseconds of every write in `region`; how many missing."""
    async with Client(urls[region]) as client:
        await client.collections()
        done = await written(client, rate, seconds)
    missing = await until_heard(heard, list(done), list(WATCHERS))
    samples: dict[str, list[float]] = {}
    for watcher in WATCHERS:
        arrived = ((heard.at[e].get(watcher), at) for e, at in done.items())
        samples[watcher] = [(a - at) * 1000 for a, at in arrived if a is not None]
    return samples, missing


async def measured(clone: Clone, seconds: float) -> Json:
    """All rates, writers and watchers; rates take turns in every region."""
    urls = {r["name"]: r["url"] for r in clone.world()["regions"]}
    async with Client(urls[WRITERS[0]]) as client:
        await client.create(COLLECTION, dimension=DIMENSION)
    await asyncio.sleep(2)
    heard = Heard()
    clients = {region: Client(urls[region]) for region in WATCHERS}
    watchings = {r: clients[r].watch([_everything(r)]) for r in WATCHERS}
    tasks = [asyncio.create_task(heard.follow(r, watchings[r])) for r in WATCHERS]
    await asyncio.gather(*(w.ready() for w in watchings.values()))
    found: dict[float, dict[str, list[float]]] = {rate: {} for rate in RATES}
    delays: dict[float, list[float]] = {rate: [] for rate in RATES}
    missing = 0
    for region in WRITERS:
        for rate in RATES:
            ticker = asyncio.create_task(late(delays[rate]))
            samples, lost = await from_region(urls, region, heard, rate, seconds)
            ticker.cancel()
            missing += lost
            found[rate] |= {f"{region}>{w}": v for w, v in samples.items()}
    for task in tasks:
        task.cancel()
    for region in WATCHERS:
        await watchings[region].close()
        await clients[region].close()
    rates = {
        rate: {**_figures(pairs), "own_timer_late_ms": summary(delays[rate])}
        for rate, pairs in found.items()
    }
    return {"missing": missing, "rates": rates}


def _everything(region: str) -> Query:
    vector = [1.0] + [0.0] * (DIMENSION - 1)
    return Query(
        stream=f"notify-{region}",
        collection=COLLECTION,
        vector=vector,
        threshold=EVERYTHING,
    )


def _figures(pairs: dict[str, list[float]]) -> Json:
    """Figures of pairs of different regions; a region hearing itself stands apart."""
    across = {k: v for k, v in pairs.items() if len(set(k.split(">"))) == 2}
    own = {k: v for k, v in pairs.items() if k not in across}
    return {
        "across_ms": summary([v for values in across.values() for v in values], 1),
        "own_region_ms": summary([v for values in own.values() for v in values], 1),
        "pairs": {k: summary(v, 1) for k, v in sorted(across.items()) if v},
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument(
        "--seconds", type=float, default=6, help="Writing time of each run."
    )
    given = parser.parse_args()
    before = noise()
    with running_world(given.world, live=True) as clone:
        found = asyncio.run(measured(clone, given.seconds))
    lines = []
    for rate, figures in found["rates"].items():
        all_, late_ms = figures["across_ms"], figures["own_timer_late_ms"]
        medians = [p["median"] for p in figures["pairs"].values()]
        lines.append(
            f"{rate:g} writes/s: median {verdict(all_['median'], GOAL_MS, ' ms')}, "
            f"p99 {all_.get('p99', all_['max'])} ms, {all_['n']} notifications, "
            f"{len(medians)} pairs with medians {min(medians)} to {max(medians)} ms; "
            f"the benchmark's own timer late by {late_ms['median']} ms, p99 "
            f"{late_ms.get('p99', late_ms['max'])} ms"
        )
    lines.append(f"notifications missing: {found['missing']}")
    report("notify", found, lines, before)


if __name__ == "__main__":
    main()
