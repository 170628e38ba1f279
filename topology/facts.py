"""Facts about Google's regions: where they are and how far from each other."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

DATA = Path(__file__).resolve().parent / "data"

ESTIMATE_MARGIN = 1.6
"""90th percentile of the estimates' error, from the head of `round_trips.csv`."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """One Google Cloud region."""

    name: str
    """Google's name."""
    city: str
    """City or country, as Google's region picker says."""
    latitude: float
    """Degrees north."""
    longitude: float
    """Degrees east."""
    price_tier: int
    """Cloud Run price tier, 1 or 2."""


@dataclass(frozen=True, kw_only=True)
class RoundTrip:
    """Round trip between two regions inside Google's network."""

    milliseconds: float
    """Mean."""
    measured: bool
    """False where it is estimated from the distance."""


@cache
def places() -> Mapping[str, Place]:
    """Every region whose facts are known, by name."""
    return {
        row["region"]: Place(
            name=row["region"],
            city=row["city"],
            latitude=float(row["latitude"]),
            longitude=float(row["longitude"]),
            price_tier=int(row["price_tier"]),
        )
        for row in _rows("regions.csv")
    }


@cache
def round_trips() -> Mapping[tuple[str, str], RoundTrip]:
    """Round trips by ordered pair; both orders are there."""
    table: dict[tuple[str, str], RoundTrip] = {}
    for row in _rows("round_trips.csv"):
        trip = RoundTrip(
            milliseconds=float(row["rtt_ms"]),
            measured=row["kind"].startswith("measured"),
        )
        table[row["region_a"], row["region_b"]] = trip
        table[row["region_b"], row["region_a"]] = trip
    return table


def nearest(region: str, others: list[str]) -> list[str]:
    """The other regions, the nearest by round trip first.

    An estimate counts with the error that nine of ten stay below, so that it never
    beats a measured region of about the same distance.
    """
    trips = round_trips()

    def distance(other: str) -> tuple[float, str]:
        trip = trips[region, other]
        margin = 1.0 if trip.measured else ESTIMATE_MARGIN
        return trip.milliseconds * margin, other

    return sorted((other for other in others if other != region), key=distance)


def _rows(name: str) -> Iterator[dict[str, str]]:
    """Rows of a data file; lines that start with # say where the data comes from."""
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(line for line in file if not line.startswith("#"))
