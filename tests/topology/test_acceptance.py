"""A finding is accepted for a reason, for a while, and for what it names only."""

import datetime
from typing import Any

import pytest

from topology.acceptance import acceptance, standing
from topology.finding import Finding, Level

TODAY = datetime.date(2026, 11, 24)
GIVEN = {
    "finding": "quota-cpu",
    "reason": "request 4711 is granted on Monday",
    "until": "2026-12-01",
    "who": "ada@example",
}


def finding(code: str, place: str, level: Level = Level.ERROR) -> Finding:
    return Finding(level=level, code=code, place=place, message="m", remedy="r")


FOUND = [
    finding("quota-cpu", "us-east1"),
    finding("quota-cpu", "us-west1"),
    finding("quota-memory", "us-east1"),
    finding("failover-distance", "us-east1", Level.WARNING),
]


def left(today: datetime.date = TODAY, **change: Any) -> list[tuple[str, str]]:
    made = acceptance({**GIVEN, **change}, TODAY)
    return [(f.code, f.place) for f in standing(FOUND, [made], today)]


def test_errors_stand_and_warnings_do_not() -> None:
    assert len(standing(FOUND, [], TODAY)) == 3


def test_a_code_is_accepted_everywhere_or_in_one_place() -> None:
    assert left() == [("quota-memory", "us-east1")]
    assert left(finding="quota-cpu@us-east1") == [
        ("quota-cpu", "us-west1"),
        ("quota-memory", "us-east1"),
    ]


def test_an_acceptance_ends_with_its_last_day() -> None:
    assert len(left(datetime.date(2026, 12, 1))) == 1
    assert len(left(datetime.date(2026, 12, 2))) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reason": " "}, "an acceptance needs reason: --accept FINDING --reason TEXT"),
        ({"until": None}, "an acceptance needs until"),
        ({"until": "soon"}, "until: 'soon' is no date: use YYYY-MM-DD"),
        (
            {"until": "2028-01-01"},
            "until: 2028-01-01 is more than 180 days away: 2027-05-23 at most",
        ),
    ],
)
def test_what_is_missing_is_said(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        acceptance({**GIVEN, **change}, TODAY)
    assert str(caught.value).startswith(said)
