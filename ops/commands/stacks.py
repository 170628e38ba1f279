"""Stacks: previews and the environment of the engine."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.commands.options import AsJson, Env, show

group = typer.Typer()


@group.command()
def preview(
    env: Env = "local",
    live: Annotated[bool, typer.Option(help="Use Google's own provider.")] = False,
    as_json: AsJson = False,
) -> None:
    """What `up` would change. Offline against the local provider unless --live."""
    from ops import preview as previews

    answer = previews.preview(env, live=live)
    if as_json:
        show(answer)
    else:
        print("\n".join(previews.lines(answer)))


@group.command("env")
def env_command(
    env: Env = "prod",
    offline: Annotated[
        bool, typer.Option("--offline", help="The local provider answers for Google's.")
    ] = False,
) -> None:
    """Lines to `eval`, so that plain `pulumi` works in this clone."""
    from ops import engine, world

    target = engine.stack(env)
    engine.prepare(target)
    values = engine.environment(target, offline=offline)
    if env == "local" and offline and world.alive():
        values["MERIDIAN_CONTROL_PLANE"] = world.world().control
    print(engine.shell_lines(values))
