"""A tree whose catalogue of production has more regions than Google has."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]
REGIONS = 15
"""Of production as shipped."""
HUB_BITS, REGIONAL_BITS = 16, 20
"""Sizes of the subnets that production gives to a hub and to another region."""
SHARES = {"hub": 0.16, "regional": 0.02}


def copy_of(region: str, number: int) -> str:
    """Name of a copy: `us-west1` -> `us-west1021`."""
    return f"{region}0{number}1" if number else region


def grow(root: Path, times: int, layout: str) -> None:
    """Give a tree every region `times` times, and production this layout."""
    file = root / "stacks" / "catalogue" / "prod.yaml"
    catalogue: Json = yaml.safe_load(file.read_text())
    if len(catalogue["regions"]) != REGIONS:
        raise RuntimeError(f"production has no {REGIONS} regions any more")
    catalogue["layout"] = layout
    catalogue["regions"] = _regions(catalogue["regions"], times)
    for tier, share in SHARES.items():
        catalogue["tiers"][tier]["traffic_share"] = share / times
    file.write_text(yaml.safe_dump(catalogue, sort_keys=False))
    data = root / "topology" / "data"
    _repeat(data / "regions.csv", times, ("region",), lambda row: True)
    _repeat(data / "prices.csv", times, ("group",), lambda row: row["id"] == "region")
    _round_trips(data / "round_trips.csv", times)


def _regions(found: Json, times: int) -> Json:
    """All regions with addresses of their own; hubs first, as they are the larger."""
    made: Json = {}
    offset = 100 << 24 | 64 << 16
    every = [
        (n, r)
        for tier in SHARES
        for n in range(times)
        for r in found.items()
        if r[1]["tier"] == tier
    ]
    for number, (name, region) in every:
        bits = HUB_BITS if region["tier"] == "hub" else REGIONAL_BITS
        address = ".".join(str(offset >> shift & 255) for shift in (24, 16, 8, 0))
        entry = {**region, "cidr": f"{address}/{bits}"}
        if "hub" in region:
            entry["hub"] = copy_of(region["hub"], number)
        made[copy_of(name, number)] = entry
        offset += 1 << 32 - bits
    return made


def _repeat(file: Path, times: int, keys: tuple[str, ...], chosen: Any) -> None:
    head, rows = _read(file)
    more = [
        {**row, **{key: copy_of(row[key], number) for key in keys}}
        for number in range(1, times)
        for row in rows
        if chosen(row)
    ]
    _write(file, head, rows + more)


def _round_trips(file: Path, times: int) -> None:
    """Copies are as far from each other as what they copy; one place is 1 ms wide."""
    head, rows = _read(file)
    by_pair = {(r["region_a"], r["region_b"]): r for r in rows}
    names = sorted({name for pair in by_pair for name in pair})
    near = {**rows[0], "rtt_ms": "1", "kind": "measured 2022-04"}
    every = [(name, number) for name in names for number in range(times)]
    made = []
    for position, one in enumerate(every):
        for other in every[position + 1 :]:
            row = by_pair.get((one[0], other[0])) or by_pair.get((other[0], one[0]))
            ends = {"region_a": copy_of(*one), "region_b": copy_of(*other)}
            made.append({**(row or near), **ends})
    _write(file, head, made)


def _read(file: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Comments at the head, and the rows."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    head = [line for line in lines if line.startswith("#")]
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return head, list(rows)


def _write(file: Path, head: list[str], rows: list[dict[str, str]]) -> None:
    out = io.StringIO()
    out.writelines(head)
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    file.write_text(out.getvalue(), encoding="utf-8")
