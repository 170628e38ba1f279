"""Stacks: previews and the environment of the engine."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.commands.options import AsJson, Env, show
from ops.errors import BAD_INPUT, CommandError
from topology import slices

group = typer.Typer()
Chosen = tuple[slices.Slice, ...]


Layer = Annotated[
    slices.Layer | None,
    typer.Option(help="One layer; `world` is all of them in one stack."),
]
Cell = Annotated[str | None, typer.Option("--region", help="The cell of one region.")]


def choose(env: str, layer: slices.Layer | None, region: str | None) -> Chosen:
    """The slices that --layer and --region name; none means those that own it."""
    import topology

    if layer is None and region is None:
        return ()
    catalogue = topology.load(env)
    if region is None:
        cells = tuple(piece for piece in slices.sliced(catalogue) if piece.region)
        return (slices.named(layer),) if layer and layer != "cell" else cells
    if layer not in (None, slices.Layer.CELL):
        text = f"--region {region} with --layer {layer}: only a cell has a region"
        raise CommandError(text, BAD_INPUT)
    if region not in catalogue.regions:
        text = f"--region {region}: {env} has {', '.join(catalogue.regions)}"
        raise CommandError(text, BAD_INPUT)
    return (slices.cell(region),)


@group.command()
def preview(
    env: Env = "local",
    layer: Layer = None,
    region: Cell = None,
    sliced: Annotated[
        bool, typer.Option(help="All slices, whatever the catalogue's layout.")
    ] = False,
    live: Annotated[bool, typer.Option(help="Use Google's own provider.")] = False,
    as_json: AsJson = False,
) -> None:
    """What `up` would change. Offline against the local provider unless --live."""
    import topology
    from ops import preview as previews

    chosen = slices.sliced(topology.load(env)) if sliced else choose(env, layer, region)
    answer = previews.preview(env, live=live, chosen=chosen)
    if as_json:
        show(answer)
    else:
        print("\n".join(previews.lines(answer)))


@group.command("env")
def env_command(
    env: Env = "prod",
    layer: Layer = None,
    region: Cell = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="The local provider answers for Google's.")
    ] = False,
) -> None:
    """Lines to `eval`, so that plain `pulumi` works in this clone."""
    from ops import backend, engine, stack, world

    chosen = choose(env, layer, region) or (slices.WORLD,)
    if len(chosen) > 1:
        text = "one stack at a time: --layer foundation or edge, or --region NAME"
        raise CommandError(text, BAD_INPUT)
    target = stack.stack(env, chosen[0])
    backend.prepare(target)
    values = engine.environment(target, offline=offline)
    if env == "local" and offline and world.alive():
        values["MERIDIAN_CONTROL_PLANE"] = world.world().control
    print(engine.shell_lines(values))
