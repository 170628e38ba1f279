"""CPU of one search over HTTP, over a raw server that parses the body plus the kernel.

    python -m benchmarks.search [--world FOLDER] [--items 100000] [--requests 400]
    python -m benchmarks.search --alone

Items are arXiv embeddings with noise (d 384, from beside the checkout), ten hits. Ours:
CPU (user and system, all threads, from `/proc`) of the instance's process per request,
with everything that the local world turns on. The base: CPU of a raw ASGI application
on uvicorn with the same settings, which reads the same body, parses it to an array and
answers the same bytes, plus the kernel's own CPU for the same search. All take turns
in every round. Vectors as JSON numbers and as base64.

With --alone the instance is in a region by itself, asks everybody for a key, counts
rates in Redis and keeps production's share of traces; a local world lets all in, has no
rates and traces every request.
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

import numpy as np
import orjson

from benchmarks.clone import Clone, Json, arguments, running_world
from benchmarks.measure import noise, report, summary, verdict
from benchmarks.nearest import data
from benchmarks.wire import Wire, cpu_of, instance_of, metric, post, raw_server
from benchmarks.writes import single_region
from service.access.gate import new_root_key
from service.client import Client
from service.kernel import Index, load
from service.kernel.interface import Floats, unit

GOAL = 1.5
REGION = "us-central1"
COLLECTION = "search-benchmark"
DIMENSION, HITS = 384, 10
BATCH = 1_000
RATES = {group: [1e6, 1e6] for group in ("read", "search", "write", "manage")}
"""Tokens a second and at most: none is ever refused."""
PAUSE_SECONDS = 0.0003
"""Between searches of the kernel alone, about the time of a request."""


def cpu_of_requests(pid: int, wire: Wire, requests: list[bytes]) -> float:
    """Microseconds of CPU of a server for each request."""
    before = cpu_of(pid)
    for request in requests:
        wire.ask(request)
    return (cpu_of(pid) - before) / len(requests) * 1e6


def idle_share(pid: int, seconds: float = 3.0) -> float:
    """CPU seconds a second that a process uses without requests."""
    before = cpu_of(pid)
    time.sleep(seconds)
    return (cpu_of(pid) - before) / seconds


class Target(NamedTuple):
    """The instance that is measured."""

    pid: int
    port: int
    url: str
    """Where it is filled."""
    key: str | None = None


def request_of(query: Floats, key: str | None, *, text: bool) -> bytes:
    """The whole request of a search, headers included."""
    packed = base64.b64encode(query.tobytes()).decode()
    vector = [float(v) for v in query] if text else packed
    body = json.dumps({"vector": vector, "k": HITS}).encode()
    return post(f"/v1/collections/{COLLECTION}:search", body, key)


def raw_application(answer: bytes) -> object:
    """An ASGI application that parses the body and answers the same bytes."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(answer)).encode()),
        (b"x-meridian-region", REGION.encode()),
        (b"x-request-id", b"0" * 32),
        (b"cache-control", b"private, no-store"),
    ]

    async def application(scope: Json, receive: object, send: object) -> None:
        parts, more = [], True
        while more:
            message = await receive()  # type: ignore[operator]
            parts.append(message["body"])
            more = message.get("more_body", False)
        vector = orjson.loads(b"".join(parts))["vector"]
        if isinstance(vector, str):
            np.frombuffer(base64.b64decode(vector), np.float32)
        else:
            np.asarray(vector, np.float32)
        start = {"type": "http.response.start", "status": 200, "headers": headers}
        await send(start)  # type: ignore[operator]
        await send({"type": "http.response.body", "body": answer})  # type: ignore[operator]

    return application


def serve_raw(port: int, file: str) -> None:
    """Run the raw application with the service's own settings of uvicorn."""
    import uvicorn

    uvicorn.run(
        raw_application(Path(file).read_bytes()),  # type: ignore[arg-type]
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_keep_alive=600,  # the other sides take their turns
    )


@contextlib.contextmanager
def _answering(answer: bytes) -> Iterator[tuple[int, int]]:
    """(pid, port) of the raw application."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(answer)
        file.flush()
        code = (
            f"from benchmarks.search import serve_raw as s; s({{port}}, {file.name!r})"
        )
        with raw_server(code) as found:
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


def measured_inside(port: int) -> tuple[float, float]:
    """(seconds, searches) that the instance has counted around its kernel so far."""
    name = "meridian_search_seconds"
    return metric(port, f"{name}_sum"), metric(port, f"{name}_count")


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


def compared(
    target: Target, index: Index, queries: list[Floats], rounds: int, *, text: bool
) -> Json:
    """All three sides, in turns, for one way of writing vectors."""
    pid, port = target.pid, target.port
    requests = [request_of(q, target.key, text=text) for q in queries]
    wire = Wire(port)
    answer = wire.ask(requests[0])
    earlier = measured_inside(port)
    ours, raw, kernel, paced = [], [], [], []
    with _answering(answer) as (raw_pid, raw_port):
        raw_wire = Wire(raw_port)
        for number in range(rounds + 1):
            taken = (
                cpu_of_requests(pid, wire, requests),
                cpu_of_requests(raw_pid, raw_wire, requests),
                kernel_cpu(index, queries),
                kernel_cpu(index, queries, PAUSE_SECONDS),
            )
            if number:  # the first round warms everything
                sides = (ours, raw, kernel, paced)
                for values, value in zip(sides, taken, strict=True):
                    values.append(value)
        raw_wire.close()
    wire.close()
    spent, count = (b - a for a, b in zip(earlier, measured_inside(port), strict=True))
    ratios = _ratios(ours, raw, kernel)
    return {
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(r, 3) for r in ratios],
        "ratio_paced": round(statistics.median(_ratios(ours, raw, paced)), 3),
        "service_us": summary(ours, 1),
        "raw_server_us": summary(raw, 1),
        "kernel_us": summary(kernel, 1),
        "kernel_paced_us": summary(paced, 1),
        "kernel_wall_inside_us": round(spent / count * 1e6, 1),
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
        url = f"http://127.0.0.1:{part['port']}"
        key = asyncio.run(_key(url, root))
        yield Target(part["pid"], part["port"], url, key)


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
            name: compared(target, index, queries, given.rounds, text=text)
            for name, text in (("json", True), ("base64", False))
        }
    lines = [
        f"{name}: {verdict(f['ratio'], GOAL, 'x')}; service "
        f"{f['service_us']['median']} us, raw server {f['raw_server_us']['median']} "
        f"us, kernel {f['kernel_us']['median']} us; with the kernel called at a "
        f"server's pace ({f['kernel_paced_us']['median']} us): {f['ratio_paced']}x"
        for name, f in found.items()
    ]
    report("search", {"kernel": kernel.name, **found}, lines, before)


if __name__ == "__main__":
    main()
