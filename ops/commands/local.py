"""The local world: up, down, and a look at it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ops.commands.options import (
    OVER,
    Accept,
    AsJson,
    Reason,
    Until,
    console,
    one_of,
    over_option,
    show,
)
from ops.errors import BAD_INPUT, CommandError

group = typer.Typer()


@group.command()
def up(
    accept: Accept = None,
    reason: Reason = None,
    until: Until = None,
    as_json: AsJson = False,
) -> None:
    """Bring the local world up, or to what the catalogue says now."""
    from ops import acceptances, model, world

    acceptances.add("local", accept or (), reason, until)
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


@group.command()
def down(
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="Keep databases and state.")
    ] = False,
) -> None:
    """Stop the local world. Its data goes too, unless kept."""
    from ops import world

    world.down(console(), keep_data=keep_data)
    print("down: nothing is left running")


@group.command()
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


@group.command("open")
def open_page() -> None:
    """Print the page's address, and open it where there is a browser."""
    import webbrowser

    from ops import world

    world.call("/console/world")
    print(world.world().control)
    webbrowser.open(world.world().control)


@group.command()
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


@group.command()
def trace(
    which: Annotated[
        str | None,
        typer.Argument(help="Trace id, or event id of a write; without it the newest."),
    ] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="The newest traces, requests too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Follow a write through the regions: when each step began, how long it took.

    `telemetry.trace_share` of all writes and requests is kept, in this world all.
    """
    from ops import traces

    if listed and which is not None:
        raise CommandError("--list shows all: leave the trace out", BAD_INPUT)
    if listed:
        found = traces.newest(None)
        if as_json:
            show({"traces": found})
        else:
            console().print(traces.listed(found))
        return
    one = traces.one(which)
    if as_json:
        show(one)
        return
    print(traces.title(one) + "\n")
    console().print(traces.waterfall(one))


@group.command()
def fail(
    kind: Annotated[
        str,
        typer.Argument(help="region, service, worker, database, cache or cloud."),
    ],
    region: Annotated[
        str | None, typer.Argument(help="Where; `cloud` has no region.")
    ] = None,
    duration: Annotated[
        str, typer.Option("--for", help="30s, 2m: it ends by itself.")
    ] = "30s",
    how: Annotated[str, typer.Option(help="kill or freeze.")] = "kill",
    slow: Annotated[
        str | None,
        typer.Option(
            help="For `cloud`: every request that changes a resource waits so long."
        ),
    ] = None,
) -> None:
    """Break a part on purpose, or slow the cloud. It always comes back by itself."""
    from localcloud.control.faults import CLOUD
    from ops import world

    seconds = _seconds("--for", duration)
    if kind == CLOUD:
        if region or slow is None:
            text = "fail cloud: takes no region, and --slow 0.3s"
            raise CommandError(text, BAD_INPUT)
        how = f"slow by {_seconds('--slow', slow):g}s"
    elif region is None or slow is not None:
        text = f"fail {kind}: name its region; --slow is for `fail cloud`"
        raise CommandError(text, BAD_INPUT)
    body = {"kind": kind, "region": region or "", "how": how, "seconds": seconds}
    answer = world.call("/console/faults", body)
    print(f"{how} {answer['target']}: back in {seconds:g} s")


def _seconds(option: str, text: str) -> float:
    from localcloud.control.faults import parse_seconds
    from localcloud.errors import WorldError

    try:
        return parse_seconds(text)
    except WorldError as error:
        raise CommandError(f"{option}: {error}", BAD_INPUT) from error


@group.command()
def demo(
    rounds: Annotated[
        int, typer.Option(min=0, help="Rounds of the commentary; 0 goes on for ever.")
    ] = 1,
    sentence: Annotated[
        str | None, typer.Option(help="Write this sentence instead of the commentary.")
    ] = None,
    over: Annotated[str, over_option(OVER)] = "websocket",
    as_json: AsJson = False,
) -> None:
    """Match commentary from two regions, heard by forty standing queries elsewhere."""
    from ops import demo as demonstration

    if sentence is not None and not sentence.strip():
        raise CommandError("--sentence is empty: write what is said", BAD_INPUT)
    stream = sys.stderr if as_json else sys.stdout

    def say(line: str) -> None:
        print(line, file=stream, flush=True)

    way = one_of(over, OVER)
    answer = demonstration.run(rounds, sentence, say, way)
    if as_json:
        show(answer)
