"""A warmed process that forks instances and workers; docs/architecture.md.

It starts no thread, loop or connection, so that a fork is sound, and freezes the
collector, so that the children go on sharing its pages. One line of JSON asks
for a child and one line answers. A child that is asked for as `held` does nothing
until a line `{"begin": <pid>}`: whoever asked can first write down that it is there,
and if he or the template ends before that, so does the child.
"""

import os

# Before numpy is imported: it would start threads, and a fork loses threads.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import contextlib
import gc
import importlib
import json
import random
import re
import signal
import socket
import sys
from typing import Any

import numpy

from service.run import Warm, run

# Imported at their first use otherwise, by every child for itself (5 MiB each).
_USED_LATER = (
    "encodings.idna",
    "service.stream.server",
    "service.worker.main",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
)


Sockets = list[socket.socket]
_PORTS = ("PORT", "MERIDIAN_ADMIN_PORT")


def _warm() -> Warm:
    """Imports what the children need and loads what they share."""
    # What is collected before the fork leaves holes in pages; every child would fill
    # them with objects of its own and so copy the pages.
    gc.disable()
    for name in _USED_LATER:
        importlib.import_module(name)
    warm = Warm.load()
    if warm.model is not None:
        warm.model.embed(["warm"])
    gc.freeze()
    return warm


def _listen(environment: dict[str, str]) -> Sockets:
    """The port that serves, and beside gRPC the one for probes and scrapes."""
    grpc = environment.get("MERIDIAN_PROTOCOL") == "grpc"
    host = environment.get("HOST", "127.0.0.1")
    made = [_bound(host, shared=grpc)]
    if grpc:
        made.append(_bound(host, shared=False))
    return made


def _bound(host: str, *, shared: bool) -> socket.socket:
    """A port of the system's choice; a shared one is kept, not listened on: grpc takes
    no socket and binds the same port while this one keeps it."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((host, 0))
    if not shared:
        sock.listen(1024)
    return sock


def _become(
    request: dict[str, Any], sockets: Sockets, held: int | None, warm: Warm
) -> None:
    """Turns this fork into the asked process; does not return."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    _close_all_but({sock.fileno() for sock in sockets} | ({held} if held else set()))
    if held is not None and not os.read(held, 1):
        os._exit(0)
    os.environ.clear()
    os.environ.update(request["env"])
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for name, sock in zip(_PORTS, sockets, strict=False):
        os.environ[name] = str(sock.getsockname()[1])
    gc.enable()
    random.seed()
    numpy.random.seed()
    code = 1
    try:
        run(warm, sockets)
        code = 0
    except SystemExit as end:
        print(end, file=sys.stderr)
    except BaseException:  # noqa: BLE001 (the fork must never return)
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _close_all_but(kept: set[int]) -> None:
    """Also the writing ends of other held children, which would else never end."""
    first = 3
    for one in sorted(kept):
        os.closerange(first, one)
        first = one + 1
    os.closerange(first, 65536)


class _Held:
    """Children that wait for their beginning, and what lets them go."""

    def __init__(self) -> None:
        self._ends: dict[int, int] = {}
        """By pid the writing end of the pipe that it reads."""

    def add(self, pid: int, end: int) -> None:
        """A child waits."""
        self._ends[pid] = end

    def begin(self, pid: int) -> None:
        """Lets it go; one that is gone is none."""
        end = self._ends.pop(pid, None)
        if end is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(end, b"1")
            os.close(end)


def _answer(line: str, warm: Warm, held: _Held) -> dict[str, Any] | None:
    request = json.loads(line)
    if "begin" in request:
        held.begin(request["begin"])
        return None
    # Found out here: a fork that fails can tell nobody.
    environment = request["env"].items()
    if not all(isinstance(part, str) for pair in environment for part in pair):
        raise ValueError("env must map strings to strings")
    with open(request["log"], "ab"):
        pass
    sockets = _listen(request["env"]) if request.get("port") else []
    reading, writing = os.pipe() if request.get("held") else (None, None)
    pid = os.fork()
    if pid == 0:
        _become(request, sockets, reading, warm)
    if reading is not None and writing is not None:
        os.close(reading)
        held.add(pid, writing)
    answer = {"id": request["id"], "pid": pid}
    for name, sock in zip(("port", "admin_port"), sockets, strict=False):
        answer[name] = sock.getsockname()[1]
        sock.close()
    return answer


def _safe_answer(line: str, warm: Warm, held: _Held) -> dict[str, Any] | None:
    """A bad request is answered; the template lives on."""
    try:
        return _answer(line, warm, held)
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        found = re.search(r'"id":\s*"([^"]*)"', line)
        return {"id": found[1] if found else "", "error": repr(error)}


def main() -> None:
    """Serves requests until the end of input."""
    warm = _warm()
    # Children are reaped by the kernel; whoever asked watches them by pidfd.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print(json.dumps({"ready": True}), flush=True)
    held = _Held()
    for line in sys.stdin:
        answer = _safe_answer(line, warm, held) if line.strip() else None
        if answer is not None:
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
