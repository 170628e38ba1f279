"""Regions that stand in for each other, and replicas, that cannot be so."""

import pytest
from bad_input import FILE, PROD, complaint, edited, line_of

from topology import load, read


@pytest.mark.parametrize(
    ("partner", "rest"),
    [
        ("us-east1", "us-east1 fails over to itself: name {others}."),
        ("us-east9", "us-east9 is no region of this catalogue: did you mean us-west1?"),
    ],
)
def test_a_region_fails_over_to_another_that_there_is(partner: str, rest: str) -> None:
    text, line = edited(
        "    cidr: 100.80.0.0/20", f"    cidr: 100.80.0.0/20\n    failover: {partner}"
    )
    others = " or ".join(n for n in load("prod").regions if n != "us-east1")
    assert complaint(text) == (
        f"{FILE}:{line + 1}: regions.us-east1.failover: {rest.format(others=others)}"
    )


def test_a_region_that_does_not_serve_stands_in_for_nobody() -> None:
    text, line = edited(
        "    cidr: 100.80.0.0/20",
        "    cidr: 100.80.0.0/20\n    failover: europe-west1",
    )
    text = text.replace(
        "    cidr: 100.65.0.0/16", "    cidr: 100.65.0.0/16\n    serving: false"
    )
    told = complaint(text)
    assert (
        ": regions.us-east1.failover: europe-west1 does not serve, so it stands in "
        in told
    )


def test_regions_may_fail_over_to_each_other() -> None:
    text = PROD.replace(
        "    cidr: 100.80.0.0/20", "    cidr: 100.80.0.0/20\n    failover: us-central1"
    ).replace(
        "    cidr: 100.64.0.0/16", "    cidr: 100.64.0.0/16\n    failover: us-east1"
    )
    catalogue = read(text, FILE)
    assert catalogue.regions["us-central1"].failover == "us-east1"


def test_a_cycle_among_replicas_is_told_as_one() -> None:
    text = PROD.replace(
        "    cidr: 100.80.0.0/20", "    cidr: 100.80.0.0/20\n    replica_of: us-west1"
    ).replace(
        "    cidr: 100.80.16.0/20", "    cidr: 100.80.16.0/20\n    replica_of: us-east1"
    )
    line = line_of(text, "replica_of: us-west1")
    assert complaint(text).splitlines()[0] == (
        f"{FILE}:{line}: regions.us-east1.replica_of: us-east1 -> us-west1 -> us-east1 "
        "is a cycle, no database would be first: name us-central1 or europe-west1 or "
        "asia-northeast1 or asia-southeast1 or southamerica-east1 in one of them."
    )


def test_a_region_that_copies_itself_is_refused() -> None:
    text, line = edited(
        "    cidr: 100.80.0.0/20", "    cidr: 100.80.0.0/20\n    replica_of: us-east1"
    )
    assert complaint(text) == (
        f"{FILE}:{line + 1}: regions.us-east1.replica_of: us-east1 names itself: name "
        "us-central1 or europe-west1 or asia-northeast1 or asia-southeast1 or "
        "southamerica-east1."
    )
