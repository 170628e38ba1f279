"""A Pub/Sub broker with Google's REST: durable, at least once, long pulls.

A published message and its deliveries are on disk before the answer; an acknowledgement
may be lost with the process,
and then the message comes again, as Pub/Sub allows.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from localcloud.control import envelope
from localcloud.control.forms import misfit
from localcloud.control.store import Json, Store

API = "pubsub.googleapis.com"
TOPIC, SUBSCRIPTION = "gcp:pubsub/topic:Topic", "gcp:pubsub/subscription:Subscription"
PULL_WAIT_SECONDS = 25.0
MAX_PULL = 1000
DEFAULT_DEADLINE_SECONDS = 10
FLUSH_SECONDS = 0.2
SCHEMA = """
CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY, topic TEXT, body TEXT);
CREATE TABLE IF NOT EXISTS delivery (subscription TEXT, message INTEGER,
  PRIMARY KEY (subscription, message)) WITHOUT ROWID;
"""
CLAUSE = re.compile(
    r'\s*(NOT\s+|-)?attributes(?:\.(\w+)\s*(!?=)\s*"([^"]*)"|:(\w+))\s*'
)


@dataclass
class Queue:
    """What one subscription still has to deliver."""

    waiting: deque[int] = field(default_factory=deque)
    leased: dict[int, float] = field(default_factory=dict)
    """Message -> when its lease ends (monotonic seconds)."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)


class Broker:
    """Topics and subscriptions are declared resources; this holds their messages."""

    def __init__(self, store: Store, file: Path) -> None:
        self._store = store
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(SCHEMA)
        self._queues: defaultdict[str, Queue] = defaultdict(Queue)
        self._bodies: dict[int, Json] = {}
        self._pending: defaultdict[int, int] = defaultdict(int)
        self._acked: list[tuple[str, int]] = []
        self._by_topic: dict[str, list[Json]] = {}
        self._next = 1
        self._load()

    def _load(self) -> None:
        for number, body in self._db.execute("SELECT id, body FROM message"):
            self._bodies[number] = json.loads(body)
            self._next = max(self._next, number + 1)
        for name, number in self._db.execute(
            "SELECT subscription, message FROM delivery ORDER BY message"
        ):
            if number in self._bodies:
                self._queues[name].waiting.append(number)
                self._pending[number] += 1

    def subscriptions_changed(self) -> None:
        """Read the declared subscriptions again."""
        found: dict[str, list[Json]] = defaultdict(list)
        for row in self._store.all(SUBSCRIPTION):
            found[row.body["topic"]].append(row.body)
        self._by_topic = dict(found)
        known = {s["name"] for group in found.values() for s in group}
        for name in set(self._queues) - known:
            del self._queues[name]
            self._db.execute("DELETE FROM delivery WHERE subscription=?", (name,))

    async def publish(self, request: web.Request) -> web.Response:
        topic = request.match_info["topic"]
        row = self._store.get(API, f"v1/{topic}")
        if not row:
            return _error(404, "NOT_FOUND", f"Resource not found (resource={topic}).")
        messages = (await request.json()).get("messages") or []
        if not messages:
            return _error(400, "INVALID_ARGUMENT", "messages: at least one is needed")
        if why := misfit(self._store, API, row.body, messages):
            return _error(400, "INVALID_ARGUMENT", why)
        return web.json_response({"messageIds": self._accept(topic, messages)})

    def _accept(self, topic: str, messages: list[Json]) -> list[str]:
        numbers, deliveries = [], []
        published = envelope.now()
        self._db.execute("BEGIN")
        for message in messages:
            number, self._next = self._next, self._next + 1
            body = {**message, "messageId": str(number), "publishTime": published}
            row = (number, topic, json.dumps(body))
            self._db.execute("INSERT INTO message VALUES (?,?,?)", row)
            self._bodies[number] = body
            numbers.append(str(number))
            for subscription in self._by_topic.get(topic, ()):
                if matches(subscription.get("filter", ""), message.get("attributes")):
                    deliveries.append((subscription["name"], number))
        self._db.executemany("INSERT INTO delivery VALUES (?,?)", deliveries)
        self._db.execute("COMMIT")
        for name, number in deliveries:
            queue = self._queues[name]
            queue.waiting.append(number)
            queue.arrived.set()
            self._pending[number] += 1
        return numbers

    async def pull(self, request: web.Request) -> web.Response:
        name = request.match_info["subscription"]
        row = self._store.get(API, f"v1/{name}")
        if not row:
            return _error(404, "NOT_FOUND", f"Resource not found (resource={name}).")
        body = await request.json()
        most = min(int(body.get("maxMessages", 1)), MAX_PULL)
        deadline = row.body.get("ackDeadlineSeconds") or DEFAULT_DEADLINE_SECONDS
        until = time.monotonic() + (
            0 if body.get("returnImmediately") else PULL_WAIT_SECONDS
        )
        taken = await self._take(self._queues[name], most, until, deadline)
        received = [{"ackId": f"{name}@{n}", "message": self._bodies[n]} for n in taken]
        return web.json_response({"receivedMessages": received} if received else {})

    async def _take(
        self, queue: Queue, most: int, until: float, lease: float
    ) -> list[int]:
        while True:
            self._expire(queue)
            if queue.waiting:
                count = min(most, len(queue.waiting))
                taken = [queue.waiting.popleft() for _ in range(count)]
                ends = time.monotonic() + lease
                queue.leased.update((number, ends) for number in taken)
                return taken
            left = until - time.monotonic()
            if left <= 0:
                return []
            queue.arrived.clear()
            try:
                await asyncio.wait_for(queue.arrived.wait(), min(left, 1.0))
            except TimeoutError:
                continue

    def _expire(self, queue: Queue) -> None:
        now = time.monotonic()
        late = [number for number, ends in queue.leased.items() if ends < now]
        for number in late:
            del queue.leased[number]
        queue.waiting.extendleft(reversed(late))

    async def acknowledge(self, request: web.Request) -> web.Response:
        name = request.match_info["subscription"]
        queue = self._queues[name]
        for ack in (await request.json()).get("ackIds", ()):
            number = int(ack.rsplit("@", 1)[-1])
            if queue.leased.pop(number, None) is not None:
                self._acked.append((name, number))
        return web.json_response({})

    async def modify_deadline(self, request: web.Request) -> web.Response:
        queue = self._queues[request.match_info["subscription"]]
        body = await request.json()
        ends = time.monotonic() + float(body.get("ackDeadlineSeconds", 0))
        for ack in body.get("ackIds", ()):
            number = int(ack.rsplit("@", 1)[-1])
            if number in queue.leased:
                queue.leased[number] = ends
        queue.arrived.set()
        return web.json_response({})

    async def flush_forever(self) -> None:
        """Write acknowledgements in batches, and drop what nobody waits for."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self.flush()

    def flush(self) -> None:
        acked, self._acked = self._acked, []
        if not acked and not self._bodies:
            return
        for _, number in acked:
            self._pending[number] -= 1
        finished = [n for n in self._bodies if self._pending.get(n, 0) <= 0]
        if not acked and not finished:
            return
        self._db.execute("BEGIN")
        sql = "DELETE FROM delivery WHERE subscription=? AND message=?"
        self._db.executemany(sql, acked)
        self._db.executemany("DELETE FROM message WHERE id=?", [(n,) for n in finished])
        self._db.execute("COMMIT")
        for number in finished:
            del self._bodies[number]
            self._pending.pop(number, None)

    def backlog(self) -> dict[str, int]:
        """Subscription -> messages not acknowledged yet."""
        return {n: len(q.waiting) + len(q.leased) for n, q in self._queues.items()}


def matches(expression: str, attributes: Json | None) -> bool:
    """Whether attributes satisfy a subscription's filter (a conjunction of attribute
    tests).
    """
    have = attributes or {}
    for clause in filter(None, expression.split(" AND ")):
        found = CLAUSE.fullmatch(clause)
        if not found:
            raise ValueError(
                f'filter {clause!r}: this broker knows `attributes.key = "value"`, '
                "`!=`, `attributes:key`, joined by AND"
            )
        negated, key, operator, value, present = found.groups()
        holds = (
            present in have
            if present
            else (have.get(key) == value) == (operator == "=")
        )
        if holds == bool(negated):
            return False
    return True


def _error(code: int, status: str, message: str) -> web.Response:
    return web.json_response(envelope.ApiError(code, status, message).body, status=code)
