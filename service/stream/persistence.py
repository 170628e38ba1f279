"""What a connection does for its persistent streams: it is their `Owner`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from service.contract import ServiceError
from service.contract.messages import Ack
from service.log.change import Positions
from service.stream.keeper import Keeper
from service.stream.kept import Kept
from service.stream.learner import Learner
from service.stream.standing import Stream
from service.stream.token import read_token

if TYPE_CHECKING:
    from service.stream.session import Session

_MOST_LOST = 1000
"""Streams whose end a connection remembers, so that their acks are told why."""


class Persistence:
    """Persistent streams of one session; ephemeral ones pass through untouched."""

    def __init__(self, session: "Session", keeper: Keeper, learner: Learner) -> None:
        self._session = session
        self._keeper = keeper
        self._learner = learner
        self._lost: dict[str, tuple[str, str]] = {}

    def begun(self, stream: Stream, kept: Kept) -> None:
        """A stream runs here that is kept."""
        self._lost.pop(stream.id, None)
        self.attached(stream)
        self._keeper.hold(stream, kept, self)

    def attached(self, stream: Stream) -> None:
        """Says by which id it goes on, and who owns it."""
        kept = stream.kept
        assert kept is not None
        self._session.queue(
            {
                "type": "attached",
                "stream": stream.id,
                "id": kept.id,
                "home": kept.home,
                "epoch": kept.epoch,
                "unfenced": kept.unfenced,
                "lease_seconds": kept.stored.lease_seconds,
                "definition_version": stream.definition_version,
                "definition": kept.stored.shown(),
            }
        )

    def ack(self, stream: Stream, message: Ack) -> None:
        """Takes an acknowledgement; raises ServiceError `fenced` for an old owner's."""
        kept = stream.kept
        if kept is None:
            raise ServiceError(
                "bad_request",
                f"{stream.id!r} is not persistent: its token resumes it, and nothing "
                "is kept that could be acknowledged.",
            )
        # What was delivered unfenced carries 0: it was delivered by this owner.
        if message.epoch and message.epoch != kept.epoch:
            raise ServiceError(
                "fenced",
                f"{kept.id} has the epoch {kept.epoch}, the acknowledgement carries "
                f"{message.epoch}: the delivery was a former owner's and comes again.",
                details={"given": message.epoch, "allowed": kept.epoch},
            )
        kept.acknowledge(read_token(message.token, stream.lane).positions)

    def acked(self, stream: Stream, token: str) -> None:
        """Says what is kept."""
        self._session.queue({"type": "acked", "stream": stream.id, "token": token})

    def lost(self, stream: Stream, code: str, reason: str) -> None:
        """The stream stops: its home does not call this its owner any more."""
        if self._session.streams.get(stream.id) is not stream:
            return
        self._session.remove(stream)
        if len(self._lost) < _MOST_LOST:
            self._lost[stream.id] = (code, reason)
        told = {"type": "dropped", "stream": stream.id}
        self._session.queue(told | {"reason": reason, "code": code})

    def refuse_lost(self, name: str) -> None:
        """Raises ServiceError with why a stream of this name is not here any more."""
        if name in self._lost:
            code, reason = self._lost[name]
            raise ServiceError(code, f"{name!r} ended here: {reason}.")

    def reached(self, stream: Stream) -> Positions:
        """Positions before which nothing is untold."""
        return read_token(self._session.token(stream), stream.lane).positions

    async def learned(self, stream: Stream) -> None:
        """Stores what a stream looks for now."""
        if stream.kept is not None:
            stream.kept.stored = self._learner.stored(stream, stream.kept.stored)
            await self._keeper.save(stream.kept)

    async def drop(self, stream: Stream) -> None:
        """Forgets what is kept of it; raises ServiceError `home_away`."""
        kept = stream.kept
        if kept is None:
            return
        owner = None if kept.unfenced else kept.owner
        try:
            await self._keeper.drop(kept.tenant, kept.id, owner)
        except ServiceError as error:
            # Gone already, or another's: then it ends here and goes on there.
            if error.code != "not_found":
                raise
        self._keeper.let_go(kept)

    def release(self, streams: Iterable[Stream]) -> None:
        """The connection is gone."""
        for stream in streams:
            if stream.kept is not None:
                self._keeper.release(stream.kept)
