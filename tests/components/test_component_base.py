"""Arguments, outputs and the packaged form of the components."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pytest
import recording

from components._base import Component, coerce
from components.cache import CacheTier, CacheTierArgs
from components.database import database_user
from stacks.wiring import CELL, Wiring, WiringError
from topology import Durability


@dataclass(frozen=True, kw_only=True)
class Inner:
    count: int
    label: str | None = None


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner
    many: Sequence[Inner]
    named: Mapping[str, int]
    mode: Durability | None = None
    address: pulumi.Input[str] | None = None


def test_a_plain_mapping_with_floats_becomes_the_dataclass() -> None:
    given: dict[str, Any] = {
        "inner": {"count": 3.0},
        "many": [{"count": 1.0, "label": "x"}],
        "named": {"a": 2.0},
        "mode": "sealed",
    }
    made = coerce(Outer, given)
    assert made == Outer(
        inner=Inner(count=3),
        many=[Inner(count=1, label="x")],
        named={"a": 2},
        mode=Durability.SEALED,
    )
    assert type(made.inner.count) is int
    assert coerce(Outer, made) is made


def test_unknown_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="Inner: unknown arguments cuont: use count"):
        coerce(Inner, {"cuont": 1})


def test_half_a_thing_is_no_count() -> None:
    with pytest.raises(TypeError, match=r"1\.5 is not a whole number"):
        coerce(Inner, {"count": 1.5})


def test_an_annotated_output_that_was_not_set_is_an_error() -> None:
    class Forgetful(Component):
        address: pulumi.Output[str]

        def __init__(self) -> None:
            super().__init__("meridian:index:Forgetful", "it")
            self.finish()

    with pytest.raises(Exception, match="outputs address are annotated and were not"):
        recording.record(Forgetful)


def test_a_cache_made_from_a_mapping_is_the_same_as_from_arguments() -> None:
    given = {
        "region": "us-east1",
        "prefix": "meridian",
        "memory_gib": 5.0,
        "version": "REDIS_7_2",
        "eviction": "noeviction",
        "transit_encryption": True,
        "network": "projects/p/global/networks/n",
    }
    args = CacheTierArgs(**{**given, "memory_gib": 5})  # type: ignore[arg-type]
    one = recording.record(lambda: CacheTier("c", args))
    other = recording.record(lambda: CacheTier("c", given))  # type: ignore[arg-type]
    assert one[1].inputs == other[1].inputs


def test_an_account_loses_the_end_of_its_address_in_postgres() -> None:
    email = "meridian-stream@p.iam.gserviceaccount.com"
    assert database_user(email) == "meridian-stream@p.iam"


def test_wiring_names_producer_output_and_what_there_is() -> None:
    class Cell:
        neg = grpc_neg = service = database = database_endpoint = "x"

    wiring = Wiring()
    wiring.publish("us-central1", Cell(), CELL)
    with pytest.raises(WiringError) as caught:
        wiring.take("us-central1", "databse")
    assert str(caught.value) == (
        "us-central1.databse: no such output; available: database, "
        "database_endpoint, grpc_neg, neg, service: did you mean database?"
    )
    with pytest.raises(WiringError) as caught:
        wiring.take("us-east1", "neg")
    assert str(caught.value) == (
        "us-east1.neg: us-east1 has published nothing; so far: us-central1: "
        "declare us-east1 before what needs it"
    )
    with pytest.raises(WiringError, match="published twice"):
        wiring.publish("us-central1", Cell(), CELL)
    with pytest.raises(WiringError, match="outputs neg, grpc_neg, service, database"):
        wiring.publish("us-west1", object(), CELL)
