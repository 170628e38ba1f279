"""Values that pass from one layer to another, by producer and name."""

import difflib
from collections.abc import Mapping
from typing import Any, Protocol

import pulumi

CONTRACT = 1
"""Version of the names that layers hand to each other; every stack exports it."""

FOUNDATION = (
    "project",
    "network",
    "private_network",
    "image",
    "stream_email",
    "worker_email",
    "changes_topic",
    "repairs_topic",
    "dead_letter_topic",
    "pubsub_agent",
)
"""What the foundation publishes."""

CELL = ("neg", "grpc_neg", "service", "database", "database_endpoint")
"""What every cell publishes."""

EDGE = ("address", "address_v6", "url_map", "backend_service")
"""What the edge publishes."""


class WiringError(LookupError):
    """A value that nobody published, or that was published under a wrong name."""


class Upstream(Protocol):
    """Where values come from that this stack does not make itself."""

    def outputs(self, producer: str) -> Mapping[str, Any]:
        """Outputs of another slice's stack; raises `WiringError`."""


class Wiring:
    """Values by producer and output name, checked on both ends.

    They come from this process where the producer is declared by the same stack, else
    from `upstream`.
    """

    def __init__(self, upstream: Upstream | None = None) -> None:
        self._upstream = upstream
        self._published: dict[str, Mapping[str, Any]] = {}

    def publish(
        self,
        producer: str,
        component: object,
        contract: tuple[str, ...],
    ) -> None:
        """Offer a component's outputs under the names of its contract."""
        missing = [name for name in contract if not hasattr(component, name)]
        if missing:
            raise WiringError(
                f"{producer}: outputs {', '.join(missing)} are in contract {CONTRACT} "
                f"and {type(component).__name__} has none: add them or raise the "
                "contract's version"
            )
        if producer in self._published:
            raise WiringError(f"{producer}: published twice: give each layer one name")
        self._published[producer] = {
            name: getattr(component, name) for name in contract
        }

    def export(self, producer: str, **more: Any) -> None:
        """Make what a slice publishes the outputs of its stack."""
        values = {"contract": CONTRACT, **self._published[producer], **more}
        for name, value in values.items():
            pulumi.export(name, value)

    def take(self, producer: str, output: str) -> Any:
        """A value, or an error that names what there is instead."""
        offered = self._offered(producer, output)
        if output not in offered:
            close = difflib.get_close_matches(output, offered, n=1)
            remedy = f"did you mean {close[0]}?" if close else "use one of these"
            raise WiringError(
                f"{producer}.{output}: no such output; available: "
                f"{', '.join(sorted(offered))}: {remedy}"
            )
        return offered[output]

    def _offered(self, producer: str, output: str) -> Mapping[str, Any]:
        if producer in self._published:
            return self._published[producer]
        if self._upstream is not None:
            self._published[producer] = self._upstream.outputs(producer)
            return self._published[producer]
        known = ", ".join(sorted(self._published)) or "nothing"
        raise WiringError(
            f"{producer}.{output}: {producer} has published nothing; so far: "
            f"{known}: declare {producer} before what needs it"
        )

    def all_of(self, producers: tuple[str, ...], output: str) -> Mapping[str, Any]:
        """The same output of several producers."""
        return {producer: self.take(producer, output) for producer in producers}
