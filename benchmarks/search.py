"""CPU of one search, over a raw server that parses the same message plus the kernel.

    python -m benchmarks.search [--world FOLDER] [--items 100000] [--requests 400]
    python -m benchmarks.search --alone

Items are arXiv embeddings with noise (d 384, from beside the checkout), ten hits. Ours:
CPU (user and system, all threads, from `/proc`) of the instance's process per request,
with everything that the local world turns on. The base: CPU of a raw server on the same
library with the same settings, which parses the same message to an array and answers
the same bytes, plus the kernel's own CPU for the same search. All take turns in every
round. Over HTTP with vectors as JSON numbers and as base64, and as a call on a
WebSocket.

With --alone also over gRPC. The instances are in a region by itself, ask everybody for
a key, count rates in Redis and keep production's share of traces; a local world lets
all in, has no rates and traces every request.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grpc
import numpy as np

from benchmarks.clone import Clone, Json, arguments, running_world
from benchmarks.measure import noise, report, summary, verdict
from benchmarks.nearest import data
from benchmarks.search_ways import COLLECTION, HITS, REGION, Grpc, Http, Way, WebSocket
from benchmarks.wire import cpu_of, instance_of, raw_server
from benchmarks.writes import single_region
from service.access.gate import new_root_key
from service.client import Client
from service.kernel import Index, load
from service.kernel.interface import Floats, unit

DIMENSION = 384
BATCH = 1_000
RATES = {group: [1e6, 1e6] for group in ("read", "search", "write", "manage")}
"""Tokens a second and at most: none is ever refused."""
PATIENCE = 120.0
PAUSE_SECONDS = 0.0003
"""Between searches of the kernel alone, about the time of a request."""


def cpu_of_requests(pid: int, way: Way, requests: list[bytes]) -> float:
    """Microseconds of CPU of a server for each request."""
    before = cpu_of(pid)
    for request in requests:
        way.ask(request)
    return (cpu_of(pid) - before) / len(requests) * 1e6


def idle_share(pid: int, seconds: float = 3.0) -> float:
    """CPU seconds a second that a process uses without requests."""
    before = cpu_of(pid)
    time.sleep(seconds)
    return (cpu_of(pid) - before) / seconds


class Target(NamedTuple):
    """The instances that are measured."""

    pid: int
    port: int
    url: str
    """Where they are filled."""
    key: str | None = None
    grpc: tuple[int, int] | None = None
    """(pid, port) of one that speaks gRPC."""

    def ways(self) -> list[tuple[Way, int, int]]:
        """Each way with pid and port of the instance that it asks."""
        here = self.pid, self.port
        found: list[tuple[Way, int, int]] = [
            (Http(self.key, text=True), *here),
            (Http(self.key, text=False), *here),
            (WebSocket(self.key), *here),
        ]
        if self.grpc is not None:
            found.append((Grpc(self.key), *self.grpc))
        return found


@contextlib.contextmanager
def _answering(way: Way, answer: bytes) -> Iterator[tuple[int, int]]:
    """(pid, port) of the way's raw server."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(answer)
        file.flush()
        serve = f"from benchmarks.search_ways import {way.raw} as serve"
        with raw_server(f"{serve}; serve({{port}}, {file.name!r})") as found:
            yield found


async def fill(target: Target, rows: Floats) -> None:
    """Store the rows and wait until the region holds them all."""
    async with Client(target.url, key=target.key, deadline=60) as client:
        await client.create(COLLECTION, dimension=DIMENSION)
        for start in range(0, len(rows), BATCH):
            batch = enumerate(rows[start : start + BATCH], start)
            items = [
                {"id": f"i{n}", "vector": base64.b64encode(row.tobytes()).decode()}
                for n, row in batch
            ]
            await client.put(COLLECTION, items)
        deadline = time.monotonic() + 120
        while (await client.describe(COLLECTION))["count"] < len(rows):
            if time.monotonic() > deadline:
                raise RuntimeError("the items do not arrive")
            await asyncio.sleep(0.2)


def kernel_cpu(index: Index, queries: list[Floats], pause: float = 0.0) -> float:
    """Microseconds of CPU of the kernel for each search.

    Without a pause the caches stay warm, which no server has between requests.
    """
    spent = 0.0
    for query in queries:
        if pause:
            time.sleep(pause)
        started = time.thread_time()
        index.search(query, HITS, -np.inf)
        spent += time.thread_time() - started
    return spent / len(queries) * 1e6


def first_answer(way: Way, port: int, request: bytes) -> bytes:
    """The answer, once the instance has the rows in memory."""
    deadline = time.monotonic() + PATIENCE
    way.connect(port)
    while True:
        try:
            return way.ask(request)
        except (RuntimeError, grpc.RpcError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def compared(
    way: Way, pid: int, port: int, index: Index, queries: list[Floats], rounds: int
) -> Json:
    """All three sides, in turns, for one way of asking."""
    requests = [way.request(query) for query in queries]
    answer = first_answer(way, port, requests[0])
    ours, raw, kernel, paced = [], [], [], []
    with _answering(way, answer) as (raw_pid, raw_port):
        for number in range(rounds + 1):
            way.connect(port)
            mine = cpu_of_requests(pid, way, requests)
            way.connect(raw_port)
            taken = (
                mine,
                cpu_of_requests(raw_pid, way, requests),
                kernel_cpu(index, queries),
                kernel_cpu(index, queries, PAUSE_SECONDS),
            )
            if number:  # the first round warms everything
                sides = (ours, raw, kernel, paced)
                for values, value in zip(sides, taken, strict=True):
                    values.append(value)
        way.close()
    ratios = _ratios(ours, raw, kernel)
    return {
        "goal": way.goal,
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(r, 3) for r in ratios],
        "ratio_paced": round(statistics.median(_ratios(ours, raw, paced)), 3),
        "service_us": summary(ours, 1),
        "raw_server_us": summary(raw, 1),
        "kernel_us": summary(kernel, 1),
        "kernel_paced_us": summary(paced, 1),
        "request_bytes": len(requests[0]),
        "answer_bytes": len(answer),
        "idle_cpu_share": round(idle_share(pid), 4),
    }


def _ratios(ours: list[float], raw: list[float], kernel: list[float]) -> list[float]:
    return [o / (r + k) for o, r, k in zip(ours, raw, kernel, strict=True)]


def in_world(clone: Clone) -> Target:
    """A region's instance of a running world."""
    url = next(r["url"] for r in clone.world()["regions"] if r["name"] == REGION)
    return Target(*instance_of(clone, REGION), url)


@contextlib.contextmanager
def strict() -> Iterator[Target]:
    """An instance that asks for keys and counts rates, in a region by itself."""
    root, digest = new_root_key()
    environment = {
        "MERIDIAN_ACCESS": "required",
        "MERIDIAN_ROOT_KEY_SHA256": digest,
        "MERIDIAN_RATES": json.dumps({"standard": RATES}),
    }
    with single_region() as region:
        asyncio.run(region.world.ready())
        part = region.second_instance(**environment)
        rpc = region.second_instance(**environment, MERIDIAN_PROTOCOL="grpc")
        url = f"http://127.0.0.1:{part['port']}"
        key = asyncio.run(_key(url, root))
        calls = rpc["pid"], rpc["port"]
        yield Target(part["pid"], part["port"], url, key, calls)


async def _key(url: str, root: str) -> str:
    async with Client(url, key=root) as client:
        scopes = ["read", "write", "manage"]
        made = await client.call("create_key", scopes=scopes)
    return str(made["key"])


@contextlib.contextmanager
def _target(world: Path | None, *, alone: bool) -> Iterator[Target]:
    if alone:
        with strict() as target:
            yield target
    else:
        with running_world(world, live=False) as clone:
            yield in_world(clone)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--alone", action="store_true", help="No world: one region.")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=400, help="In each round.")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    before = noise()
    rows, asked = data(given.items, DIMENSION)
    rows, fresh = (part.astype(np.float32) for part in (rows, asked[: given.requests]))
    kernel = load()
    index = kernel.index(DIMENSION)
    for row in rows:
        index.add(unit(row))
    queries = [unit(query) for query in fresh]
    with _target(given.world, alone=given.alone) as target:
        asyncio.run(fill(target, rows))
        found = {
            way.name: compared(way, pid, port, index, queries, given.rounds)
            for way, pid, port in target.ways()
        }
    lines = [
        f"{name}: {verdict(f['ratio'], f['goal'], 'x')}; service "
        f"{f['service_us']['median']} us, raw server {f['raw_server_us']['median']} "
        f"us, kernel {f['kernel_us']['median']} us; with the kernel called at a "
        f"server's pace ({f['kernel_paced_us']['median']} us): {f['ratio_paced']}x"
        for name, f in found.items()
    ]
    report("search", {"kernel": kernel.name, **found}, lines, before)


if __name__ == "__main__":
    main()
