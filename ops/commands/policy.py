"""Rules over planned resources, before anything is created."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.commands.options import AsJson, Env, show
from ops.errors import FAILED

group = typer.Typer()


@group.command()
def policy(
    env: Env = "prod",
    as_json: AsJson = False,
    corpus: Annotated[
        bool,
        typer.Option("--corpus", help="Map of known faults; every rule on trial."),
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option("--state", help="Look at the output of `pulumi stack export`."),
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option("--preview", help="Look at `pulumi preview --json --show-sames`."),
    ] = None,
) -> None:
    """What Google would refuse, and what would expose or lose data: rules over every
    resource of an environment, planned offline.
    """
    from ops import policy as policies

    if corpus:
        trial = policies.map_of_faults()
        show(trial) if as_json else print("\n".join(policies.map_lines(trial)))
        raise typer.Exit(FAILED if trial["wrong"] else 0)
    records = policies.gather(env, preview, state, _progress)
    found = policies.judge(env, records)
    answer = policies.answer(env, records, found)
    show(answer) if as_json else print("\n".join(policies.lines(answer)))
    raise typer.Exit(policies.code(found))


def _progress(text: str) -> None:
    typer.echo(text, err=True)
