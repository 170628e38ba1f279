"""What a client acknowledges of its persistent streams, and how it finds them again."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from service.client.errors import ClientError
from service.client.queries import Match

Json = dict[str, Any]
MODES = ("taken", "explicit")
"""`taken`: a match counts as dealt with when the next one is asked for; `explicit`:
when `Watching.ack` says so."""
_PAUSE = 0.2
"""Seconds in which acknowledgements of a stream become one."""
_AWAY = (ClientError, aiohttp.ClientError, OSError, TimeoutError)


def attach_message(stream: str, known: str, credit: int | None) -> Json:
    """What asks for a persistent stream."""
    message = {"type": "attach", "stream": stream, "id": known}
    return message if credit is None else message | {"credit": credit}


@dataclass
class Known:
    """A persistent stream as the service told of it last."""

    stream: str
    id: str
    credit: int | None
    definition: Json
    token: str
    """Everything up to here was dealt with."""

    def attach(self, *, unfenced: bool = False) -> Json:
        """What takes it over again, without its home where that is away."""
        message = attach_message(self.stream, self.id, self.credit)
        if not unfenced:
            return message
        more = {"unfenced": True, "token": self.token, "definition": self.definition}
        return message | more


class Acks:
    """Acknowledgements of one `Watching`, sent by `tell` a few times a second."""

    def __init__(self, mode: str, tell: Callable[[Json], Awaitable[None]]) -> None:
        if mode not in MODES:
            raise ValueError(f"acks is {mode!r}; allowed: {', '.join(MODES)}")
        self._mode = mode
        self._tell = tell
        self._known: dict[str, Known] = {}
        self._due: set[str] = set()
        self._sending: asyncio.Task[None] | None = None
        self.acked: dict[str, str] = {}

    @property
    def ids(self) -> dict[str, str]:
        """By stream."""
        return {name: known.id for name, known in self._known.items()}

    def known(self, stream: str) -> Known | None:
        """A persistent stream that was attached before."""
        return self._known.get(stream)

    def attached(self, message: Json, token: str, credit: int | None) -> None:
        """The service owns a stream for us, from a token on."""
        stream = message["stream"]
        before = self._known.get(stream)
        known = Known(stream, message["id"], credit, message["definition"], token)
        if before is not None:
            # What was dealt with meanwhile is said again: it may not have come.
            known.token = before.token
            self._due.add(stream)
            self._send_soon()
        self._known[stream] = known

    def kept(self, message: Json) -> None:
        """The service says what is kept."""
        self.acked[message["stream"]] = message["token"]
        known = self._known.get(message["stream"])
        if known is not None and message["stream"] not in self._due:
            known.token = message["token"]

    def taken(self, match: Match) -> None:
        """The application asked for what comes after a match."""
        if self._mode == "taken" and self._note(match):
            self._send_soon()

    async def ack(self, match: Match) -> None:
        """The application dealt with a match; raises ValueError for another stream."""
        if not self._note(match):
            raise ValueError(f"{match.stream!r} is no persistent stream")
        await self._send()

    async def close(self) -> None:
        """Says what is left to say, if there is a connection."""
        if self._sending is not None:
            self._sending.cancel()
        await self._send()

    def _note(self, match: Match) -> bool:
        known = self._known.get(match.stream)
        if known is None:
            return False
        known.token = match.token
        self._due.add(match.stream)
        return True

    def _send_soon(self) -> None:
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._later())

    async def _later(self) -> None:
        await asyncio.sleep(_PAUSE)
        await self._send()

    async def _send(self) -> None:
        for stream in list(self._due):
            token = self._known[stream].token
            with contextlib.suppress(*_AWAY):
                await self._tell({"type": "ack", "stream": stream, "token": token})
                # Another one may have come while this one was sent.
                if self._known[stream].token == token:
                    self._due.discard(stream)
