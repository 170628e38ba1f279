"""Values that pass from one layer to another, by producer and name."""

import difflib
from collections.abc import Mapping
from typing import Any

import pulumi

CONTRACT = 1
"""Version of the names that layers hand to each other; a stack exports it."""

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

CELL = ("neg", "service", "database", "database_endpoint")
"""What every cell publishes."""

EDGE = ("address", "address_v6", "url_map", "backend_service")
"""What the edge publishes."""


class WiringError(LookupError):
    """A value that nobody published, or that was published under a wrong name."""


class Wiring:
    """Values by producer and output name, checked on both ends.

    The source here is the process: a layer that ran earlier in the same stack.
    """

    def __init__(self) -> None:
        self._published: dict[str, dict[str, pulumi.Input[Any]]] = {}

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

    def take(self, producer: str, output: str) -> Any:
        """A value, or an error that names what there is instead."""
        if producer not in self._published:
            known = ", ".join(sorted(self._published)) or "nothing"
            raise WiringError(
                f"{producer}.{output}: {producer} has published nothing; so far: "
                f"{known}: declare {producer} before what needs it"
            )
        offered = self._published[producer]
        if output not in offered:
            close = difflib.get_close_matches(output, offered, n=1)
            remedy = f"did you mean {close[0]}?" if close else "use one of these"
            raise WiringError(
                f"{producer}.{output}: no such output; available: "
                f"{', '.join(sorted(offered))}: {remedy}"
            )
        return offered[output]

    def all_of(self, producers: tuple[str, ...], output: str) -> Mapping[str, Any]:
        """The same output of several producers."""
        return {producer: self.take(producer, output) for producer in producers}
