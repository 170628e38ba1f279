"""A further instance: from the scaling request until it answers through Envoy.

    python -m benchmarks.instance [--world FOLDER] [--repetitions 15]

Each repetition asks the platform's REST for one instance more and polls `/metrics` at
that region's front door. An instance is known by the moment it answered its first
probe (`meridian_http_requests_created`), so the first unknown one is the new one and
has answered through Envoy. At the end the count goes back to one. Always in a temporary
world unless one is named.

Measured 2026-11-24 on 2 cores shared with other worlds and builds: median 133
and 149 ms in two runs at load 3 to 8 (74 to 590 ms), 199 ms at load 8, 188 ms (94 to
242 ms) at load 3 to 6; one poll takes 1.3 to 2.6 ms, the scaling request itself 10 ms.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import time

import aiohttp

from benchmarks.clone import (
    Clone,
    Json,
    arguments,
    running_world,
    scale,
    services,
    wait_for_instances,
)
from benchmarks.measure import noise, report, summary, verdict

GOAL_MS = 150.0
PAUSE_SECONDS = 0.002
GIVE_UP_SECONDS = 20.0
BETWEEN_SECONDS = 1.5
BORN = re.compile(rb'meridian_http_requests_created\{code="200",route="health"\} (\S+)')


async def born(session: aiohttp.ClientSession, url: str) -> bytes | None:
    """Which instance answered: the moment of its first healthy probe."""
    async with session.get(f"{url}/metrics") as response:
        found = BORN.search(await response.read())
        return found[1] if found else None


async def one(
    clone: Clone, session: aiohttp.ClientSession, url: str, path: str
) -> Json:
    """Milliseconds of one scaling, the request's own time beside it."""
    known = {await born(session, url) for _ in range(6)}
    started = time.perf_counter()
    asking = asyncio.create_task(asyncio.to_thread(scale, clone, path, 2))
    polls, accepted = 0, None
    while (await born(session, url)) in known:
        polls += 1
        if asking.done() and accepted is None:
            accepted = time.perf_counter() - started
        if time.perf_counter() - started > GIVE_UP_SECONDS:
            raise RuntimeError("no further instance answered")
        await asyncio.sleep(PAUSE_SECONDS)
    took = time.perf_counter() - started
    await asking
    return {
        "ms": took * 1000,
        "accepted_ms": (accepted or took) * 1000,
        "polls": polls,
    }


async def all_of(clone: Clone, repetitions: int) -> list[Json]:
    """One after another in every region; a raised count is put back at the end of a
    round, because the platform keeps it for half a minute.
    """
    paths = services(clone)
    urls = {r["name"]: r["url"] for r in clone.world()["regions"]}
    found: list[Json] = []
    async with aiohttp.ClientSession() as session:
        while len(found) < repetitions:
            wave = sorted(urls)[: repetitions - len(found)]
            for region in wave:
                made = await one(clone, session, urls[region], paths[region])
                found.append({"region": region, **made})
                await asyncio.sleep(BETWEEN_SECONDS)
            for region in wave:
                await asyncio.to_thread(scale, clone, paths[region], 1)
            if not await asyncio.to_thread(wait_for_instances, clone, 1, 120.0):
                raise RuntimeError("the instances did not go back to one")
    return found


async def poll_cost(clone: Clone) -> float:
    """Median milliseconds of one poll of a region at rest: the method's resolution."""
    url = clone.world()["regions"][0]["url"]
    times = []
    async with aiohttp.ClientSession() as session:
        for _ in range(60):
            started = time.perf_counter()
            await born(session, url)
            times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--repetitions", type=int, default=15)
    given = parser.parse_args()
    before = noise()
    with running_world(given.world, live=False) as clone:
        cost = asyncio.run(poll_cost(clone))
        found = asyncio.run(all_of(clone, given.repetitions))
    took = summary([f["ms"] for f in found], 1)
    figures = {
        "ms": took,
        "accepted_ms": summary([f["accepted_ms"] for f in found], 1),
        "poll_ms": round(cost, 2),
        "all": [{**f, "ms": round(f["ms"], 1)} for f in found],
    }
    lines = [
        f"a further instance answers after {verdict(took['median'], GOAL_MS, ' ms')} "
        f"median of {took['n']}, {took['min']} to {took['max']}; one poll {cost:.1f} ms"
    ]
    report("instance", figures, lines, before)


if __name__ == "__main__":
    main()
