"""The estimate of recall and its interval."""

import asyncio

import aiohttp
import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.stream.recall import Recall, interval
from service.telemetry import Metrics
from tests.service.asking import fresh
from tests.service.drivers import Http


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_an_interval_holds_its_share(wanted, share):
    found = int(wanted * share)
    low, high = interval(found, wanted)
    assert 0 <= low <= found / wanted + 1e-9 and found / wanted - 1e-9 <= high <= 1
    assert interval(found * 100, wanted * 100)[0] >= low - 1e-9


def test_what_is_missed_is_counted_and_equals_are_not():
    metrics = Metrics()
    recall = Recall(metrics, lambda: 0.0)
    recall.compare(numpy.float32([3, 2, 1]), numpy.float32([3, 2, 1]))
    recall.compare(numpy.float32([3, 1, 0]), numpy.float32([3, 2, 2]))
    assert metrics.recall.labels("estimate")._value.get() == pytest.approx(4 / 6)
    recall.compare(numpy.float32([]), numpy.float32([]))
    assert metrics.recall_compared._value.get() == 2


async def test_an_instance_says_what_its_searches_find(world):
    asia = world.regions["asia"]
    driver, name = Http(asia), fresh()
    await driver.call("create_collection", name=name, dimension=3)
    items = [{"id": str(n), "vector": [1, n, 0]} for n in range(20)]
    await driver.call("upsert", collection=name, items=items)
    text = ""
    for _ in range(60):
        for _ in range(20):
            await driver.call("search", collection=name, vector=[1, 0, 0], k=5)
        async with (
            aiohttp.ClientSession() as session,
            session.get(asia.url + "/metrics") as answer,
        ):
            text = await answer.text()
        if 'meridian_recall{bound="estimate"} 1.0' in text:
            break
        await asyncio.sleep(0.1)
    assert 'meridian_recall{bound="estimate"} 1.0' in text
    await driver.close()
