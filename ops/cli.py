"""The `meridian` command: one group of commands a module of `ops.commands`. Heavy
modules are imported by the command that needs them.
"""

from __future__ import annotations

import signal
import sys

import typer

from ops.commands import data, diff, local, model, parts, policy, stacks
from ops.errors import BAD_INPUT, DONE, FAILED, CommandError

app = typer.Typer(
    name="meridian",
    help="A 15-region vector streaming platform: plan, preview, run it live here.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (local, model, policy, stacks, diff, data, parts):
    app.add_typer(module.group)


TYPER_INTERRUPTED = 130
"""What Typer ends with, by itself, when a command is interrupted."""


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
        return _interrupted()
    except SystemExit as ended:
        if ended.code != TYPER_INTERRUPTED:
            raise
        return _interrupted()
    return DONE


def _interrupted() -> int:
    # One more would end the interpreter's own ending by a signal.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("interrupted: run it again, it goes on where it stopped", file=sys.stderr)
    return FAILED
