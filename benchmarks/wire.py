"""Requests without a client library's cost: prepared bytes on kept connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.clone import ROOT, Clone

HEAD, BODY_END = b"\r\n\r\n", b"content-length: "


def instance_of(
    clone: Clone, region: str, service: str = "meridian-stream"
) -> tuple[int, int]:
    """(pid, port) of the one instance of a service in a region."""
    file = clone.root / ".meridian/world/envoy" / f"endpoints-{region}-{service}.json"
    groups = json.loads(file.read_text())["resources"][0]["endpoints"]
    address = groups[0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    prefix = f"run/{region}/{service}/"
    parts = clone.world()["parts"]
    (pid,) = (part["pid"] for part in parts if part["name"].startswith(prefix))
    return pid, address["port_value"]


def post(path: str, body: bytes, key: str | None = None) -> bytes:
    """A whole request, headers included."""
    credential = "" if key is None else f"authorization: Bearer {key}\r\n"
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{credential}"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def cpu_of(pid: int) -> float:
    """CPU seconds of all threads of a process so far, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def proportional(pid: int) -> int:
    """Bytes of a process: its own pages and its share of those it shares."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.M)
    assert found
    return int(found[1]) * 1024


def metric(port: int, name: str) -> float:
    """Sum of a metric's series, as the instance says now."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
        text = response.read().decode()
    found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M)
    return sum(map(float, found))


@contextlib.contextmanager
def raw_server(code: str) -> Iterator[tuple[int, int]]:
    """(pid, port) of a server that `code` runs on `{port}`, in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    line = [sys.executable, "-c", code.format(port=port)]
    child = subprocess.Popen(line, cwd=ROOT)
    try:
        _wait_for_port(port)
        yield child.pid, port
    finally:
        child.terminate()
        child.wait()


def serve(application: Any, port: int) -> None:
    """Runs an ASGI application with the service's own settings of the server."""
    import uvicorn  # here: the other side of a measurement does without

    uvicorn.run(
        application,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="off",
        log_config=None,
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_keep_alive=600,  # the other sides take their turns
    )


def _wait_for_port(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.05)
    raise RuntimeError("the raw server does not start")


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
            data += self._more()
        head, body = data.split(HEAD, 1)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(data[:500].decode())
        length = int(head.lower().split(BODY_END, 1)[1].split(b"\r\n", 1)[0])
        while len(body) < length:
            body += self._more()
        return body

    def _more(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data

    def close(self) -> None:
        self._socket.close()


class _Lane(asyncio.Protocol):
    """A connection that sends the next request when the last was answered."""

    def __init__(self, requests: list[bytes], times: list[float]) -> None:
        self._requests, self._times = requests, times
        self._data = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def _next(self) -> None:
        if not self._requests:
            self._transport.close()
            if not self.done.done():
                self.done.set_result(None)
            return
        self._sent = time.perf_counter()
        self._transport.write(self._requests.pop())

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(HEAD)
        if not found:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(RuntimeError(self._data[:500].decode()))
            self._transport.close()
            return
        length = int(head.lower().split(BODY_END, 1)[1].split(b"\r\n", 1)[0])
        if len(body) >= length:
            if b'"error"' in body:
                wrong = body[body.index(b'"error"') :][:500].decode()
                self.done.set_exception(RuntimeError(wrong))
                self._transport.close()
                return
            self._times.append(time.perf_counter() - self._sent)
            self._data = b""
            self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("closed early"))


async def flood(
    port: int, requests: list[bytes], connections: int
) -> tuple[float, list[float]]:
    """(seconds in all, seconds of each request); every one must be a 200 without error.

    As many requests are under way as there are connections.
    """
    waiting, times = list(requests), list[float]()
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    lanes = []
    for _ in range(connections):
        _, lane = await loop.create_connection(
            lambda: _Lane(waiting, times), "127.0.0.1", port
        )
        lanes.append(lane.done)
    await asyncio.gather(*lanes)
    return time.perf_counter() - started, times
