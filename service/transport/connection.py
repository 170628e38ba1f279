"""What every long connection has: heartbeats, an age, tasks that end together."""

import asyncio
import random
import time
from collections.abc import Awaitable

from service.stream.outbox import GRACE
from service.stream.session import Session
from service.telemetry import log

HEARTBEAT = 15.0
"""Seconds between heartbeats."""
_GOAWAY_SECONDS = (50 * 60.0, 58 * 60.0)
"""Age at which a connection is told to go: Cloud Run cuts at an hour (gcp.md 1.1)."""


async def keep_time(session: Session) -> None:
    """Heartbeats until the connection is old, then `goaway`."""
    leave = time.monotonic() + random.uniform(*_GOAWAY_SECONDS)
    while time.monotonic() < leave:
        await asyncio.sleep(HEARTBEAT)
        session.heartbeat()
    session.go_away("age")
    await asyncio.sleep(GRACE)


async def run(session: Session, *work: Awaitable[None]) -> None:
    """Runs until one of the works ends, then ends the others and the session."""
    session.open()
    tasks = [asyncio.ensure_future(w) for w in (*work, keep_time(session))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        session.close()
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                log("ERROR", "connection failed", error=type(ended).__name__)
