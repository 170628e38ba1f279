"""What the catalogue comes to, before anything is created."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ops.commands.options import AsJson, Env, console, show
from ops.errors import FINDINGS

group = typer.Typer()

File = Annotated[
    Path | None,
    typer.Option("--catalogue", help="Catalogue file in place of an environment's."),
]
Explain = Annotated[
    str | None,
    typer.Option(help="How an output comes about: us-central1.instances, price_month."),
]
Peer = Annotated[
    bool, typer.Option("--peer", help="Which promises of the public peer hold.")
]


@group.command()
def plan(
    env: Env = "prod",
    catalogue: File = None,
    explain: Explain = None,
    peer: Peer = False,
    as_json: AsJson = False,
) -> None:
    """The model: instances, vCPU, memory, addresses, price per region; findings with
    their remedy; the verdict.
    """
    from ops import model
    from topology import explain as tree

    if explain:
        node = model.explained(env, catalogue, explain)
        if as_json:
            show(tree.to_json(node))
        else:
            print("\n".join(tree.lines(node)))
        return
    if peer:
        answer = model.peer(env, catalogue)
        show(answer) if as_json else model.show_peer(answer, console())
        return
    answer = model.plan(env, catalogue)
    if as_json:
        show(answer)
    else:
        model.show(answer, console())
    if any(f["level"] == "error" for f in answer["findings"]):
        raise typer.Exit(FINDINGS)


@group.command()
def cost(
    env: Env = "prod",
    catalogue: File = None,
    by: Annotated[str, typer.Option(help="service or region.")] = "service",
    event: Annotated[
        str | None, typer.Option(help="An event by name, or one such as 10x3h.")
    ] = None,
    sweep: Annotated[
        str | None, typer.Option(help="Price by a parameter: bytes_per_stream.")
    ] = None,
    compare: Annotated[
        str | None, typer.Option(help="Line by line beside another bill: peer.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The month, an event and a stream at list prices, with every assumption."""
    from ops import cost as costs
    from ops.errors import BAD_INPUT, CommandError

    if by not in costs.GROUPS:
        raise CommandError(f"--by {by}: use service or region", BAD_INPUT)
    model, month, answer = costs.cost(env, catalogue)
    parts: dict[str, tuple[Any, Any]] = {}
    if event:
        parts["event"] = costs.event(model, event), costs.show_event
    if sweep:
        parts["sweep"] = costs.sweep(model, sweep), costs.show_sweep
    if compare:
        parts["compare"] = (
            costs.compare(model, month, compare),
            costs.show_comparison,
        )
    if as_json:
        show({**answer, **{name: part for name, (part, _) in parts.items()}})
        return
    if not parts:
        costs.show(answer, by, console())
    for part, printer in parts.values():
        printer(part, console())
