"""The broker: fan-out, filters, leases, durability."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from localcloud.control.pubsub import Broker, matches
from tests.localcloud.conftest import Plane
from topology.messages import REPAIR

BASE = "/pubsub.googleapis.com/v1/projects/p"


async def declare(plane: Plane, name: str, **more: object) -> None:
    body = {"topic": "projects/p/topics/t", "ackDeadlineSeconds": 10, **more}
    await plane.client.put(f"{BASE}/subscriptions/{name}", json=body)


async def publish(plane: Plane, text: str, **attributes: str) -> None:
    data = base64.b64encode(text.encode()).decode()
    message = {"data": data, "attributes": attributes}
    answer = await plane.client.post(
        f"{BASE}/topics/t:publish", json={"messages": [message]}
    )
    assert answer.status == 200


async def pull(plane: Plane, name: str, **more: object) -> list[dict]:
    body = {"maxMessages": 10, "returnImmediately": True, **more}
    answer = await plane.client.post(f"{BASE}/subscriptions/{name}:pull", json=body)
    return (await answer.json()).get("receivedMessages", [])


async def acknowledge(plane: Plane, name: str, received: list[dict]) -> None:
    body = {"ackIds": [r["ackId"] for r in received]}
    await plane.client.post(f"{BASE}/subscriptions/{name}:acknowledge", json=body)


def texts(received: list[dict]) -> list[str]:
    return [base64.b64decode(r["message"]["data"]).decode() for r in received]


@pytest.fixture
async def topic(plane: Plane) -> Plane:
    await plane.client.put(f"{BASE}/topics/t", json={})
    return plane


def encoded(body: object) -> str:
    return base64.b64encode(json.dumps(body).encode()).decode()


async def test_a_topic_with_a_schema_takes_what_fits_alone(plane: Plane) -> None:
    form = {"name": "f", "type": "AVRO", "definition": json.dumps(REPAIR)}
    made = await plane.client.post(f"{BASE}/schemas?schemaId=f", json=form)
    assert made.status == 200, await made.text()
    settings = {"schema": "projects/p/schemas/f", "encoding": "JSON"}
    await plane.client.put(f"{BASE}/topics/t", json={"schemaSettings": settings})
    await declare(plane, "one")
    fits = {"lane": 3, "first": [1, 2], "last": [1, 2**40], "question": ""}
    wrong: list[object] = [
        {**fits, "more": 1},
        {k: v for k, v in fits.items() if k != "question"},
        {**fits, "lane": "3"},
        {**fits, "first": [1, 2**63]},
        {**fits, "question": {"ask": 1}},
        [],
    ]
    for body in wrong:
        messages = [{"data": encoded(fits)}, {"data": encoded(body)}]
        answer = await plane.client.post(
            f"{BASE}/topics/t:publish", json={"messages": messages}
        )
        assert answer.status == 400, body
        assert "schema validation" in (await answer.json())["error"]["message"]
    answer = await plane.client.post(
        f"{BASE}/topics/t:publish", json={"messages": [{"data": encoded(fits)}]}
    )
    assert answer.status == 200
    assert len(await pull(plane, "one")) == 1


async def test_every_subscription_gets_every_message_once(topic: Plane) -> None:
    for name in ("one", "two"):
        await declare(topic, name)
    await publish(topic, "a")
    await publish(topic, "b")
    for name in ("one", "two"):
        received = await pull(topic, name)
        assert texts(received) == ["a", "b"]
        await acknowledge(topic, name, received)
        assert await pull(topic, name) == []


async def test_a_filter_lets_only_its_origin_through(topic: Plane) -> None:
    await declare(topic, "one", filter='attributes.origin = "x"')
    await publish(topic, "a", origin="y")
    await publish(topic, "b", origin="x")
    assert texts(await pull(topic, "one")) == ["b"]


async def test_what_is_not_acknowledged_comes_again(topic: Plane) -> None:
    await declare(topic, "one")
    await publish(topic, "a")
    received = await pull(topic, "one")
    assert await pull(topic, "one") == [], "leased to somebody else"
    body = {"ackIds": [received[0]["ackId"]], "ackDeadlineSeconds": 0}
    await topic.client.post(f"{BASE}/subscriptions/one:modifyAckDeadline", json=body)
    assert texts(await pull(topic, "one")) == ["a"]


async def test_a_long_pull_answers_when_a_message_arrives(topic: Plane) -> None:
    await declare(topic, "one")
    waiting = asyncio.create_task(pull(topic, "one", returnImmediately=False))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await publish(topic, "late")
    assert texts(await asyncio.wait_for(waiting, 5)) == ["late"]


async def test_messages_survive_the_process(topic: Plane) -> None:
    await declare(topic, "one")
    await publish(topic, "kept")
    await publish(topic, "done")
    received = await pull(topic, "one")
    await acknowledge(topic, "one", received[1:])
    topic.broker.flush()
    again = Broker(topic.store, topic.folder / "pubsub.sqlite")
    assert again.backlog() == {"projects/p/subscriptions/one": 1}


async def test_an_unknown_topic_is_not_found(plane: Plane) -> None:
    body = {"messages": [{"data": ""}]}
    answer = await plane.client.post(f"{BASE}/topics/none:publish", json=body)
    assert answer.status == 404


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("", True),
        ('attributes.a = "1"', True),
        ('attributes.a = "2"', False),
        ('attributes.a != "2"', True),
        ("attributes:a", True),
        ("attributes:b", False),
        ('attributes.a = "1" AND attributes:b', False),
        ('NOT attributes.a = "2"', True),
    ],
)
def test_filters_follow_googles_grammar(expression: str, holds: bool) -> None:
    assert matches(expression, {"a": "1"}) is holds


def test_a_filter_beyond_the_grammar_is_refused() -> None:
    with pytest.raises(ValueError, match="this broker knows"):
        matches('hasPrefix(attributes.a, "1")', {})
