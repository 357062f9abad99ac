"""How a command fails: one line for the person, one exit code for the shell."""

from __future__ import annotations

FAILED = 1
"""The command could not do its work."""
REFUSED = 2
"""The command was asked for something that it will not do; nothing was changed."""


class CliError(Exception):
    """A command's end that is not success.

    Args:
        message: What is wrong and the next step; free of secrets.
        code: Exit code: `FAILED`, `REFUSED`, or the one of a program that was run.
    """

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Ended(Exception):
    """A program that was run has failed and has itself said why.

    Args:
        code: Its exit code.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code
