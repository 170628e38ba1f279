"""Runs the role that the environment names, in this process."""

import socket
from collections.abc import Sequence

import uvloop

from service.kernel import Kernel, load
from service.settings import Settings
from service.telemetry import route_logging
from service.text import Embedder
from service.text.minilm import MiniLM
from service.text.minilm import load as load_model


class Warm:
    """What is loaded once and shared by every fork: kernel and sentence model."""

    def __init__(self, kernel: Kernel, model: MiniLM | None) -> None:
        self.kernel = kernel
        self.model = model

    @classmethod
    def load(cls) -> "Warm":
        """Loads both; starts no thread."""
        return cls(load(), load_model())


def run(warm: Warm, sockets: Sequence[socket.socket] = ()) -> None:
    """Runs to the end.

    `sockets` are the serving port's and, beside gRPC, the administration's, where the
    caller made them.
    """
    route_logging()
    settings = Settings.from_environment()
    if settings.role == "stream":
        from service.stream.server import run as run_instance

        work = run_instance(settings, warm.kernel, Embedder(warm.model), sockets)
    elif settings.role == "worker":
        from service.worker.main import run as run_worker

        work = run_worker(settings, next(iter(sockets), None))
    else:
        raise SystemExit(
            f"MERIDIAN_ROLE is {settings.role!r}; allowed: stream, worker."
        )
    uvloop.run(work)
