"""How a served program waits for its outputs, without an engine."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from pulumi.runtime.settings import SETTINGS

from ops import program

Future = asyncio.Future[None]
T = TypeVar("T")


def done(work: Coroutine[Any, Any, T]) -> T:
    """Runs it in a loop of its own.

    `asyncio.run` would leave the thread without one, and the recordings of programs in
    the same process need theirs.
    """
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


@pytest.fixture
def outputs() -> Iterator[set[Future]]:
    """The SDK's outputs, as a program's would be there."""
    SETTINGS.rpc_manager.clear()
    SETTINGS.outputs.clear()
    yield SETTINGS.outputs  # type: ignore[misc]
    SETTINGS.outputs.clear()
    SETTINGS.rpc_manager.clear()


def test_it_waits_for_outputs_that_come_while_it_waits(outputs: set[Future]) -> None:
    async def run() -> list[bool]:
        first, second = Future(), Future()
        outputs.add(first)
        waiting = asyncio.ensure_future(program.settled())
        await asyncio.sleep(0)
        outputs.add(second)
        first.set_result(None)
        for _ in range(5):
            await asyncio.sleep(0)
        early = waiting.done()
        second.set_result(None)
        await waiting
        return [early, second.done()]

    assert done(run()) == [False, True]


@pytest.mark.parametrize("where", ["outputs", "calls"])
def test_a_failure_is_not_kept_waiting_by_what_never_ends(
    outputs: set[Future], where: str
) -> None:
    async def run() -> None:
        never, failing = Future(), Future()
        outputs.add(never)
        if where == "outputs":
            outputs.add(failing)
        else:
            SETTINGS.rpc_manager.rpcs.append(failing)
        asyncio.get_running_loop().call_soon(failing.set_exception, OSError("gone"))
        await program.settled()
        never.cancel()

    done(asyncio.wait_for(run(), 20))
