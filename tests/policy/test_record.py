"""A resource is seen alike in a recording, a preview and a state."""

import copy
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from policy.field import Field, Opaque
from policy.record import (
    OUTPUT_SIGNATURE,
    SECRET_SIGNATURE,
    SIGNATURE,
    UNKNOWN_TEXT,
    FormatError,
    Record,
    from_preview,
    from_registrations,
    from_state,
    plain,
)

URN = "urn:pulumi:prod::meridian::example:index:Cell$gcp:redis/instance:Instance::cache"
NETWORK = "urn:pulumi:prod::meridian::gcp:compute/network:Network::vpc"
STATE: dict[str, Any] = {
    "urn": URN,
    "custom": True,
    "type": "gcp:redis/instance:Instance",
    "inputs": {
        "__defaults": ["name"],
        "name": "cache-1234567",
        "memorySizeGb": 4,
        "authorizedNetwork": UNKNOWN_TEXT,
        "host": f"http://{UNKNOWN_TEXT}/",
        "authString": {SIGNATURE: SECRET_SIGNATURE, "ciphertext": "AAA"},
        "region": {SIGNATURE: OUTPUT_SIGNATURE, "value": "us-central1"},
        "tier": {SIGNATURE: OUTPUT_SIGNATURE},
        "token": {SIGNATURE: OUTPUT_SIGNATURE, "value": "x", "secret": True},
        "password": "[secret]",
    },
    "parent": "urn:pulumi:prod::meridian::example:index:Cell::cell",
    "protect": True,
    "dependencies": [NETWORK],
    "provider": "urn:pulumi:prod::meridian::pulumi:providers:gcp::gcp::id",
    "propertyDependencies": {"authorizedNetwork": [NETWORK], "name": []},
    "ignoreChanges": ["memorySizeGb"],
}
EXPECTED = Record(
    urn=URN,
    token="gcp:redis/instance:Instance",
    name="cache",
    inputs={
        "name": "cache-1234567",
        "memorySizeGb": 4,
        "authorizedNetwork": Opaque.UNKNOWN,
        "host": Opaque.UNKNOWN,
        "authString": Opaque.SECRET,
        "region": "us-central1",
        "tier": Opaque.UNKNOWN,
        "token": Opaque.SECRET,
        "password": Opaque.SECRET,
    },
    parent="urn:pulumi:prod::meridian::example:index:Cell::cell",
    provider="urn:pulumi:prod::meridian::pulumi:providers:gcp::gcp::id",
    depends_on=(NETWORK,),
    property_depends={"authorizedNetwork": (NETWORK,), "name": ()},
    protect=True,
    ignore_changes=("memorySizeGb",),
)


def test_a_planned_resource_is_read_from_a_preview() -> None:
    gone = {"op": "delete", "urn": "x", "oldState": STATE}
    again = {"op": "create-replacement", "newState": STATE}
    steps = [gone, {"op": "create", "newState": STATE}, again, {"op": "same"}, 3]
    assert from_preview({"steps": steps}) == [EXPECTED]


def test_a_resource_is_read_from_a_state() -> None:
    doomed = {**STATE, "delete": True}
    assert from_state({"deployment": {"resources": [STATE, doomed]}}) == [EXPECTED]


@pytest.mark.parametrize("document", [None, [], {}, {"steps": 1}, {"deployment": []}])
def test_another_document_is_refused_with_what_to_pass(document: Any) -> None:
    with pytest.raises(FormatError, match="pulumi preview --json"):
        from_preview(document)
    with pytest.raises(FormatError, match="pulumi stack export"):
        from_state(document)


def test_a_recorded_registration_has_the_same_form() -> None:
    class Unknown:
        """Stands for pulumi's own class of that name."""

    registration = SimpleNamespace(
        urn=URN,
        token=STATE["type"],
        name="cache",
        inputs={"memorySizeGb": 4.0, "authorizedNetwork": Unknown()},
        parent="",
        provider="",
        depends_on=(NETWORK,),
        protect=True,
        retain_on_delete=False,
        ignore_changes=("memorySizeGb",),
        custom=True,
    )
    (record,) = from_registrations([registration])
    assert record.at("memorySizeGb").number == 4
    assert record.at("authorizedNetwork").unknown
    assert record.depends_on == (NETWORK,)


def test_a_recording_and_a_preview_of_a_world_agree(
    world: Callable[[str], list[Record]],
) -> None:
    """What the program registered goes through the engine's form and back."""
    by_urn = {record.urn: record for record in world("local")}
    states = [
        {
            "urn": r.urn,
            "type": r.token,
            "custom": r.custom,
            "inputs": json.loads(
                json.dumps(dict(r.inputs), default=lambda _: UNKNOWN_TEXT)
            ),
            "dependencies": list(r.depends_on),
            "parent": r.parent,
            "provider": r.provider,
            "protect": r.protect,
            "retainOnDelete": r.retain_on_delete,
            "ignoreChanges": list(r.ignore_changes),
        }
        for r in by_urn.values()
    ]
    read = from_preview({"steps": [{"op": "create", "newState": s} for s in states]})
    assert {r.urn: r for r in read} == by_urn


def test_a_bottomless_value_is_not_read_to_its_end() -> None:
    value: Any = "x"
    for _ in range(500):
        value = {"inner": value}
    before = copy.copy(value)
    assert Field(plain(value)).at(".".join(["inner"] * 100)).unknown
    assert value == before


@pytest.mark.parametrize(
    ("value", "number", "shown"),
    [
        (4.0, 4, "4"),
        ("4", 4, "4"),
        (True, None, "true"),
        (float("nan"), None, "nan"),
        (10**400, None, str(10**400)[:80] + "..."),
        (None, None, "not set"),
        ("", None, ""),
        ({"a": 1}, None, "a block of a"),
        (["a"], None, "1 entries"),
    ],
)
def test_a_value_is_read_and_shown(value: Any, number: Any, shown: str) -> None:
    field = Field(value, "place")
    assert field.number == number
    assert field.shown() == shown
