"""How a server that became a hub's primary takes the hub's log over (ADR 0016).

It follows its own log like another hub's until its peers have published again what
they hold of it and it does not, and then begins an epoch. The other end, `recall`,
runs in every hub.
"""

import asyncio
import time

import asyncpg

from service.google import UNREACHABLE, Google
from service.log.change import START, Position
from service.log.database import GONE
from service.log.request import question_request
from service.settings import Settings
from service.telemetry import Metrics, log
from service.worker.inbox import Inbox

RECALL_SECONDS = 20.0
"""How long peers have to publish again what they hold; without writes meanwhile."""
_AGAIN = 2.0
"""Seconds until a peer that has not answered is asked again."""
_LOOK = 0.1
"""Seconds between two looks at what has arrived."""
_FAILURES = (*GONE, *UNREACHABLE, asyncpg.PostgresError)
Lanes = dict[int, Position]


class Succession:
    """Settles whether this hub's worker may lead its log."""

    def __init__(
        self,
        settings: Settings,
        google: Google,
        database: asyncpg.Pool,
        inbox: Inbox,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._google = google
        self._database = database
        self._inbox = inbox
        self._metrics = metrics
        self._had: Lanes = {}
        """How far this server's own copy of the log went."""
        self._peers = {hub for hub in settings.hubs if hub != settings.hub}

    async def settle(self, state: str) -> None:
        """Returns once the log is this worker's to publish; `state` as `migrate` has
        it. A fenced server never leads again: it is rebuilt as a replica."""
        while state == "fenced":
            log("ERROR", "fenced: another server leads this log", **self._name())
            await asyncio.sleep(30)
        if state == "succeeds" and await self._recall():
            await self._begin()
        self._inbox.lead()

    def _name(self) -> dict[str, str]:
        return {"origin": self._settings.hub, "region": self._settings.region}

    async def _recall(self) -> bool:
        """Waits until everything that peers hold is here, or their time is over.

        False: another worker has begun the epoch. While one takes over from another
        each hears of some messages only, and the database has what both applied.
        """
        log("WARNING", "succeeds: asks peers for what they hold", **self._name())
        self._had = here = await self._here()
        until = time.monotonic() + RECALL_SECONDS
        asked = 0.0
        while here and (missing := self._missing(here)):
            now = time.monotonic()
            if now >= until:
                log("ERROR", "peers not heard", peers=sorted(missing), **self._name())
                break
            if now - asked >= _AGAIN:
                asked = now
                await self._ask(missing, here)
            await asyncio.sleep(_LOOK)
            here = await self._here()
        return bool(here)

    async def _here(self) -> Lanes:
        """How far this server has its own log; nothing once an epoch was begun."""
        while True:
            try:
                rows = await self._database.fetch(
                    "SELECT lane, epoch, seq FROM applied WHERE origin = $1",
                    self._settings.hub,
                )
                break
            except _FAILURES as error:
                log("WARNING", "database away", error=type(error).__name__)
                await asyncio.sleep(0.5)
        here = {lane: Position(epoch, seq) for lane, epoch, seq in rows}
        self._inbox.applied(self._settings.hub, here)
        return here

    def _missing(self, here: Lanes) -> set[str]:
        """Peers that have not answered, or whose answer has not arrived whole."""
        answers = self._inbox.recalled
        return {
            peer
            for peer in self._peers
            if peer not in answers
            or any(here.get(n, START) < p for n, p in answers[peer].items())
        }

    async def _ask(self, peers: set[str], here: Lanes) -> None:
        after = [(lane, *position) for lane, position in here.items()]
        asked = {**self._name(), "after": after, "until": time.time() + _AGAIN}
        data = question_request("recall", asked)
        messages = [(data, {"origin": peer}) for peer in sorted(peers)]
        try:
            await self._google.publish(self._settings.topic_repairs, messages)
        except UNREACHABLE as error:
            log("WARNING", "recall waits", error=type(error).__name__)

    async def _begin(self) -> None:
        """Begins the epoch and reports it, unless another worker was first."""
        announced, broken = self._inbox.heads(self._settings.hub), False
        while True:
            try:
                epoch = await self._database.fetchval(
                    "SELECT begin_epoch($1, $2::smallint[], $3::integer[], "
                    "$4::bigint[])",
                    self._settings.hub,
                    list(announced),
                    [p.epoch for p in announced.values()],
                    [p.seq for p in announced.values()],
                )
                break
            except _FAILURES as error:
                log("WARNING", "epoch not begun", error=repr(error))
                broken = True
                await asyncio.sleep(0.5)
        if epoch is None and broken:
            # An attempt that broke may have begun it: told twice is better than never.
            epoch = await self._database.fetchval(
                "SELECT max(epoch) FROM head WHERE origin = $1", self._settings.hub
            )
        if epoch is not None:
            await self._report(epoch)

    async def _report(self, epoch: int) -> None:
        """Says where the epoch before ended, lane by lane, and what is lost of it."""
        rows = await self._database.fetch(
            "SELECT lane, ended_epoch, ended_seq, announced_epoch, announced_seq "
            "FROM succession WHERE origin = $1 AND epoch = $2 ORDER BY lane",
            self._settings.hub,
            epoch,
        )
        ends = [tuple(row)[:3] for row in rows if row[2]]
        recalled = sum(end - self._had[lane].seq for lane, _, end, *_ in rows)
        lost = [
            (lane, e, (end if e == ended else 0) + 1, announced)
            for lane, ended, end, e, announced in rows
            if (e, announced) > (ended, end)
        ]
        count = sum(last - first + 1 for _, _, first, last in lost)
        self._metrics.lost_changes.set(count)
        log(
            "WARNING",
            "epoch begun",
            epoch=epoch,
            ended=ends,
            recalled_changes=recalled,
            lost_ranges=lost,
            lost_changes=count,
            **self._name(),
        )
