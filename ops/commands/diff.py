"""The reviewer's digest."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ops.commands.options import AsJson, Env, console, show
from ops.errors import FINDINGS

group = typer.Typer()


@group.command()
def diff(
    base: Annotated[str, typer.Argument(help="Revision that stands: a branch, a tag.")],
    head: Annotated[
        str | None, typer.Argument(help="Revision to look at; else the working tree.")
    ] = None,
    env: Env = "prod",
    markdown: Annotated[
        bool, typer.Option("--markdown", help="A comment for a code host.")
    ] = False,
    sarif: Annotated[
        bool, typer.Option("--sarif", help="Results for a code host's checks.")
    ] = False,
    as_json: AsJson = False,
    strict: Annotated[
        bool,
        typer.Option(help="End with 3 when policy refuses it or data would be lost."),
    ] = False,
) -> None:
    """What a change does: verdict, risks, the same change folded over regions.

    The base is applied to a scratch state, the head previewed on it: real engine,
    local provider, no network.
    """
    from ops.diff import digest, rehearsal, shown

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    with rehearsal.rehearse(env, base, head, say) as found:
        answer = digest.digest(env, found)
    if as_json:
        show(answer)
    elif sarif:
        show(shown.sarif(answer))
    elif markdown:
        print(shown.markdown(answer))
    else:
        out = console()
        for line in shown.lines(answer):
            out.print(line)
    if strict and (answer["policy"]["refused"] or answer["worst"] == "data"):
        raise typer.Exit(FINDINGS)
