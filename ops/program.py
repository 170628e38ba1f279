"""The program of a stack, served to an engine as the engine's own host would serve it.

Two habits of the SDK cost more than the program itself, and are left out here: its
debug lines, and how it waits for outputs.
"""

from __future__ import annotations

import asyncio
import runpy
import sys
from concurrent import futures
from pathlib import Path
from typing import Any

from ops.paths import ROOT

LOOPBACK = "127.0.0.1"
OURS = ("topology", "components", "stacks", "dashboards")
"""Packages that programs are made of."""


def serve(file: Path, tree: Path | None) -> tuple[Any, int]:
    """Serve a program from a thread, until the server is stopped; server and port.

    `tree`: checkout whose modules it imports, where those are not this clone's.
    """
    import grpc
    from pulumi.automation._server import LanguageServer
    from pulumi.runtime.proto import language_pb2_grpc

    def program() -> Any:
        if tree:
            _import_from(tree)
        runpy.run_path(str(file), run_name="__main__")
        return settled()

    _say_no_details()
    # As the automation API does it: a stack runs one program.
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(
        LanguageServer(program), server
    )
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    server.start()
    return server, port


def _import_from(tree: Path) -> None:
    """Forget this clone's modules, so that another checkout's are imported."""
    for name in list(sys.modules):
        if name.split(".")[0] in OURS:
            del sys.modules[name]
    sys.path[:] = [str(tree), *(p for p in sys.path if p != str(ROOT))]


def _say_no_details() -> None:
    """Leave the SDK's debug lines out: several of each resource, and each a call that
    waits for the engine, which drops it.
    """
    import pulumi

    def nothing(*args: object, **more: object) -> None:
        pass

    pulumi.log.debug = nothing


async def settled() -> None:
    """Wait until every output and call is done, or one has failed.

    The SDK does it itself after this, and says what failed; but it waits for the first
    of all outputs again and again, which takes time in the square of their number.
    """
    from pulumi.runtime.settings import SETTINGS

    while True:
        with SETTINGS.lock:
            known = [*SETTINGS.outputs, *SETTINGS.rpc_manager.rpcs]
        waiting = [each for each in known if not each.done()]
        if not waiting or any(map(_failed, known)):
            return
        await asyncio.wait(waiting, return_when=asyncio.FIRST_EXCEPTION)


def _failed(done: asyncio.Future[Any]) -> bool:
    return done.done() and (done.cancelled() or done.exception() is not None)
