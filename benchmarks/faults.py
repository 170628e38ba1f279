"""Faults under a writer: what is lost, what is doubled, and how long answers stay away.

    python -m benchmarks.faults --rounds 15 [--kind service|worker|database|cache|...]

Against the running world: a writer at 50 writes a second through one region's front
door, six watchers of every write in four regions, by WebSocket, server-sent events and
gRPC. Each round breaks something for real and compares every acknowledged write with
what each watcher was told. SIGKILL ends a service process, a worker (relay, applier,
feeder), the hub's primary, Redis (which keeps nothing: it comes back empty), the
control plane with the broker in it, or all of a region for six seconds; `frozen` stops
a service process for six (SIGSTOP); `clock` moves the hub's clock by five seconds for
six, where the log reads it, forth and back in turns. Each round reads from the primary
that what it acknowledges is on its disk.
Exit 1 on any loss. A full disk is broken in a world of its own, where it can be made:
`python -m tests.service.disk_full`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import statistics
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import numpy as np

from localcloud.control.identity import Keys
from localcloud.realise.sql import ADMIN, PORT
from ops import world
from service.client import Client, Query

COLLECTION = "fault-rounds"
DIMENSION = 16
TARGET = "us-central1"
WATCHERS = (
    (TARGET, "websocket"),
    (TARGET, "sse"),
    (TARGET, "grpc"),
    ("us-east1", "websocket"),
    ("europe-west3", "sse"),
    ("asia-south1", "grpc"),
)
"""Region, and what its stream travels over: all three where things break."""
Watcher = tuple[str, str]
RATE = 50.0
BEFORE_SECONDS = 2.0
AFTER_SECONDS = 4.0
SETTLE_SECONDS = 60.0
HOLD_SECONDS = {
    "service": 0.0,
    "worker": 0.0,
    "database": 0.0,
    "cache": 0.0,
    "control": 0.0,
    "clock": 6.0,
    "frozen": 6.0,
    "region": 6.0,
}
DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
CONTROL_SECONDS = 30.0
SKEW_MS = 5_000
"""How far the clock is moved: what the property tests of convergence bear."""
_turns = itertools.count()
EVERYTHING = -1.0
"""Threshold that every vector reaches."""


@dataclass
class Round:
    """What one round saw."""

    kind: str
    acknowledged: dict[str, float] = field(default_factory=dict)
    """Event id -> when it was acknowledged."""
    refused: int = 0
    outage: float = 0.0
    """Seconds from the fault to the next acknowledged write that began after it."""


async def writer(client: Client, state: Round, stop: asyncio.Event) -> None:
    """Fifty writes a second, each on its own, each retried by the client."""
    tasks: set[asyncio.Task[None]] = set()
    generator = np.random.default_rng()
    due = time.monotonic()
    while not stop.is_set():
        vector = generator.standard_normal(DIMENSION).tolist()
        task = asyncio.create_task(write(client, vector, state))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        due += 1 / RATE
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    await asyncio.gather(*tasks)


async def write(client: Client, vector: list[float], state: Round) -> None:
    event = uuid.uuid4().hex
    item = {"id": event, "vector": vector, "event_id": event}
    try:
        result = (await client.put(COLLECTION, [item]))[0]
    except Exception:
        state.refused += 1
        return
    if "error" in result:
        state.refused += 1
    else:
        state.acknowledged[event] = time.monotonic()


async def outage(url: str, since: float) -> float:
    """Seconds until a fresh write through the front door is acknowledged."""
    async with Client(url, deadline=60) as client:
        vector = [1.0] * DIMENSION
        await client.put(COLLECTION, [{"id": "probe", "vector": vector}])
    return time.monotonic() - since


@contextlib.asynccontextmanager
async def primary(database: str = "postgres") -> AsyncIterator[asyncpg.Connection]:
    """The hub's primary, as its administrator."""
    home = world.world().home
    (data,) = home.glob(f"sql/*{TARGET}*/data")
    settings = (data / "postgresql.conf").read_text()
    (host,) = re.findall(r"^listen_addresses = '(.+)'$", settings, re.M)
    secret = Keys(home / "keys").password(ADMIN)
    opened = await asyncpg.connect(
        host=host, port=PORT, user=ADMIN, password=secret, database=database
    )
    try:
        yield opened
    finally:
        await opened.close()


async def durable() -> None:
    """Raises unless the primary syncs what it acknowledges to its disk."""
    async with primary() as server:
        found = {name: await server.fetchval(f"SHOW {name}") for name in DURABLE}
    if set(found.values()) != {"on"}:
        raise RuntimeError(f"acknowledged is not durable here: {found}")


async def move_clock(milliseconds: int) -> None:
    """Moves the clock that the hub's log reads; its clients connect anew.

    `moment_ms` is the one place where the log reads a clock.
    """
    async with primary() as server:
        known = f"ALTER DATABASE meridian SET meridian.skew_ms = '{milliseconds}'"
        await server.execute(known)
        await server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = 'meridian' AND backend_type = 'client backend'"
        )


def break_it(kind: str) -> None:
    """One fault; returns once it is done."""
    if kind == "control":
        _kill_control()
        return
    frozen = kind == "frozen"
    fault = {
        "kind": "service" if frozen else kind,
        "region": TARGET,
        "how": "freeze" if frozen else "kill",
        "seconds": HOLD_SECONDS[kind],
    }
    world.call("/console/faults", fault)


def _kill_control() -> None:
    """The keeper starts another, which adopts what runs."""
    file = world.world().home / "control.pid"
    gone = file.read_text()
    os.kill(int(gone), signal.SIGKILL)
    deadline = time.monotonic() + CONTROL_SECONDS
    while not (file.exists() and file.read_text() not in ("", gone) and world.alive()):
        if time.monotonic() > deadline:
            raise RuntimeError("the control plane did not come back")
        time.sleep(0.1)


async def one(
    kind: str, urls: dict[str, str], heard: dict[Watcher, Counter[str]]
) -> Round:
    """One round: write, break, write on, wait until all is heard."""
    state, stop = Round(kind), asyncio.Event()
    async with Client(urls[TARGET], deadline=60) as client:
        writing = asyncio.create_task(writer(client, state, stop))
        await asyncio.sleep(BEFORE_SECONDS)
        await durable()
        began = time.monotonic()
        if kind == "clock":
            await move_clock(SKEW_MS if next(_turns) % 2 else -SKEW_MS)
        else:
            await asyncio.to_thread(break_it, kind)
        state.outage = await outage(urls[TARGET], began)
        await asyncio.sleep(AFTER_SECONDS + HOLD_SECONDS[kind])
        if kind == "clock":
            await move_clock(0)
        stop.set()
        await writing
    deadline = time.monotonic() + SETTLE_SECONDS
    wanted = set(state.acknowledged)
    while time.monotonic() < deadline:
        if all(wanted <= set(told) for told in heard.values()):
            break
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)
    return state


async def stored(url: str, events: list[str]) -> int:
    """How many of these items a region can give back."""
    async with Client(url) as client:
        found = 0
        for event in events:
            try:
                await client.get(COLLECTION, event)
                found += 1
            except Exception:
                continue
        return found


async def main(kinds: list[str], rounds: int) -> dict[str, Any]:
    status = world.call("/console/world")
    urls = {r["name"]: r["url"] for r in status["regions"]}
    async with Client(urls[TARGET]) as client:
        await client.create(COLLECTION, dimension=DIMENSION)
    await asyncio.sleep(2)
    heard: dict[Watcher, Counter[str]] = {each: Counter() for each in WATCHERS}
    clients = {each: Client(urls[each[0]]) for each in WATCHERS}
    watchings = {w: clients[w].watch([_everything(w)], w[1]) for w in WATCHERS}
    tasks = [asyncio.create_task(_hear(w, watchings[w], heard[w])) for w in WATCHERS]
    await asyncio.gather(*(w.ready() for w in watchings.values()))
    report: dict[str, Any] = {}
    for kind in kinds:
        results = []
        for number in range(rounds):
            state = await one(kind, urls, heard)
            results.append(_verdict(state, heard))
            print(f"{kind} {number + 1}/{rounds}: {results[-1]}", flush=True)
        report[kind] = _summary(results)
        report[kind]["repeats"] = sum(w.repeats for w in watchings.values())
        report[kind]["gaps"] = sum(len(w.gaps) for w in watchings.values())
    for task in tasks:
        task.cancel()
    for each in WATCHERS:
        await watchings[each].close()
        await clients[each].close()
    return report


def _everything(watcher: Watcher) -> Query:
    vector = [1.0] + [0.0] * (DIMENSION - 1)
    return Query(
        stream=f"all-{'-'.join(watcher)}",
        collection=COLLECTION,
        vector=vector,
        threshold=EVERYTHING,
    )


async def _hear(watcher: Watcher, watching: Any, told: Counter[str]) -> None:
    try:
        async for match in watching:
            told[match.event_id] += 1
    except Exception as error:
        print(f"{watcher}: ended by {error!r}", flush=True)
        raise


def _verdict(state: Round, heard: dict[Watcher, Counter[str]]) -> dict[str, Any]:
    missing = {r: len(set(state.acknowledged) - set(t)) for r, t in heard.items()}
    doubled = {r: sum(n - 1 for n in t.values()) for r, t in heard.items()}
    return {
        "acknowledged": len(state.acknowledged),
        "refused": state.refused,
        "missing": sum(missing.values()),
        "missed_by": [list(w) for w, count in missing.items() if count],
        "doubled": sum(doubled.values()),
        "outage_s": round(state.outage, 2),
    }


def _summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    keys = ("acknowledged", "refused", "missing")
    summary: dict[str, Any] = {k: sum(r[k] for r in results) for k in keys}
    summary["doubled"] = results[-1]["doubled"]
    outages = [r["outage_s"] for r in results]
    summary["outage_s"] = {
        "median": statistics.median(outages),
        "max": max(outages),
    }
    return summary


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--kind", choices=sorted(HOLD_SECONDS), action="append")
    given = parser.parse_args()
    kinds = given.kind or list(HOLD_SECONDS)
    answer = asyncio.run(main(kinds, given.rounds))
    print(json.dumps(answer, indent=2))
    bad = any(r["missing"] or r["doubled"] for r in answer.values())
    sys.exit(1 if bad else 0)
