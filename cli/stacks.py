"""Which stack a command is about."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import CliError
from cli.project import DEV_STACK, engine_environment, find_root
from cli.pulumi_cli import Pulumi

StackOption = Annotated[
    str,
    typer.Option(
        "--stack", "-s", help="Name of the stack; by default the selected one.", envvar="GPUPLANE_STACK"
    ),
]


def open_stack(stack: str) -> Pulumi:
    """The engine's command line for a stack.

    Args:
        stack: Its name; empty for the selected one, or the dev stack where none is selected and it exists.

    Raises:
        CliError: There is no project, no engine, or no stack is selected.
    """
    root = find_root()
    if stack:
        return Pulumi(root, engine_environment(root, stack), stack)
    for guess in ("", DEV_STACK):
        pulumi = Pulumi(root, engine_environment(root, guess), guess)
        name = _selected(pulumi)
        if name:
            return Pulumi(root, pulumi.environment, name)
    raise CliError("no stack is selected: give --stack NAME, or run `pulumi stack select NAME`")


def stack_file(root: Path, stack: str) -> Path:
    """The file of a stack."""
    from stack_config import stack_file_name

    return root / stack_file_name(stack)


def _selected(pulumi: Pulumi) -> str:
    try:
        return pulumi.capture("stack", "--show-name", of_stack=False).strip()
    except CliError:
        return ""
