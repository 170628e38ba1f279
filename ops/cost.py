"""`meridian cost`: what the plan costs at list prices; no engine involved."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ops import model as models
from ops.errors import BAD_INPUT, CommandError
from topology import bill, events, peer, what_if
from topology.blocks import EventSettings
from topology.explain import shown
from topology.trace import Model

Json = dict[str, Any]

MADE_UP = re.compile(r"(\d+(?:\.\d+)?)x(\d+(?:\.\d+)?)h")
"""An event that is in no catalogue: 10x3h is ten times the baseline for 3 hours."""

SWEEPS = ("bytes_per_stream",)
GROUPS = ("service", "region")


def cost(environment: str, file: Path | None) -> tuple[Model, bill.Bill, Json]:
    """The month: model, bill, and the answer of `meridian cost --json`."""
    model = models.make(environment, file).model
    month = bill.month(model)
    answer = month.to_json()
    answer["per_stream"] = model.value("price_per_stream")
    answer["by_service"] = _rounded(month.by("service"))
    answer["by_region"] = _rounded(month.by("region"))
    answer["billing_models"] = _rounded(what_if.billing_models(model))
    answer["assumptions"] = [
        {"name": n.name, "value": n.value, "unit": n.unit, "source": n.source}
        for n in bill.assumptions(model)
    ]
    return model, month, answer


def event(model: Model, name: str) -> Json:
    """One event of the catalogue, or one made up such as 10x3h."""
    found = (model.catalogue.events or {}).get(name) or _made_up(model, name)
    made = events.bill(model, found)
    return {
        "event": name,
        "hours": made.hours,
        "extra_instances": made.extra,
        "compute": made.compute,
        "network": made.network,
        "total": "unknown" if made.total is None else made.total,
        "hour": made.hour,
        "per_stream": None
        if made.total is None
        else made.total / model.catalogue.traffic.streams,
        "short": [n.region for n in made.regions if n.wanted > n.ceiling],
    }


def _made_up(model: Model, name: str) -> EventSettings:
    match = MADE_UP.fullmatch(name)
    if match is None:
        known = ", ".join(model.catalogue.events or {}) or "none"
        raise CommandError(
            f"--event {name}: no such event in {model.catalogue.environment}; it has "
            f"{known}: name one, or write one such as 10x3h",
            BAD_INPUT,
        )
    times, hours = (float(part) for part in match.groups())
    if times < 1 or hours <= 0:
        raise CommandError(
            f"--event {name}: less than the baseline or no time: write 1x or more and "
            "some hours",
            BAD_INPUT,
        )
    return EventSettings(
        start="2000-01-01T00:00Z", hours=hours, warm_minutes=0.0, multiplier=times
    )


def sweep(model: Model, parameter: str) -> Json:
    """Price by bytes a stream, and where the peer's figure stops holding."""
    if parameter not in SWEEPS:
        raise CommandError(
            f"--sweep {parameter}: not one of {', '.join(SWEEPS)}: use one of these",
            BAD_INPUT,
        )
    target = peer.published()["sizing"]["price_month"]
    return {
        "parameter": "bytes_per_stream_second",
        "points": [
            {"value": value, "month": round(month, 2)}
            for value, month in what_if.sweep_bytes(model).items()
        ],
        "target": target,
        "holds_up_to": what_if.most_bytes(model, target),
        "floor": what_if.with_bytes(model, 0.0).value("price_month"),
    }


def compare(model: Model, month: bill.Bill, other: str) -> list[Json]:
    """Line by line beside the peer."""
    if other != "peer":
        raise CommandError(f"--compare {other}: only peer is known: use it", BAD_INPUT)
    return peer.compare(model, month)


def show(answer: Json, by: str, console: Console) -> None:
    """The month as a table, its assumptions, and what else it could cost."""
    table = _table("service" if by == "service" else "region", "USD/month")
    for name, amount in answer[f"by_{by}"].items():
        unknown = any(
            line["amount"] == "unknown" for line in answer["lines"] if line[by] == name
        )
        table.add_row(name, f"{'at least ' * unknown}{amount:,.0f}")
    console.print(table)
    month = answer["month"]
    bound = "" if month["complete"] else "at least "
    _say(console, f"\nmonth: {bound}{month['total']:,.0f} {answer['currency']}")
    _say(console, f"a stream: {bound}{answer['per_stream']:.6f}")
    for line in answer["lines"]:
        if line["amount"] == "unknown":
            _say(console, f"unknown: {line['service']} in {line['region']}")
    _say(console, "\nthe warm instances by other terms:")
    for name, amount in answer["billing_models"].items():
        _say(console, f"  {name}: {_amount(amount)}")
    _say(console, "\nassumptions (prices as listed, without tax or free tier):")
    for known in answer["assumptions"]:
        text = f"{shown(known['value'])} {known['unit']}".strip()
        _say(console, f"  {known['name']} = {text}: {known['source']}")


def show_event(answer: Json, console: Console) -> None:
    """An event above the baseline."""
    table = _table(answer["event"], "USD")
    for kind, amount in answer["compute"].items():
        table.add_row(f"instances, {kind}-based", _amount(amount))
    table.add_row("egress and balancer", _amount(answer["network"]))
    table.add_row("together, instance-based", _amount(answer["total"]))
    table.add_row("an hour, baseline included", _amount(answer["hour"]))
    console.print(table)
    _say(
        console,
        f"{answer['extra_instances']:,} more instances for {answer['hours']:g} h",
    )
    if answer["short"]:
        _say(console, f"the ceiling is too low in {', '.join(answer['short'])}")


def show_sweep(answer: Json, console: Console) -> None:
    """Price by bytes a stream."""
    table = _table("bytes a stream and second", "USD/month")
    for point in answer["points"]:
        table.add_row(f"{point['value']:g}", f"{point['month']:,.0f}")
    console.print(table)
    most, target = answer["holds_up_to"], answer["target"]
    if most is None:
        _say(
            console,
            f"\n{target:,.0f} a month never holds: without any byte to streams it is "
            f"{answer['floor']:,.0f}",
        )
    else:
        _say(console, f"\n{target:,.0f} a month holds up to {most:,.2f} bytes/s")


def show_comparison(rows: list[Json], console: Console) -> None:
    """This plan beside the peer."""
    table = _table("service", "peer says", "peer at list", "plan", "why")
    for row in rows:
        figures = [_amount(row[k]) for k in ("peer_said", "peer_at_list", "plan")]
        table.add_row(row["service"], *figures, row["why"])
    sums = [sum(row[k] or 0 for row in rows) for k in ("peer_at_list", "plan")]
    table.add_row(
        "all", _amount(sum(r["peer_said"] for r in rows)), *map(_amount, sums)
    )
    console.print(table)


def _table(first: str, *rest: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first)
    for name in rest:
        left = name == "why"
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    return table


def _amount(value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return "unknown"
    return f"{value:,.0f}"


def _rounded(amounts: Any) -> Json:
    return {k: None if v is None else round(v, 2) for k, v in amounts.items()}


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
