"""`meridian plan`: the model of an environment, no engine involved."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

import topology
from ops import stack

Json = dict[str, Any]


def plan(environment: str) -> Json:
    """Plan in the shape of `meridian plan --json`."""
    stack.stack(environment)
    return topology.make_plan(topology.load(environment)).to_json()


def check(environment: str) -> None:
    """Raise `CatalogueError` before anything is started."""
    topology.make_plan(topology.load(environment))


def show(answer: Json, console: Console) -> None:
    """Table of regions, totals, findings."""
    table = Table(box=None, pad_edge=False)
    table.add_column("region")
    for name in ("instances", "vCPU", "GiB", "addresses"):
        table.add_column(name, justify="right")
    for name, region in answer["regions"].items():
        table.add_row(name, *(_number(region[k]) for k in KEYS))
    totals = answer["totals"]
    table.add_row("all", *(_number(totals[k]) for k in KEYS), style="bold")
    console.print(table)
    styles = {"error": "red", "warning": "yellow", "info": "dim"}
    for finding in answer["findings"]:
        style = styles.get(finding["level"], "")
        console.print(f"\n[{style}]{finding['level']}[/] {finding['place']}", end=": ")
        console.print(f"{finding['message']}: {finding['remedy']}", markup=False)
    console.print(f"\nverdict: {answer['verdict']}", markup=False)


KEYS = ("instances", "vcpu", "memory_gib", "addresses")


def _number(value: float) -> str:
    return f"{value:,.0f}"
