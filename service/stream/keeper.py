"""Owns persistent streams for the connections of an instance.

Once a second, and only while there are any, what changed goes to each home: what was
acknowledged, renewals of ownership, what was learned. A home that names another owner
ends the stream here; one that does not answer does so after OWNER_SECONDS.
"""

import asyncio
import time
from collections.abc import Awaitable, Iterable
from typing import Any, Protocol

import orjson

from service.contract import ServiceError
from service.log.change import Positions
from service.log.streams import Row
from service.stream.homes import Homes, away
from service.stream.kept import Kept, home_of
from service.stream.standing import Stream
from service.stream.token import write_token
from service.telemetry import log

EVERY = 1.0
"""Least seconds between two acknowledgements of a stream that its home hears of."""
RENEW_SECONDS = 10.0
OWNER_SECONDS = 30.0
"""An owner whose home has not answered for so long owns nothing any more."""
_BATCH = 500
"""Streams of one question."""
_TRIES = 3
_COUNTED_SECONDS = 5.0


class Owner(Protocol):
    """The connection of a persistent stream."""

    def attached(self, stream: Stream) -> None:
        """The home knows this owner."""
        ...

    def acked(self, stream: Stream, token: str) -> None:
        """The home has an acknowledged position."""
        ...

    def lost(self, stream: Stream, code: str, reason: str) -> None:
        """The stream is not ours any more."""
        ...

    def reached(self, stream: Stream) -> Positions:
        """Positions before which nothing is untold."""
        ...


class Keeper:
    """The persistent streams that this instance owns."""

    def __init__(self, homes: Homes) -> None:
        self.homes = homes
        self._held: dict[str, tuple[Stream, Kept, Owner]] = {}
        self._running: asyncio.Task[None] | None = None
        self._turns: dict[str, asyncio.Task[None]] = {}
        self._work: set[asyncio.Task[None]] = set()
        self._counts: dict[str, tuple[float, int]] = {}

    async def close(self) -> None:
        """Tells the homes what they have not heard, for two seconds at most."""
        if self._running is not None:
            self._running.cancel()
        turns = [self._turn(home) for home in self._homes()]
        if turns:
            await asyncio.wait([asyncio.create_task(t) for t in turns], timeout=2)

    async def make(self, kept: Kept, token: str, most: int | None) -> int:
        """Stores a new stream unless `most` are there; how many were.

        Raises ServiceError `home_away`.
        """
        stored = kept.stored
        params: list[Any] = [kept.id, kept.tenant, kept.home, _text(kept)]
        params += [stored.definition_version, kept.owner, stored.lease_seconds]
        (row,) = await self.homes.ask(kept.home, "make", [*params, token, most])
        self._counts.pop(kept.tenant, None)
        kept.epoch, kept.saved = int(row["made"]), dict(kept.acked)
        kept.defined = stored.definition_version
        return int(row["held"])

    async def count(self, tenant: str) -> int:
        """Streams of a tenant that this region's hub keeps, some seconds ago."""
        until, count = self._counts.get(tenant, (0.0, 0))
        if until < time.monotonic():
            count = await self.homes.count(tenant)
            self._counts[tenant] = (time.monotonic() + _COUNTED_SECONDS, count)
        return count

    async def take(self, tenant: str, stream: str, owner: str) -> Row:
        """Makes `owner` the owner; the stream as its home has it.

        Raises ServiceError `not_found` and `home_away`.
        """
        home = self.home(stream)
        held = self._held.get(stream)
        if held is not None and held[1].owner != owner and not held[1].unfenced:
            # Its connection is here: what it acknowledged shall count.
            await self._turn(home)
        for _ in range(_TRIES):
            looked = await self.homes.ask(home, "look", [stream, tenant])
            if not looked:
                raise _not_found(stream)
            params = [stream, tenant, owner, looked[0]["epoch"]]
            taken = await self.homes.ask(home, "take", params)
            if taken:
                return taken[0]
        raise away(home, "others attach to it all the time")

    def hold(self, stream: Stream, kept: Kept, owner: Owner) -> None:
        """Renews it from here on; who had it on this instance loses it."""
        before = self._held.get(kept.id)
        self._held[kept.id] = (stream, kept, owner)
        if before is not None and not before[1].released:
            before[2].lost(before[0], *_fenced(kept.id))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())

    def release(self, kept: Kept) -> None:
        """Its connection is gone: its home hears the last of it at once."""
        if self._is_held(kept):
            kept.released = True
            self._spawn(self._turn(kept.home))

    def discard(self, kept: Kept) -> None:
        """Its collection is gone: it is forgotten."""

        async def drop() -> None:
            try:
                await self.drop(kept.tenant, kept.id, kept.owner)
            except ServiceError as error:
                log("WARNING", "a stream stays until its lease ends", error=error.code)

        self.let_go(kept)
        self._spawn(drop())

    def let_go(self, kept: Kept) -> None:
        """Renews it no longer."""
        if self._is_held(kept):
            del self._held[kept.id]

    async def drop(self, tenant: str, stream: str, owner: str | None = None) -> None:
        """Forgets a stream, where an owner is named only if it is that one's.

        Raises ServiceError `not_found` and `home_away`.
        """
        home = self.home(stream)
        if not await self.homes.ask(home, "drop", [stream, tenant, owner]):
            raise _not_found(stream)

    def home(self, stream: str) -> str:
        """Hub that keeps a stream; raises ServiceError `not_found` for none of ours."""
        home = home_of(stream)
        if home not in self.homes.every:
            raise _not_found(stream)
        return home

    async def save(self, kept: Kept) -> None:
        """Stores what a stream learned; while its home is away that is due."""
        try:
            await self._define(kept)
        except ServiceError as error:
            log("WARNING", "a definition waits", error=error.code, home=kept.home)

    def _is_held(self, kept: Kept) -> bool:
        return kept.id in self._held and self._held[kept.id][1] is kept

    def _homes(self) -> set[str]:
        return {kept.home for _, kept, _ in self._held.values()}

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _run(self) -> None:
        while self._held:
            await asyncio.sleep(EVERY)
            for home in self._homes():
                # A home that takes its time does not hold up the others.
                running = self._turns.get(home)
                if running is None or running.done():
                    self._turns[home] = asyncio.create_task(self._turn(home))

    async def _turn(self, home: str) -> None:
        """Tells a home what it has not heard."""
        held = [entry for entry in self._held.values() if entry[1].home == home]
        try:
            for stream, kept, owner in held:
                if kept.unfenced and not kept.released:
                    await self._fence(stream, kept, owner)
                if kept.defined < kept.stored.definition_version:
                    await self._define(kept)
            due = [entry for entry in held if self._due(*entry)]
            for start in range(0, len(due), _BATCH):
                await self._keep(home, due[start : start + _BATCH])
        except ServiceError as error:
            log("WARNING", "streams are not renewed", home=home, error=error.code)
        for stream, kept, owner in held:
            if not self._is_held(kept):
                continue
            if kept.released and (kept.unfenced or kept.saved == kept.acked):
                self.let_go(kept)
            elif time.monotonic() - kept.renewed > OWNER_SECONDS:
                self._give_up(stream, kept, owner)

    def _due(self, stream: Stream, kept: Kept, owner: Owner) -> bool:
        if kept.unfenced or not self._is_held(kept):
            return False
        if time.monotonic() - kept.renewed >= RENEW_SECONDS and not kept.released:
            # Nothing is open: it moves on, or a quiet stream fell out of the log.
            if kept.quiet:
                kept.acknowledge(owner.reached(stream))
            return True
        return kept.acked != kept.saved

    def _give_up(self, stream: Stream, kept: Kept, owner: Owner) -> None:
        # An unfenced one owns nothing that it could lose.
        if kept.unfenced:
            return
        self.let_go(kept)
        if not kept.released:
            reason = f"its home hub {kept.home} has not answered for {OWNER_SECONDS} s"
            owner.lost(stream, "home_away", reason)

    async def _fence(self, stream: Stream, kept: Kept, owner: Owner) -> None:
        try:
            row = await self.take(kept.tenant, kept.id, kept.owner)
        except ServiceError as error:
            if error.code != "not_found":
                raise
            self.let_go(kept)
            owner.lost(stream, error.code, error.message)
            return
        kept.epoch, kept.renewed = row["epoch"], time.monotonic()
        owner.attached(stream)

    async def _define(self, kept: Kept) -> None:
        version = kept.stored.definition_version
        params = [kept.id, kept.owner, _text(kept), version]
        if not kept.unfenced:
            await self.homes.ask(kept.home, "define", params)
            kept.defined = version

    async def _keep(self, home: str, due: Iterable[tuple[Stream, Kept, Owner]]) -> None:
        asked, sent = time.monotonic(), {}
        for stream, kept, owner in due:
            kept.turn += 1
            token = None
            if kept.acked != kept.saved:
                version = kept.stored.definition_version
                token = write_token(stream.lane, kept.acked, version)
            sent[kept.id] = (stream, kept, owner, token, dict(kept.acked))
        params = [list(sent), [e[1].owner for e in sent.values()]]
        turns = [e[1].turn for e in sent.values()]
        tokens = [e[3] for e in sent.values()]
        for row in await self.homes.ask(home, "keep", [*params, turns, tokens]):
            stream, kept, owner, token, acked = sent[row["id"]]
            if not self._is_held(kept):
                continue
            if row["kept"]:
                kept.renewed, kept.saved = asked, acked
                if token is not None and not kept.released:
                    owner.acked(stream, token)
                continue
            self.let_go(kept)
            if not kept.released:
                gone = row["epoch"] is None
                owner.lost(stream, *(_gone(kept.id) if gone else _fenced(kept.id)))


def _text(kept: Kept) -> str:
    return orjson.dumps(kept.stored.shown()).decode()


def _fenced(stream: str) -> tuple[str, str]:
    return "fenced", f"{stream} was attached elsewhere, this connection is too old"


def _gone(stream: str) -> tuple[str, str]:
    return "not_found", f"{stream} was dropped, or its lease ended"


def _not_found(stream: str) -> ServiceError:
    return ServiceError(
        "not_found",
        f"There is no persistent stream {stream!r}: it was dropped, or nobody had it "
        "for the length of its lease; watch with `persistent` for another.",
    )
