"""`meridian plan`: the model of an environment, no engine involved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import topology
from ops.errors import BAD_INPUT, CommandError
from topology import explain
from topology.notes import load_notes
from topology.peer import judge
from topology.reader import CATALOGUES
from topology.trace import Node

Json = dict[str, Any]

KEYS = ("instances", "vcpu", "memory_gib", "addresses", "price")


def make(environment: str, file: Path | None = None) -> topology.Plan:
    """Plan of an environment, or of a catalogue file that stands for itself."""
    name, folder = (file.stem, file.parent) if file else (environment, CATALOGUES)
    catalogue = topology.load(name, folder)
    return topology.make_plan(catalogue, notes=load_notes(name, folder))


def plan(environment: str, file: Path | None = None) -> Json:
    """Plan in the shape of `meridian plan --json`."""
    return make(environment, file).to_json()


def check(environment: str) -> None:
    """Raise `CatalogueError` before anything is started."""
    topology.make_plan(topology.load(environment))


def explained(environment: str, file: Path | None, name: str) -> Node:
    """The node of one output; ends the command when there is none."""
    try:
        return explain.find(make(environment, file).model, name)
    except explain.UnknownQuantityError as error:
        raise CommandError(str(error.args[0]), BAD_INPUT) from error


def peer(environment: str, file: Path | None) -> Json:
    """Which of the peer's promises hold, by the model's arithmetic."""
    return judge(make(environment, file).model)


def show(answer: Json, console: Console) -> None:
    """Table of regions, totals, findings, verdicts."""
    table = Table(box=None, pad_edge=False)
    table.add_column("region")
    for name in ("instances", "vCPU", "GiB", "addresses", "USD/month", "verdict"):
        table.add_column(name, justify="left" if name == "verdict" else "right")
    for name, region in answer["regions"].items():
        verdict = answer["verdicts"][name].partition(" (")[0]
        table.add_row(name, *(_number(region[k]) for k in KEYS), verdict)
    totals = answer["totals"]
    table.add_row("all", *(_number(totals[k]) for k in KEYS), style="bold")
    console.print(table)
    styles = {"error": "red", "warning": "yellow", "info": "dim"}
    for line, level in _folded(answer["findings"]):
        console.print(f"\n[{styles[level]}]{level}[/] {escape(line)}", soft_wrap=True)
    console.print(f"\nverdict: {answer['verdict']}", markup=False, soft_wrap=True)


def show_peer(answer: Json, console: Console) -> None:
    """Table of promises."""
    table = Table(box=None, pad_edge=False)
    for name in ("promise", "said", "by the model", "holds", "why"):
        table.add_column(name, overflow="fold")
    for row in answer["promises"]:
        holds = "yes" if row["holds"] else "no"
        table.add_row(row["promise"], row["said"], row["found"], holds, row["why"])
    console.print(table)
    console.print(f"\n{answer['source']}\n{answer['verdict']}", markup=False)


def _folded(findings: list[Json]) -> list[tuple[str, str]]:
    """One line for each rule: its first finding in full, the other places by name."""
    alike: dict[tuple[str, str], list[Json]] = {}
    for finding in findings:
        alike.setdefault((finding["level"], finding["code"]), []).append(finding)
    lines = []
    for (level, code), (first, *others) in alike.items():
        text = f"{first['place']}: {first['message']}: {first['remedy']} [{code}]"
        places = ", ".join(finding["place"] for finding in others)
        more = f"; {len(others)} more like it: {places}" if others else ""
        lines.append((text + more, level))
    return lines


def _number(value: float) -> str:
    return f"{value:,.0f}"
