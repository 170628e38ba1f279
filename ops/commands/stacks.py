"""Stacks: previews and the environment of the engine."""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated, Any

import typer

from ops.commands.options import (
    Accept,
    AsJson,
    Env,
    Reason,
    Until,
    console,
    show,
)
from ops.errors import BAD_INPUT, DIFFERENT, FINDINGS, CommandError
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
    strict: Annotated[
        bool, typer.Option(help="End with 3 on error findings and broken rules.")
    ] = False,
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
    plan = topology.make_plan(topology.load(env))
    if strict and (answer["policy"]["refused"] or plan.errors):
        raise typer.Exit(FINDINGS)


@group.command()
def apply(
    regions: Annotated[
        list[str] | None, typer.Option("--region", help="Only this cell; repeatable.")
    ] = None,
    wave: Annotated[
        int | None, typer.Option(min=0, help="Only this wave of --dry-run's list.")
    ] = None,
    bake: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds a wave is watched; else the catalogue's."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the order and why.")
    ] = False,
    expect: Annotated[
        str | None, typer.Option(help="Apply only the plan of this hash.")
    ] = None,
    retire: Annotated[
        str | None,
        typer.Option(help="Take down the cell of a region the catalogue lost."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a stopped run ended.")
    ] = False,
    accept: Accept = None,
    reason: Reason = None,
    until: Until = None,
    env: Env = "local",
    as_json: AsJson = False,
) -> None:
    """Apply in waves: dependencies first, then by blast radius; each wave is watched,
    and rolled back when it is not sound.
    """
    from ops import acceptances
    from ops import apply as applying

    if dry_run:
        _order(applying.order(env, regions or ()), as_json)
        return
    applying.refuse_foreign(env)
    acceptances.add(env, accept or (), reason, until)
    options = applying.Options(
        regions=regions or (),
        only=wave,
        bake=bake,
        expect=expect,
        retire=retire,
        resume=resume,
    )
    answer = applying.run(options, console(to_stderr=as_json))
    if as_json:
        show(answer)
    else:
        print(f"{answer['result']}: plan {answer['hash']}, record {answer['record']}")


def _order(waves: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        show(waves)
        return
    for wave in waves:
        print(f"wave {wave['wave']}: {', '.join(wave['slices'])}")
        print(f"        {wave['share']:.0%} of the streams; {wave['why']}")


@group.command()
def drift(env: Env = "local", as_json: AsJson = False) -> None:
    """What is otherwise than was applied. Ends with 4 when something is."""
    from ops import drift as drifts

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    answer = drifts.drift(env, say)
    if as_json:
        show(answer)
    else:
        print("\n".join(drifts.lines(answer)))
    if answer["drifted"]:
        raise typer.Exit(DIFFERENT)


@group.command()
def adopt(
    kind: Annotated[
        str | None, typer.Argument(metavar="TYPE", help="As `preview` prints it.")
    ] = None,
    name: Annotated[str | None, typer.Argument(help="Logical name.")] = None,
    ident: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="What the provider imports the type by."),
    ] = None,
    forget: Annotated[
        str | None, typer.Option(help="Take this name off the list again.")
    ] = None,
    env: Env = "local",
    as_json: AsJson = False,
) -> None:
    """Manage what exists already: the next `up` imports it, then changes what differs
    from its declaration; `preview` shows both.

    Without arguments, the list; it is a file of the catalogue, to be committed.
    """
    from ops import adopt as adopting
    from topology.adoption import Adoption

    if forget:
        adopting.forget(env, forget)
    elif kind is not None:
        if not name or not ident:
            text = "TYPE, NAME and ID go together: `meridian adopt --help`"
            raise CommandError(text, BAD_INPUT)
        new = Adoption(type=kind, name=name, id=ident)
        adopting.add(env, new, lambda text: print(text, file=sys.stderr))
    answer = adopting.listed(env)
    show(answer) if as_json else print("\n".join(adopting.lines(answer)))


@group.command()
def bootstrap(env: Env = "prod", as_json: AsJson = False) -> None:
    """What an organisation needs once: projects, state bucket, key, a deployer a slice.

    Printed as a script to read and run; nothing is made here.
    """
    from ops import bootstrap as first

    answer = first.bootstrap(env)
    if as_json:
        show(answer)
    else:
        print("\n".join(first.lines(answer)))


state_app = typer.Typer(no_args_is_help=True, help="Copies of states.")
group.add_typer(state_app, name="state")


@state_app.command("backup")
def state_backup(env: Env = "local") -> None:
    """Copy the state of every stack of an environment."""
    from ops import backups
    from ops.paths import relative

    print(relative(backups.save_all(env)))


@state_app.command("restore")
def state_restore(
    name: Annotated[
        str | None, typer.Argument(help="Backup; the newest when left out.")
    ] = None,
    env: Env = "local",
) -> None:
    """Put a backup back; what stands now is backed up first."""
    from ops import backups, world
    from ops.paths import relative

    with world.one_at_a_time():
        folder, count = backups.restore(env, name)
    print(f"{count} states from {relative(folder)}; `meridian preview` shows the rest")


@state_app.command("rotate")
def state_rotate() -> None:
    """Give every state of this clone a new passphrase. Nothing that runs is touched.

    With a key service: `pulumi stack change-secrets-provider gcpkms://...` for each
    stack; a new version of the same key needs nothing.
    """
    from ops import rotation, world

    with world.one_at_a_time():
        count = rotation.rotate(lambda text: print(text, file=sys.stderr, flush=True))
    print(f"{count} states have a new passphrase, kept in .meridian/passphrase")


@group.command()
def promote(
    region: Annotated[
        str, typer.Argument(help="Region whose replica takes its lost hub's place.")
    ],
    env: Env = "local",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the edit, change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """After a hub was lost for good: its replica here leads its log.

    Edits the catalogue alone and says what to apply; `git checkout` undoes it."""
    from ops import promote as promotion

    done = promotion.promote(env, region, write=not dry_run)
    if as_json:
        show(dataclasses.asdict(done))
        return
    print(done.diff)
    if dry_run:
        print(f"{done.file} is as before")
        return
    print(f"{done.file}: {region} leads the log of {done.origin}. What is next:")
    only = "" if env == "local" else f" --env {env}"
    print(f"  meridian apply{only} --region {region}   its replica becomes the primary")
    print(f"  meridian logs {region}   `epoch begun` says what was lost")
    print(f"  meridian apply{only}   made anew as replicas: {', '.join(done.rebuilt)}")
    print(f"  serving: true in {done.lost}, and apply: it takes traffic again")


layout_app = typer.Typer(no_args_is_help=True, help="Which stacks own a world.")
group.add_typer(layout_app, name="layout")


@layout_app.command("move")
def layout_move(env: Env = "local", as_json: AsJson = False) -> None:
    """Move the state to the stacks of the catalogue's `layout`: whole or sliced."""
    from ops import layout

    answer = layout.move(env)
    if as_json:
        show(answer)
    elif answer["moved"]:
        print(f"{env} is {answer['layout']}: {answer['moved']} resources moved")
        print(f"the states before: {answer['backup']}; `meridian preview` is empty")
    else:
        print(f"{env} is {answer['layout']}: nothing to move")


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
