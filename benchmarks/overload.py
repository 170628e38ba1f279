"""What one client does to the others: a consumer that stalls, and ten times too much.

    python -m benchmarks.overload [--connections 1000] [--pairs 30] [--seconds 30]

In a region by itself, as `benchmarks.writes` has it. First as many WebSockets as given
are told of every write; one has thirty streams and reads or stalls in turns, which
begin alternately. In a stall it is first told more than its sockets, its connection and
its credit hold. From sending a write to its notification at each of the others: ratio
of the 99th percentiles of each pair, the mean of the ratios, 95 % by bootstrap over the
pairs. The client shares the machine: what it takes to read is in both sides.

Then the capacity for searches of 32 vectors each is measured, ten times as many are
asked for without waiting for answers, and five writes a second go on before, during and
after. Until when notifications take longer than the catalogue's `notify_seconds`, and
what became of the searches. At most 2,000 searches are under way; others are not sent.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import socket
import statistics
import sys
import time
from collections import Counter
from typing import Any

import aiohttp
import numpy as np

import topology
from benchmarks.measure import Json, noise, report, summary, verdict
from benchmarks.wire import flood, post
from benchmarks.writes import single_region
from service.client import Client

GOAL_RATIO, GOAL_BACK = 1.25, 10.0
SMALL, LARGE = 16, 384
STREAMS, FILLING, MEASURED = 30, 60, 20
PATIENCE = 30.0
ROWS, VECTORS, TIMES, UNDER_WAY = 50_000, 32, 10, 2_000
WORKERS = 2
"""Searches at once when capacity is measured: as many as have a thread; more wait, and
are refused."""
BODIES = 16
QUIET, AFTER, PAUSE = 5.0, 20.0, 0.2
"""Seconds before and after an overload, and between two writes."""
WATCHED, SEARCHED = "watched", "searched"


class Ear(asyncio.Protocol):
    """A WebSocket that counts matches, and when the last came."""

    def __init__(self, streams: int) -> None:
        self._streams = streams
        self._data = b""
        self._open = False
        self.watching = self.matches = 0
        self.at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            "GET /v1/watch HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n"
            f"connection: Upgrade\r\nsec-websocket-key: {key}\r\n"
            "sec-websocket-version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._open:
            head, found, rest = self._data.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                raise RuntimeError(head.decode())
            self._open, self._data = True, rest
            for number in range(self._streams):
                self.transport.write(_masked(_watch(number)))
        while (frame := self._frame()) is not None:
            if frame.startswith(b'{"type":"match"'):
                self.matches += 1
                self.at = time.perf_counter()
            elif frame.startswith(b'{"type":"watching"'):
                self.watching += 1

    def _frame(self) -> bytes | None:
        """The payload of the next whole frame, which is taken out."""
        data, head = self._data, 2
        if len(data) < head:
            return None
        size = data[1]
        if size >= 126:
            head = 4 if size == 126 else 10
            if len(data) < head:
                return None
            size = int.from_bytes(data[2:head], "big")
        if len(data) < head + size:
            return None
        self._data = data[head + size :]
        return data[head : head + size]


def _watch(number: int) -> bytes:
    vector = [1.0] + [0.0] * (SMALL - 1)
    wanted = {"stream": f"s{number}", "collection": WATCHED, "vector": vector}
    return json.dumps({"type": "watch", "threshold": -1.0, **wanted}).encode()


def _masked(payload: bytes) -> bytes:
    """A client's text frame; the mask is zero, which changes nothing."""
    return (
        b"\x81"
        + bytes([0x80 | 126])
        + len(payload).to_bytes(2, "big")
        + (bytes(4) + payload)
    )


async def ear(port: int, streams: int) -> Ear:
    """One that is connected; the kernel keeps little for it."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(plain, ("127.0.0.1", port))
    _, made = await loop.create_connection(lambda: Ear(streams), sock=plain)
    return made


async def until(done: Any) -> None:
    """Returns once `done()`; raises after PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > deadline:
            raise RuntimeError("notifications do not arrive")
        await asyncio.sleep(0.001)


async def told(client: Client, ears: list[Ear], writes: int) -> list[float]:
    """Seconds from sending each write to its notification at each of the ears."""
    found = []
    for number in range(writes):
        wanted = [each.matches + 1 for each in ears]
        vector = np.random.default_rng(number).standard_normal(SMALL).tolist()
        sent = time.perf_counter()
        await client.put(WATCHED, [{"id": f"i{number}", "vector": vector}])
        pairs = list(zip(ears, wanted, strict=True))
        await until(lambda: all(e.matches >= n for e, n in pairs))  # noqa: B023
        found += [each.at - sent for each in ears]
    return found


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99)]


async def stalled(url: str, port: int, connections: int, pairs: int) -> Json:
    """How much a consumer that does not read moves the others."""
    async with Client(url, deadline=PATIENCE) as client:
        await client.create(WATCHED, dimension=SMALL)
        ears = [await ear(port, 1) for _ in range(connections - 1)]
        one = await ear(port, STREAMS)
        await until(lambda: all(e.watching for e in ears) and one.watching == STREAMS)
        await told(client, ears, MEASURED)  # warms
        sides: dict[bool, list[float]] = {True: [], False: []}
        for number in range(pairs):
            for stalls in (number % 2 == 0, number % 2 == 1):
                if stalls:
                    one.transport.pause_reading()
                    behind = one.matches
                    await told(client, ears, FILLING)
                sides[stalls].append(_p99(await told(client, ears, MEASURED)))
                if stalls:
                    one.transport.resume_reading()
                    all_of = behind + (FILLING + MEASURED) * STREAMS
                    await until(lambda: one.matches >= all_of)  # noqa: B023
        for each in (*ears, one):
            each.transport.close()
        await client.drop(WATCHED)
    ratios = [a / b for a, b in zip(sides[True], sides[False], strict=True)]
    low, high = interval(ratios)
    return {
        "ratio": round(statistics.mean(ratios), 3),
        "interval": [round(low, 3), round(high, 3)],
        "ratios": [round(r, 3) for r in ratios],
        "stalled_p99_ms": summary([s * 1000 for s in sides[True]]),
        "reading_p99_ms": summary([s * 1000 for s in sides[False]]),
        "connections": connections,
    }


def interval(ratios: list[float]) -> tuple[float, float]:
    """95 % of the mean, by bootstrap."""
    drawn = np.random.default_rng(1).choice(ratios, (10_000, len(ratios)))
    low, high = np.quantile(drawn.mean(1), (0.025, 0.975))
    return float(low), float(high)


class Notified:
    """Writes at a steady pace and how long each took to be told."""

    def __init__(self, client: Client, heard: Ear) -> None:
        self._client, self._heard = client, heard
        self.seconds: list[tuple[float, float]] = []
        """(when it was sent, seconds); refused writes are not in it."""
        self.refused = 0

    async def run(self) -> None:
        number = 0
        while True:
            number += 1
            wanted, sent = self._heard.matches + 1, time.perf_counter()
            vector = np.random.default_rng(number).standard_normal(SMALL).tolist()
            item = {"id": "one", "vector": vector}
            try:
                (done,) = await self._client.put(WATCHED, [item])
            except Exception:  # noqa: BLE001 (whatever it is, it was not stored)
                self.refused += 1
            else:
                self.refused += "error" in done
                await until(lambda: self._heard.matches >= wanted)  # noqa: B023
                self.seconds.append((sent, self._heard.at - sent))
            await asyncio.sleep(PAUSE)


def _searches(count: int) -> list[bytes]:
    rng = np.random.default_rng(3)
    bodies = []
    for _ in range(count):
        rows = rng.standard_normal((VECTORS, LARGE)).astype(np.float32)
        vectors = [base64.b64encode(row.tobytes()).decode() for row in rows]
        bodies.append(json.dumps({"vectors": vectors, "k": 10}).encode())
    return bodies


async def _fill(client: Client) -> None:
    await client.create(SEARCHED, dimension=LARGE)
    rng = np.random.default_rng(2)
    for start in range(0, ROWS, 500):
        rows = rng.standard_normal((500, LARGE)).astype(np.float32)
        items = [
            {"id": f"i{start + n}", "vector": base64.b64encode(r.tobytes()).decode()}
            for n, r in enumerate(rows)
        ]
        await client.put(SEARCHED, items)


async def too_much(url: str, port: int, seconds: float) -> Json:
    """Ten times the searches that an instance can answer, and what follows."""
    path = f"/v1/collections/{SEARCHED}:search"
    bodies = _searches(BODIES)
    async with Client(url, deadline=PATIENCE) as client:
        await _fill(client)
        await client.create(WATCHED, dimension=SMALL)
        heard = await ear(port, 1)
        await until(lambda: heard.watching)
        requests = [post(path, body) for body in bodies]
        await flood(port, requests, WORKERS)  # warms
        took, _ = await flood(port, requests * 8, WORKERS)
        capacity = len(requests) * 8 / took
        notified = Notified(client, heard)
        writing = asyncio.create_task(notified.run())
        await asyncio.sleep(QUIET)
        began = time.perf_counter()
        codes = await asked(f"{url}{path}", capacity * TIMES, seconds)
        ended = time.perf_counter()
        await asyncio.sleep(AFTER)
        writing.cancel()
    heard.transport.close()
    goal = topology.load("prod").objectives.notify_seconds
    late = [sent + took for sent, took in notified.seconds if took > goal]
    parts = {"before": (0.0, began), "during": (began, ended), "after": (ended, 1e18)}
    return {
        "searches_a_second": round(capacity, 1),
        "asked_a_second": round(capacity * TIMES, 1),
        "seconds": round(ended - began, 1),
        "searches": codes,
        "writes_refused": notified.refused,
        "objective_seconds": goal,
        "back_after_seconds": round(max(0.0, max(late, default=0.0) - ended), 2),
        "notified_ms": {
            name: summary([t * 1000 for s, t in notified.seconds if a <= s < b])
            for name, (a, b) in parts.items()
        },
    }


async def asked(url: str, rate: float, seconds: float) -> Json:
    """Outcomes of searches that a process of its own asks for: beside the writes it
    would hold up whoever measures them."""
    code = f"from benchmarks.overload import serve; serve({url!r}, {rate}, {seconds})"
    asking = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asking.communicate()
    found: Json = json.loads(output)
    return found


def serve(url: str, rate: float, seconds: float) -> None:
    """Prints what became of searches."""
    print(json.dumps(asyncio.run(ask(url, _searches(BODIES), rate, seconds))))


async def ask(
    url: str, bodies: list[bytes], rate: float, seconds: float
) -> Counter[str]:
    """Outcomes of searches sent at a rate, whether they are answered or not."""
    codes: Counter[str] = Counter()
    headers = {"content-type": "application/json"}
    running: set[asyncio.Task[None]] = set()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def one(body: bytes) -> None:
            try:
                async with session.post(url, data=body, headers=headers) as answer:
                    await answer.read()
                    codes[str(answer.status)] += 1
            except aiohttp.ClientError as error:
                codes[type(error).__name__] += 1

        began, sent = time.perf_counter(), 0
        while (now := time.perf_counter() - began) < seconds:
            while sent < now * rate:
                sent += 1
                if len(running) >= UNDER_WAY:
                    codes["not sent"] += 1
                    continue
                task = asyncio.create_task(one(bodies[sent % len(bodies)]))
                running.add(task)
                task.add_done_callback(running.discard)
            await asyncio.sleep(0.005)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        codes["given up at the end"] += len(running)
    return codes


async def run(region: Any, given: argparse.Namespace) -> Json:
    await region.world.ready()
    part = region.second_instance()
    where = f"http://127.0.0.1:{part['port']}", part["port"]
    return {
        "stalled": await stalled(*where, given.connections, given.pairs),
        "overload": await too_much(*where, given.seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--connections", type=int, default=1_000)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    before = noise()
    with single_region() as region:
        found = asyncio.run(run(region, given))
    one, much = found["stalled"], found["overload"]
    lines = [
        f"stalled: others' p99 {verdict(one['interval'][1], GOAL_RATIO, 'x')} (upper "
        f"bound); mean {one['ratio']}x; {one['stalled_p99_ms']['median']} and "
        f"{one['reading_p99_ms']['median']} ms",
        f"overload: back within {much['objective_seconds']} s after "
        f"{verdict(much['back_after_seconds'], GOAL_BACK, ' s')}; "
        f"{much['asked_a_second']} searches/s asked of {much['searches_a_second']}; "
        f"{much['searches']}; {much['writes_refused']} writes refused",
    ]
    report("overload", found, lines, before)


if __name__ == "__main__":
    main()
