"""Exit codes, and errors that end a command."""

from __future__ import annotations

DONE, FAILED, BAD_INPUT, FINDINGS, DIFFERENT = range(5)


class CommandError(Exception):
    """Ends a command with a message and an exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code
