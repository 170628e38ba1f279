"""What the graphs of an instance share: a thread of low priority, and memory."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from service.telemetry import Metrics

_SHARE = 4
"""Part of the process's memory that graphs may take where nothing else is set."""
_BESIDE = 200
"""Bytes of a row in a graph beside its components, one byte each (docs/adr/0018)."""
_BEGIN, _TIGHT = 0.75, 0.9
"""Of the limit: no graph is begun that goes above the one, all end above the other.
The plan gives all that a collection leaves to standing queries; a graph borrows it."""
_NICE = 10


def memory_limit() -> int:
    """Bytes that this process may take: its container's limit, else the machine's."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            with open(f"/sys/fs/cgroup/{name}") as file:
                return min(machine, int(file.read()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return machine


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Guides:
    """Thread and memory for the graphs of all collections."""

    def __init__(
        self,
        metrics: Metrics,
        mode: str = "auto",
        mebibytes: int = 0,
        limit: int | None = None,
    ) -> None:
        """mode: `auto`, `off` or `always`. mebibytes: most of all graphs; 0: a
        quarter of `limit`. limit: bytes of this process; None: `memory_limit`."""
        self.metrics = metrics
        self.mode = mode
        self._limit = memory_limit() if limit is None else limit
        self._most = mebibytes * 2**20 or self._limit // _SHARE
        self._taken = 0
        self._pool: ThreadPoolExecutor | None = None

    def take(self, rows: int, dimension: int) -> int:
        """Sets bytes aside for so many rows and returns them; 0: there is no room."""
        wanted = rows * (dimension + _BESIDE)
        if self._taken + wanted > self._most:
            return 0
        if resident() + wanted > _BEGIN * self._limit:
            return 0
        self._taken += wanted
        return wanted

    @property
    def tight(self) -> bool:
        """Whether standing queries and items need what graphs take."""
        return resident() > _TIGHT * self._limit

    def give_back(self, taken: int) -> None:
        """The bytes of a graph that is gone."""
        self._taken -= taken

    async def run(self, work: Callable[[], object]) -> float:
        """CPU seconds of `work`, done in the thread."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "graph", _yielding)
        loop = asyncio.get_running_loop()
        seconds = await loop.run_in_executor(self._pool, _timed, work)
        self.metrics.graph_seconds.inc(seconds)
        return seconds

    def close(self) -> None:
        """Takes no more work."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _timed(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def _yielding() -> None:
    """This thread runs when nothing else wants to; Linux knows nice by thread."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
