"""Vectors and sentences through a front door."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ops.commands.options import Region, show
from ops.errors import BAD_INPUT

group = typer.Typer()


@group.command()
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


@group.command()
def search(
    collection: str,
    text: Annotated[str, typer.Argument(help="What to look for, in words.")],
    k: Annotated[int, typer.Option("-k", min=1, max=1000)] = 10,
    region: Region = None,
) -> None:
    """Search a collection through a region's front door."""
    from ops import data

    show(data.finish(data.search(data.address(region), collection, text, k)))


@group.command()
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
