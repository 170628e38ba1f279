"""Compares this hub's state with other hubs' and takes what it lacks (ADR 0017).

The log carries changes as long as origins keep them. What a hub missed for longer, or
for any other reason, comes from here: a round with another hub compares sums of both
states, then keys where sums differ, and fetches rows that are missing or older.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from service.log.change import Position
from service.log.state import (
    MOST_BUCKETS,
    MOST_KEYS,
    Key,
    Row,
    Span,
    State,
    Sums,
    hybrid,
)
from service.stream.mail import GONE
from service.telemetry import Metrics, log

Ask = Callable[[str, str, list[Any], float], Awaitable[list[Row]]]
"""Hub, question, parameters and patience (s) to rows, as `Mail.ask`."""
_PATIENCE = 150.0
"""Seconds an answer may take: the other hub may read its whole table for it."""
_POLL = 0.5
_SETTLED = 0.1
"""Share of the interval that a change may be on its way before it is missed."""
_DEMANDED = 0.1
"""Share of the interval between two rounds with a hub that something asks for."""
AWAY = (*GONE, asyncpg.InterfaceError, asyncpg.PostgresError)


class Reconciler:
    """Rounds with every other hub in turn, one at a time."""

    def __init__(
        self,
        state: State,
        ask: Ask,
        metrics: Metrics,
        interval: float,
        stuck: Callable[[str], set[int]],
        skipped: Callable[[str, list[int]], Awaitable[None]],
    ) -> None:
        self._state = state
        self._ask = ask
        self._metrics = metrics
        self._interval = interval
        """Seconds between two rounds with a hub."""
        self._stuck = stuck
        """Lanes of a hub whose log does not go on: its round comes at once."""
        self._skipped = skipped
        """Told of the lanes of a hub that were moved on."""
        self._due: dict[str, float] = {}
        self._soonest: dict[str, float] = {}
        self._compared: dict[str, int] = {}
        self._began = time.time()

    async def run(self) -> None:
        """Compares until cancelled."""
        await self._begin()
        while True:
            for hub in self._state.others:
                if self._is_due(hub):
                    await self._try(hub)
            await asyncio.sleep(_POLL)

    async def _begin(self) -> None:
        """A hub that was never compared with comes at once, others spread out."""
        while True:
            try:
                self._compared = await self._state.compared()
                break
            except AWAY as error:
                log("WARNING", "database away", error=type(error).__name__)
                await asyncio.sleep(0.5)
        now = time.monotonic()
        for hub in self._state.others:
            new = not self._compared.get(hub)
            wait = 0.0 if new else random.uniform(0, self._interval)
            self._due[hub], self._soonest[hub] = now + wait, now

    def _is_due(self, hub: str) -> bool:
        now = time.monotonic()
        return now >= self._due[hub] or (
            now >= self._soonest[hub] and bool(self._stuck(hub))
        )

    async def _try(self, hub: str) -> None:
        outcome, pause = "away", self._interval * _DEMANDED
        try:
            await self.round(hub)
            outcome = "complete"
            pause = self._interval * random.uniform(0.9, 1.1)
        except AWAY as error:
            log("WARNING", "round ended early", peer=hub, error=repr(error))
        except (KeyError, ValueError, TypeError, IndexError) as error:
            log("ERROR", "answer not understood", peer=hub, error=repr(error))
            outcome = "not understood"
        self._metrics.digest_rounds.labels(hub, outcome).inc()
        now = time.monotonic()
        self._due[hub] = now + pause
        self._soonest[hub] = now + self._interval * _DEMANDED

    async def round(self, hub: str) -> int:
        """Takes all that another hub has and this one lacks; returns how many rows.

        Raises one of `AWAY`: what was taken by then stays, the next round goes on.
        """
        until = hybrid(time.time() - self._interval * _SETTLED)
        floor = await self._state.floor()
        asked = [self._state.hub, self._compared.get(hub, 0), floor, until]
        (found,) = await self._ask(hub, "state.digest", asked, _PATIENCE)
        await self._begin_epochs(hub, found["applied"])
        rows = await self._collections(hub, found["collections"], until)
        span = Span(found["floor"], until)
        mine = await self._state.sums(span)
        buckets = _differing(found["sums"], mine)
        # Where this hub has nothing there is nothing to compare.
        rows += await self._items(hub, [b for b in buckets if b not in mine], [], span)
        rows += await self._within(hub, [b for b in buckets if b in mine], span)
        await self._state.finish(hub, until)
        self._compared[hub] = until
        self._metrics.digest_buckets.labels(hub).inc(len(buckets))
        await self._skip(hub, found["oldest"])
        if rows or buckets:
            log("INFO", "repaired", peer=hub, buckets=len(buckets), rows=rows)
        return rows

    async def _begin_epochs(self, hub: str, applied: list[list[int]]) -> None:
        lanes = await self._state.begin_epochs(_positions(applied))
        if lanes:
            # What was written since under numbers that the other hubs know with other
            # changes comes to them by their own rounds.
            log("WARNING", "own log was lost, new epochs", peer=hub, lanes=lanes)

    async def _collections(
        self, hub: str, sums: dict[str, list[int]], until: int
    ) -> int:
        """Creations and drops come first: they say which items count."""
        mine = await self._state.collection_sums(until)
        taken = 0
        for kind in ("dropped", "created"):
            after: list[Any] = ["", "", 0, ""]
            while sums[kind] != mine[kind]:
                asked = [kind, after]
                rows = await self._ask(hub, "state.collections", asked, _PATIENCE)
                if not rows:
                    break
                taken += await self._merged(hub, self._state.merge_collections, rows)
                last = rows[-1]
                after = [last["tenant"], last["name"], last["at"], last["origin"]]
        return taken

    async def _within(self, hub: str, coarse: list[int], span: Span) -> int:
        """Coarse buckets that differ: keys are fetched of the fine ones that do.

        An item that is written over between the two hubs' readings makes a bucket
        differ for nothing: it must be a small one.
        """
        taken = 0
        for start in range(0, len(coarse), MOST_BUCKETS):
            part = coarse[start : start + MOST_BUCKETS]
            asked = [part, *span]
            (found,) = await self._ask(hub, "state.within", asked, _PATIENCE)
            mine = await self._state.sums(span, part)
            taken += await self._items(hub, [], _differing(found["sums"], mine), span)
        return taken

    async def _items(
        self, hub: str, coarse: list[int], fine: list[int], span: Span
    ) -> int:
        """Fetches what is missing or older in buckets; returns how many rows."""
        taken = 0
        after = ["", "", ""]
        while coarse or fine:
            asked = [coarse, fine, *span, after]
            answer = await self._ask(hub, "state.keys", asked, _PATIENCE)
            keys = [Key(*(row[name] for name in Key._fields)) for row in answer]
            if not keys:
                break
            wanted = await self._state.wanted(keys)
            while wanted:
                rows, wanted = await self._rows(hub, wanted)
                if rows:
                    merge = self._state.merge_items
                    taken += await self._merged(hub, merge, rows)
            after = [*keys[-1][:3]]
            if len(keys) < MOST_KEYS:
                break
        return taken

    async def _rows(self, hub: str, wanted: list[Key]) -> tuple[list[Row], list[Key]]:
        """Rows of the first keys, and the keys that did not fit into the answer."""
        asked = [[key[:3] for key in wanted]]
        rows = await self._ask(hub, "state.rows", asked, _PATIENCE)
        # Without a row they were swept meanwhile.
        return rows, wanted[max(row["n"] for row in rows) :] if rows else []

    async def _merged(
        self, hub: str, merge: Callable[[list[Row]], Awaitable[int]], rows: list[Row]
    ) -> int:
        taken = await merge(rows)
        self._metrics.digest_rows.labels(hub).inc(taken)
        return taken

    async def _skip(self, hub: str, oldest: list[list[int]]) -> None:
        """A log that does not go on begins again where the other hub's begins: the
        state has what was before."""
        stuck = self._stuck(hub)
        before = {
            lane: Position(first.epoch, first.seq - 1)
            for lane, first in _positions(oldest).items()
            if lane in stuck
        }
        lanes = await self._state.skip_lost(hub, before)
        if lanes:
            log("WARNING", "log goes on after a gap", peer=hub, lanes=lanes)
            await self._skipped(hub, lanes)

    def export(self) -> None:
        """Writes the age of the last complete rounds into the metrics."""
        now = time.time()
        for hub in self._state.others:
            self._metrics.digest_age.labels(hub).set(self._age(hub, now))

    def _age(self, hub: str, now: float) -> float:
        """Seconds since what was compared last with a hub, at Unix seconds.

        Without a round it counts from this worker's start: a hub that only asked is
        known, too, as compared at 0.
        """
        compared = self._compared.get(hub)
        since = compared / 1024 / 1000 if compared else self._began
        return max(0.0, now - since)


def _differing(theirs: list[list[int]], mine: Sums) -> list[int]:
    """Buckets where the other hub has rows and the sums are not the same."""
    return [b for b, count, hash_ in theirs if mine.get(b) != (count, hash_)]


def _positions(rows: list[list[int]]) -> dict[int, Position]:
    return {lane: Position(epoch, seq) for lane, epoch, seq in rows}
