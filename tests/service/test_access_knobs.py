"""Knobs, on a real Redis that is stopped."""

import asyncio
import signal
import time

import pytest

from service.access.knobs import GRACE, KNOBS, Knobs, checked_value
from service.contract import ServiceError
from service.feed import AWAY
from tests.service.access_parts import Clock


async def test_a_knob_holds_for_its_time_in_every_instance(client):
    clock = Clock(0.0)
    here, there = Knobs(client, clock), Knobs(client, clock)
    defaults = {name: spec.default for name, spec in KNOBS.items()}
    assert here.values() == defaults
    await here.set("admission", 2, 60)
    await here.set("batch_window_ms", 12.5, 2)
    assert here.values() == defaults | {"admission": 2.0, "batch_window_ms": 12.5}
    assert there.values() == defaults
    await there.read()
    assert there.values() == here.values()
    clock.now += 2.1
    assert there.values()["batch_window_ms"] == 0
    assert there.values()["admission"] == 2
    assert 58_000 < await client.pttl("knobs") <= 60_000


async def test_a_shorter_knob_does_not_cut_a_longer_one(client):
    knobs = Knobs(client, Clock(0.0))
    await knobs.set("batch_window_ms", 2, 600)
    await knobs.set("search_width", 0.5, 5)
    assert await client.pttl("knobs") > 590_000


async def test_without_redis_knobs_go_back_after_a_grace(redis_server, client):
    clock = Clock(0.0)
    knobs = Knobs(client, clock)
    await knobs.set("admission", 1, 600)
    redis_server.process.kill()
    try:
        with pytest.raises(AWAY):
            await knobs.read()
        with pytest.raises(ServiceError) as refused:
            await knobs.set("admission", 3, 60)
        assert refused.value.code == "unavailable"
        clock.now += GRACE
        assert knobs.values()["admission"] == 1
        clock.now += 2
        assert knobs.values()["admission"] == 0
    finally:
        redis_server.start()
    await knobs.read()
    assert knobs.values()["admission"] == 0


async def test_knobs_are_read_every_second_and_survive_a_gap(redis_server, client):
    knobs, other = Knobs(client, time.monotonic), Knobs(client, time.monotonic)
    task = asyncio.create_task(knobs.run())
    await other.set("admission", 1, 60)
    until = time.monotonic() + 5
    while knobs.values()["admission"] != 1:
        assert time.monotonic() < until
        await asyncio.sleep(0.05)
    redis_server.process.child.send_signal(signal.SIGSTOP)
    await asyncio.sleep(1.2)
    redis_server.process.child.send_signal(signal.SIGCONT)
    assert knobs.values()["admission"] == 1
    await other.set("admission", 2, 60)
    until = time.monotonic() + 5
    while knobs.values()["admission"] != 2:
        assert time.monotonic() < until
        await asyncio.sleep(0.05)
    task.cancel()


@pytest.mark.parametrize(
    ("name", "value", "seconds"),
    [
        ("admission", 3.1, 60),
        ("admission", -0.1, 60),
        ("admission", float("nan"), 60),
        ("admission", "1", 60),
        ("admission", True, 60),
        ("batch_window_ms", -1, 60),
        ("volume", 1, 60),
        ("admission", 1, 0),
        ("admission", 1, 1e9),
    ],
)
async def test_a_value_out_of_range_is_refused_in_words(client, name, value, seconds):
    with pytest.raises(ServiceError, match="allowed") as refused:
        await Knobs(client, Clock()).set(name, value, seconds)
    assert refused.value.code == "out_of_range"
    assert await client.exists("knobs") == 0


async def test_what_others_wrote_into_the_hash_is_passed_over(client):
    knobs = Knobs(client, Clock(0.0))
    await knobs.set("batch_window_ms", 2, 60)
    far = f"{time.time() + 1000:.3f}"
    for name, text in (
        ("admission", f'["99","{far}"]'),
        ("search_width", "rubbish"),
        ("other", f'["1","{far}"]'),
    ):
        await client.hset("knobs", name, text)
    await knobs.read()
    defaults = {name: spec.default for name, spec in KNOBS.items()}
    assert knobs.values() == defaults | {"batch_window_ms": 2.0}


def test_every_default_is_in_its_range():
    for name, spec in KNOBS.items():
        assert checked_value(name, spec.default) == spec.default
