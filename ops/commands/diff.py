"""The reviewer's digest."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ops.commands.options import AsJson, Env, console, show
from ops.errors import BAD_INPUT, FINDINGS, CommandError

group = typer.Typer()


@group.command()
def diff(
    base: Annotated[
        str | None, typer.Argument(help="Revision that stands: a branch, a tag.")
    ] = None,
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
    made: Annotated[
        Path | None,
        typer.Option("--from", help="Show a --json answer again, in another form."),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(help="End with 3 when policy refuses it or data would be lost."),
    ] = False,
) -> None:
    """What a change does: verdict, risks, the same change folded over regions.

    The base is applied to a scratch state, the head previewed on it: real engine,
    local provider, no network.
    """
    from ops.diff import shown

    answer = _made(made, base) if made else _rehearsed(env, base, head)
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


def _rehearsed(env: str, base: str | None, head: str | None) -> dict[str, Any]:
    from ops.diff import digest, rehearsal

    if base is None:
        text = "the revision that stands is missing: `meridian diff main HEAD`"
        raise CommandError(text, BAD_INPUT)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    with rehearsal.rehearse(env, base, head, say) as found:
        return digest.digest(env, found)


def _made(file: Path, base: str | None) -> dict[str, Any]:
    """An answer of before: one rehearsal serves a comment, checks and the exit code."""
    from ops.diff import digest

    if base is not None:
        text = f"--from {file} holds its revisions: leave {base} out"
        raise CommandError(text, BAD_INPUT)
    return digest.read(file)
