"""Commands and options of `meridian`. Heavy modules are imported by the command that
needs them.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from ops.errors import BAD_INPUT, FAILED, FINDINGS, CommandError

app = typer.Typer(
    name="meridian",
    help="A 15-region vector streaming platform: plan, preview, run it live here.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Env = Annotated[str, typer.Option("--env", help="Environment: prod or local.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable answer.")]


def show(value: Any) -> None:
    print(json.dumps(value, indent=2))


def console(to_stderr: bool = False) -> Any:
    from rich.console import Console

    return Console(stderr=to_stderr, highlight=False)


@app.command()
def up(as_json: AsJson = False) -> None:
    """Bring the local world up, or to what the catalogue says now."""
    from ops import model, world

    model.check("local")
    status = world.up(console(to_stderr=as_json))
    if as_json:
        show(status)
        return
    console().print(world.table(status))
    ready = sum(r["ready"] for r in status["regions"])
    print(
        f"\n{ready} of {len(status['regions'])} regions ready. "
        f"The page: {world.world().control}"
    )


@app.command()
def down(
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="Keep databases and state.")
    ] = False,
) -> None:
    """Stop the local world. Its data goes too, unless kept."""
    from ops import world

    world.down(console(), keep_data=keep_data)
    print("down: nothing is left running")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Table of regions: role, instances, health, latency."""
    from ops import world

    answer = world.call("/console/world")
    if as_json:
        show(answer)
        return
    console().print(world.table(answer))
    for fault in answer["faults"]:
        print(f"fault: {fault['how']} {fault['target']}")
    declared = world.call("/console/declared")["types"]
    idle = [t for t in declared if not t["runs"]]
    names = ", ".join(f"{t['type'].split(':')[-1]} x{t['count']}" for t in idle)
    print(f"\ndeclared, not run: {names}")


@app.command("open")
def open_page() -> None:
    """Print the page's address, and open it where there is a browser."""
    import webbrowser

    from ops import world

    world.call("/console/world")
    print(world.world().control)
    webbrowser.open(world.world().control)


@app.command()
def logs(
    part: Annotated[
        str,
        typer.Argument(
            help="A region, or control, envoy, prometheus, sql, redis, template."
        ),
    ],
    lines: Annotated[
        int, typer.Option("-n", "--lines", help="Lines of each file.")
    ] = 40,
    follow: Annotated[bool, typer.Option("-f", "--follow")] = False,
) -> None:
    """Logs of a region or of a part."""
    from ops import logs as reader

    reader.show(part, lines, follow=follow)


@app.command()
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


@app.command()
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


@app.command("env")
def env_command(
    env: Env = "prod",
    offline: Annotated[
        bool, typer.Option("--offline", help="The local provider answers for Google's.")
    ] = False,
) -> None:
    """Lines to `eval`, so that plain `pulumi` works in this clone."""
    from ops import engine

    target = engine.stack(env)
    engine.prepare(target)
    print(engine.shell_lines(engine.environment(target, offline=offline)))


def main() -> int:
    """Entry point; the exit code."""
    from topology.errors import CatalogueError

    try:
        app(standalone_mode=False)
    except CatalogueError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code
    except typer.Exit as stop:
        return stop.exit_code
    except typer.Abort:
        return FAILED
    except KeyboardInterrupt:
        print("interrupted: run it again, it goes on where it stopped", file=sys.stderr)
        return FAILED
    return 0
