"""Long connections whose messages a task sends: tasks that end together."""

import asyncio
from collections.abc import Awaitable

from service.stream.session import Session
from service.telemetry import log


async def run(session: Session, *work: Awaitable[None]) -> None:
    """Runs until one of the works ends, then ends the others and the session."""
    session.open()
    tasks = [asyncio.ensure_future(w) for w in work]
    session.carried(tasks[0])
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        session.close()
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                log("ERROR", "connection failed", error=type(ended).__name__)
