"""What every command shares: options, and where answers are printed."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ops.errors import BAD_INPUT, CommandError

Env = Annotated[str, typer.Option("--env", help="Environment: prod, staging or local.")]
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


Accept = Annotated[
    list[str] | None,
    typer.Option(
        "--accept", help="Accept a finding: its code, or code@region; repeatable."
    ),
]
Reason = Annotated[str | None, typer.Option(help="Why it is accepted.")]
Until = Annotated[str | None, typer.Option(help="Last day of it, YYYY-MM-DD.")]

CALLS = ("http", "websocket", "grpc")
"""What carries calls."""
OVER = ("websocket", "sse", "grpc")
"""What carries streams."""


def over_option(allowed: tuple[str, ...]) -> Any:
    return typer.Option("--over", help=f"How it travels: {', '.join(allowed)}.")


def one_of(given: str, allowed: tuple[str, ...]) -> str:
    if given not in allowed:
        text = f"--over is {given!r}; allowed: {', '.join(allowed)}"
        raise CommandError(text, BAD_INPUT)
    return given
