"""Vectors and sentences through a front door."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Coroutine
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ops.commands.options import (
    CALLS,
    OVER,
    WIDE,
    Region,
    one_of,
    over_option,
    show,
)
from ops.errors import BAD_INPUT, CommandError

group = typer.Typer()
Filter = Annotated[
    str | None,
    typer.Option(
        "--filter",
        help='Metadata that counts, as JSON: \'{"field": "lang", "eq": "de"}\'.',
    ),
]
Listened = Annotated[str | None, typer.Argument(help="Collection to listen to.")]
Wanted = Annotated[str | None, typer.Argument(help="What to listen for, in words.")]
Threshold = Annotated[
    float | None, typer.Option(min=-1, max=1, help="Scores that match; 0.5.")
]
Rate = Annotated[
    float | None,
    typer.Option(help="Matches an hour instead of a threshold.", min=0.001),
]
Since = Annotated[
    float | None,
    typer.Option(help="Seconds back to start from; without it, now.", min=0),
]
Best = Annotated[
    int | None,
    typer.Option(help="Only the best so many of each --every.", min=1, max=100),
]
Every = Annotated[
    int | None, typer.Option(help="Seconds of a window of --best.", min=1, max=3600)
]
Persistent = Annotated[
    bool, typer.Option(help="Keep it; its id is told on standard error.")
]
Lease = Annotated[
    int | None,
    typer.Option(help="Seconds a --persistent one is kept without a client."),
]
Attach = Annotated[
    str | None, typer.Option(help="Go on with a persistent one by its id.")
]


def _filter(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError) as error:
        message = f"--filter is no JSON object ({error}): {text[:80]}"
        raise CommandError(message, BAD_INPUT) from error


@group.command()
def put(
    collection: Annotated[str, typer.Argument(help="Collection to write to.")],
    text: Annotated[
        str | None, typer.Option(help="A sentence; without it, JSON lines from stdin.")
    ] = None,
    item_id: Annotated[str | None, typer.Option("--id")] = None,
    region: Region = None,
    over: Annotated[str, over_option(CALLS)] = "http",
    create: Annotated[
        bool, typer.Option(help="Make the collection if missing.")
    ] = False,
) -> None:
    """Write vectors or sentences through a region's front door."""
    from ops import data

    items = data.items_from(text, item_id)
    url = data.address(region)
    work = data.put(url, collection, items, create, one_of(over, CALLS))
    results = data.finish(work)
    show(results)
    if any("error" in result for result in results):
        raise typer.Exit(BAD_INPUT)


@group.command()
def search(
    collection: str,
    text: Annotated[str, typer.Argument(help="What to look for, in words.")],
    k: Annotated[int, typer.Option("-k", min=1, max=1000)] = 10,
    region: Region = None,
    filter_: Filter = None,
    over: Annotated[str, over_option(CALLS)] = "http",
) -> None:
    """Search a collection through a region's front door."""
    from ops import data

    options = {"k": k, "filter": _filter(filter_)}
    url = data.address(region)
    work = data.search(url, collection, text, options, one_of(over, CALLS))
    show(data.finish(work))


@group.command()
def watch(
    collection: Listened = None,
    text: Wanted = None,
    threshold: Threshold = None,
    rate: Rate = None,
    since: Since = None,
    best: Best = None,
    every: Every = None,
    filter_: Filter = None,
    persistent: Persistent = False,
    lease: Lease = None,
    attach: Attach = None,
    region: Region = None,
    over: Annotated[str, over_option(OVER)] = "websocket",
) -> None:
    """Follow a standing query until interrupted; it resumes by itself."""
    from ops import data

    way = one_of(over, OVER)
    asked: dict[str, Any] = {
        "threshold": threshold,
        "rate_per_hour": rate,
        "filter": _filter(filter_),
        "best": best,
        "window_seconds": every,
        "persistent": persistent,
        "lease_seconds": lease,
        "start": None if since is None else {"seconds": since},
    }
    if attach is not None:
        _refuse_more(collection, asked)
        work = data.attach(data.address(region), attach, _tell, way)
    else:
        if collection is None or text is None:
            raise CommandError("give a collection and a text, or --attach", BAD_INPUT)
        options = _checked(asked)
        url = data.address(region)
        work = data.watch(url, collection, text, options, _tell, way)
    _until_interrupted(work)


def _refuse_more(collection: str | None, asked: dict[str, Any]) -> None:
    """Raises CommandError where `--attach` is given something to change."""
    if collection is not None or any(v not in (None, False) for v in asked.values()):
        what = "--attach takes a stream as it is: leave the rest out"
        raise CommandError(what, BAD_INPUT)


def _until_interrupted(work: Coroutine[Any, Any, None]) -> None:
    """^C is how a watch ends: nothing was cut short that another run would finish."""
    from ops import data

    with contextlib.suppress(KeyboardInterrupt):
        data.finish(work)


def _checked(asked: dict[str, Any]) -> dict[str, Any]:
    """What a new standing query is asked for; raises CommandError for half of it."""
    if asked["lease_seconds"] is not None and not asked["persistent"]:
        raise CommandError("--lease goes with --persistent", BAD_INPUT)
    if asked["threshold"] is not None and asked["rate_per_hour"] is not None:
        raise CommandError("--threshold and --rate exclude each other", BAD_INPUT)
    if (asked["best"] is None) != (asked["window_seconds"] is None):
        raise CommandError("--best and --every go together", BAD_INPUT)
    given = {key: value for key, value in asked.items() if value is not None}
    if "threshold" not in given and "rate_per_hour" not in given:
        given["threshold"] = 0.5
    return given


def _tell(match: dict[str, Any]) -> None:
    print(json.dumps(match), flush=True)


@group.command()
def streams(
    drop: Annotated[
        str | None, typer.Option("--drop", help="Forget the one with this id.")
    ] = None,
    region: Region = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List persistent streams of all hubs, or forget one."""
    from ops import data

    url = data.address(region)
    if drop is not None:
        data.finish(data.drop_stream(url, drop))
        print(f"{drop} is forgotten.", file=sys.stderr if as_json else sys.stdout)
        return
    answer = data.finish(data.streams(url))
    found = answer["streams"]
    for hub in answer["away"]:
        print(f"{hub} does not answer: its streams are not listed", file=sys.stderr)
    if as_json:
        show(found)
        return
    table = Table("id", "collection", "text", "threshold", "owned", "lease ends")
    for one in found:
        ends = datetime.fromtimestamp(one["lease_until"]).strftime("%d %b %H:%M:%S")
        text = str(one.get("text") or "")
        owned = "yes" if one["owned"] else "no"
        where = (one["id"], one["collection"], text)
        table.add_row(*where, f"{one['threshold']:.3f}", owned, ends)
    Console(width=WIDE).print(table)


@group.command()
def root_key() -> None:
    """Make a root key, which makes the first keys of tenants.

    The key is printed this once and kept nowhere; its SHA-256 goes under
    service.root_key_sha256 of the catalogue.
    """
    from service.access.gate import new_root_key

    text, digest = new_root_key()
    print(f"key (keep it where secrets are kept): {text}")
    print(f"root_key_sha256: {digest}")


@group.command()
def collections(
    region: Region = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the collections of the local world and how many items they hold."""
    from ops import data

    found = data.finish(data.collections(data.address(region)))
    if as_json:
        show(found)
        return
    table = Table("collection", "items", "dimension", "metric", "elements", "writes")
    for one in found:
        keys = ("name", "count", "dimension", "metric", "element_type", "writes")
        table.add_row(*(str(one.get(key, "")) for key in keys))
    Console().print(table)


@group.command()
def drop(
    collection: Annotated[str, typer.Argument(help="Collection to drop.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    region: Region = None,
) -> None:
    """Drop a collection with all its items; there is no undo."""
    from ops import data

    url = data.address(region)
    one = data.finish(data.describe(url, collection))
    if not yes and not typer.confirm(
        f"Drop {collection} with {one.get('count', 0)} items for good?"
    ):
        raise typer.Exit(1)
    data.finish(data.drop(url, collection))
    print(f"{collection} is dropped.")
