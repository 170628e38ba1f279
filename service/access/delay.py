"""Measures how late the event loop is."""

import asyncio
import time

from service.access.overload import Overload

INTERVAL = 0.25
"""Seconds between two looks: an idle instance is woken four times a second."""


async def measure_loop(overload: Overload, interval: float = INTERVAL) -> None:
    """Feeds the loop's delay to `overload` until cancelled."""
    while True:
        due = time.monotonic() + interval
        await asyncio.sleep(interval)
        overload.loop_delay(max(0.0, time.monotonic() - due))
