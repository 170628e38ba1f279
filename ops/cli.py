"""Commands and options of `meridian`. Heavy modules are imported by the command that
needs them.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import Annotated, Any

import typer

from ops.errors import BAD_INPUT, DONE, FAILED, FINDINGS, CommandError

app = typer.Typer(
    name="meridian",
    help="A 15-region vector streaming platform: plan, preview, run it live here.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Env = Annotated[str, typer.Option("--env", help="Environment: prod or local.")]
Region = Annotated[
    str | None, typer.Option("--region", help="Region whose front door is used.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable answer.")]


def show(value: Any) -> None:
    print(json.dumps(value, indent=2))


WIDE = 200


def console(to_stderr: bool = False) -> Any:
    from rich.console import Console

    made = Console(stderr=to_stderr, highlight=False)
    # A pipe has no width: lines must not be broken for one.
    return made if made.is_terminal else Console(stderr=to_stderr, width=WIDE)


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
    print("\n" + world.kernels(answer))
    declared = world.call("/console/declared")["types"]
    idle = [t for t in declared if not t["runs"]]
    names = ", ".join(f"{t['type'].split(':')[-1]} x{t['count']}" for t in idle)
    print(f"declared, not run: {names}")


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
    from ops import engine, world

    target = engine.stack(env)
    engine.prepare(target)
    values = engine.environment(target, offline=offline)
    if env == "local" and offline and world.alive():
        values["MERIDIAN_CONTROL_PLANE"] = world.world().control
    print(engine.shell_lines(values))


@app.command()
def demo(
    rounds: Annotated[
        int, typer.Option(min=0, help="Rounds of the commentary; 0 goes on for ever.")
    ] = 1,
    sentence: Annotated[
        str | None, typer.Option(help="Write this sentence instead of the commentary.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Match commentary from two regions, heard by forty standing queries elsewhere."""
    from ops import demo as demonstration

    if sentence is not None and not sentence.strip():
        raise CommandError("--sentence is empty: write what is said", BAD_INPUT)
    stream = sys.stderr if as_json else sys.stdout

    def say(line: str) -> None:
        print(line, file=stream, flush=True)

    answer = demonstration.run(rounds, sentence, say)
    if as_json:
        show(answer)


@app.command()
def put(
    collection: Annotated[str, typer.Argument(help="Collection to write to.")],
    text: Annotated[
        str | None, typer.Option(help="A sentence; without it, JSON lines from stdin.")
    ] = None,
    item_id: Annotated[str | None, typer.Option("--id")] = None,
    region: Region = None,
    create: Annotated[
        bool, typer.Option(help="Make the collection if missing.")
    ] = False,
) -> None:
    """Write vectors or sentences through a region's front door."""
    from ops import data

    items = data.items_from(text, item_id)
    work = data.put(data.address(region), collection, items, create)
    results = data.finish(work)
    show(results)
    if any("error" in result for result in results):
        raise typer.Exit(BAD_INPUT)


@app.command()
def search(
    collection: str,
    text: Annotated[str, typer.Argument(help="What to look for, in words.")],
    k: Annotated[int, typer.Option("-k", min=1, max=1000)] = 10,
    region: Region = None,
) -> None:
    """Search a collection through a region's front door."""
    from ops import data

    show(data.finish(data.search(data.address(region), collection, text, k)))


@app.command()
def watch(
    collection: str,
    text: Annotated[str, typer.Argument(help="What to listen for, in words.")],
    threshold: Annotated[float, typer.Option(min=-1, max=1)] = 0.5,
    region: Region = None,
) -> None:
    """Follow a standing query until interrupted."""
    from ops import data

    def tell(match: dict[str, Any]) -> None:
        print(json.dumps(match), flush=True)

    url = data.address(region)
    data.finish(data.watch(url, collection, text, threshold, tell))


@app.command()
def fail(
    kind: Annotated[
        str, typer.Argument(help="region, service, worker, database or cache.")
    ],
    region: Annotated[str, typer.Argument()],
    duration: Annotated[
        str, typer.Option("--for", help="30s, 2m: it ends by itself.")
    ] = "30s",
    how: Annotated[str, typer.Option(help="kill or freeze.")] = "kill",
) -> None:
    """Break a part on purpose. It always comes back by itself."""
    from localcloud.control.faults import parse_seconds
    from localcloud.errors import WorldError
    from ops import world

    try:
        seconds = parse_seconds(duration)
    except WorldError as error:
        raise CommandError(f"--for: {error}", BAD_INPUT) from error
    body = {"kind": kind, "region": region, "how": how, "seconds": seconds}
    answer = world.call("/console/faults", body)
    print(f"{how} {answer['target']}: back in {seconds:g} s")


secret_app = typer.Typer(no_args_is_help=True, help="Secret versions.")
image_app = typer.Typer(no_args_is_help=True, help="The service's image.")
app.add_typer(secret_app, name="secret")
app.add_typer(image_app, name="image")


@secret_app.command("put")
def secret_put(name: str, env: Env = "local") -> None:
    """Add a version from standard input. It never passes through Pulumi."""
    from ops import secret

    print(secret.put(env, name, secret.read_value()))


@image_app.command("build")
def image_build(as_json: AsJson = False) -> None:
    """Build the image (buildah) or take the digest of the service's tree."""
    from ops import image

    answer = image.build()
    if as_json:
        show(answer)
    else:
        print(f"{answer['digest']}\n{answer['note']}")


def main() -> int:
    """Entry point; the exit code (see `ops.errors`)."""
    from topology.errors import CatalogueError

    # Told to end is like interrupted: what was started is told, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except CatalogueError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        print("interrupted: run it again, it goes on where it stopped", file=sys.stderr)
        return FAILED
    return DONE
