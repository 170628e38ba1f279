"""Steps with progress on standard error, and commands that explain their failure."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

REPORT_EVERY_SECONDS = 10.0


class SetupError(Exception):
    """A step cannot be done; the message says what to do."""


@contextmanager
def step(name: str) -> Iterator[Callable[[str], None]]:
    """Print the step's name, a sign of life every ten seconds, and its time."""
    started = time.monotonic()
    done = threading.Event()

    def say(text: str) -> None:
        print(f"  {name}: {text}", file=sys.stderr, flush=True)

    def tick() -> None:
        while not done.wait(REPORT_EVERY_SECONDS):
            say(f"working, {time.monotonic() - started:.0f} s")

    print(f"  {name} ...", file=sys.stderr, flush=True)
    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield say
    finally:
        done.set()
        thread.join()
    say(f"done, {time.monotonic() - started:.1f} s")


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    remedy: str = "check the network and the disk's free space, then run it again",
) -> str:
    """Run a command to its end; its output is shown only when it fails."""
    try:
        result = subprocess.run(
            command, cwd=cwd, env=env, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise SetupError(f"{command[0]} is not installed: {remedy}") from error
    if result.returncode:
        tail = (result.stderr or result.stdout).strip()[-2000:]
        text = f"{' '.join(command[:4])} ... ended with {result.returncode}"
        raise SetupError(f"{text}:\n{tail}\n{remedy}")
    return result.stdout
