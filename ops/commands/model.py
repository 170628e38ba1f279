"""What the catalogue comes to, before anything is created."""

from __future__ import annotations

import typer

from ops.commands.options import AsJson, Env, console, show
from ops.errors import FINDINGS

group = typer.Typer()


@group.command()
def plan(env: Env = "prod", as_json: AsJson = False) -> None:
    """The model: instances, vCPU, memory, addresses per region, and findings with their
    remedy.
    """
    from ops import model

    answer = model.plan(env)
    if as_json:
        show(answer)
    else:
        model.show(answer, console())
    if any(f["level"] == "error" for f in answer["findings"]):
        raise typer.Exit(FINDINGS)
