"""CPU of one search over HTTP, over a raw server that parses the body plus the kernel.

    python -m benchmarks.search [--world FOLDER] [--items 100000] [--requests 400]

Items are arXiv embeddings with noise (d 384, from beside the checkout), ten hits. Ours:
CPU (user and system, all threads, from `/proc`) of the instance's process per request,
with everything that the local world turns on. The base: CPU of a raw ASGI application
on uvicorn with the same settings, which reads the same body, parses it to an array and
answers the same bytes, plus the kernel's own CPU for the same search. All take turns
in every round. Vectors as JSON numbers and as base64.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson

from benchmarks.clone import ROOT, Clone, Json, arguments, running_world
from benchmarks.measure import noise, report, summary, verdict
from benchmarks.nearest import data
from service.client import Client
from service.kernel import Index, load
from service.kernel.interface import Floats, unit

GOAL = 1.5
REGION = "us-central1"
COLLECTION = "search-benchmark"
DIMENSION, HITS = 384, 10
BATCH = 1_000
PAUSE_SECONDS = 0.0003
"""Between searches of the kernel alone, about the time of a request."""
HEAD, BODY_END = b"\r\n\r\n", b"content-length: "


class Wire:
    """One kept connection that sends prepared bytes and reads whole answers."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> bytes:
        """The body of the answer; raises unless it is a 200."""
        self._socket.sendall(request)
        data = b""
        while HEAD not in data:
            data += self._socket.recv(65536)
        head, body = data.split(HEAD, 1)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(data[:500].decode())
        length = int(head.lower().split(BODY_END, 1)[1].split(b"\r\n", 1)[0])
        while len(body) < length:
            body += self._socket.recv(65536)
        return body

    def close(self) -> None:
        self._socket.close()


def cpu_of(pid: int) -> float:
    """CPU seconds of all threads of a process so far, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


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


def request_of(query: Floats, *, text: bool) -> bytes:
    """The whole request of a search, headers included."""
    packed = base64.b64encode(query.tobytes()).decode()
    vector = [float(v) for v in query] if text else packed
    body = json.dumps({"vector": vector, "k": HITS}).encode()
    head = (
        f"POST /v1/collections/{COLLECTION}:search HTTP/1.1\r\nhost: localhost\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


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
    )


@contextlib.contextmanager
def raw_server(answer: bytes) -> Iterator[tuple[int, int]]:
    """(pid, port) of a raw server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.NamedTemporaryFile() as file:
        file.write(answer)
        file.flush()
        code = f"from benchmarks.search import serve_raw as s; s({port}, {file.name!r})"
        child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
        try:
            _wait_for_port(port)
            yield child.pid, port
        finally:
            child.terminate()
            child.wait()


def _wait_for_port(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.05)
    raise RuntimeError("the raw server does not start")


def instance_of(clone: Clone) -> tuple[int, int]:
    """(pid, port) of the one instance in the region."""
    file = (
        clone.root
        / ".meridian/world/envoy"
        / f"endpoints-{REGION}-meridian-stream.json"
    )
    groups = json.loads(file.read_text())["resources"][0]["endpoints"]
    address = groups[0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    prefix = f"run/{REGION}/meridian-stream/"
    parts = clone.world()["parts"]
    (pid,) = (part["pid"] for part in parts if part["name"].startswith(prefix))
    return pid, address["port_value"]


async def fill(clone: Clone, rows: Floats) -> None:
    """Store the rows and wait until the region holds them all."""
    url = next(r["url"] for r in clone.world()["regions"] if r["name"] == REGION)
    async with Client(url, deadline=60) as client:
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
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
        text = response.read().decode()
    pattern = r"^meridian_search_seconds_{} (\S+)$"
    values = (re.search(pattern.format(k), text, re.M) for k in ("sum", "count"))
    total, count = (float(v[1]) if v else 0.0 for v in values)
    return total, count


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
    clone: Clone, index: Index, queries: list[Floats], rounds: int, *, text: bool
) -> Json:
    """All three sides, in turns, for one way of writing vectors."""
    pid, port = instance_of(clone)
    requests = [request_of(q, text=text) for q in queries]
    wire = Wire(port)
    answer = wire.ask(requests[0])
    earlier = measured_inside(port)
    ours, raw, kernel, paced = [], [], [], []
    with raw_server(answer) as (raw_pid, raw_port):
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


def main() -> None:
    parser = arguments(__doc__)
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
    with running_world(given.world, live=False) as clone:
        asyncio.run(fill(clone, rows))
        found = {
            name: compared(clone, index, queries, given.rounds, text=text)
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
