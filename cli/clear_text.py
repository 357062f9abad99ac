"""Looks for keys in clear text before the engine could write them into the backend's history."""

from __future__ import annotations

from cli.pulumi_cli import Pulumi
from cli.stacks import stack_file


def refuse_clear_text(pulumi: Pulumi) -> None:
    """Reads the stack's file; the program looks again, at what the engine gives it.

    Raises:
        StackConfigError: A key is in clear text; it has the command that makes it a secure value.
    """
    from stack_config import StackConfigError, read_stack_file
    from stack_config.clear_text import SECURE, clear_text

    file = stack_file(pulumi.root, pulumi.stack)
    if not file.is_file():
        return
    values = read_stack_file(file)
    if problems := clear_text(values, values, SECURE):
        raise StackConfigError(file.name, problems)
