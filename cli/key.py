"""`gpuplane key`: the key that a cluster's nodes, or the gateway, ask of their callers."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.stacks import StackOption


def command(
    of: Annotated[
        str,
        typer.Argument(
            metavar="OF", help="Name of a cluster; `gateway` or `gateway/KEY` for the control plane."
        ),
    ],
    stack: StackOption = "",
) -> None:
    """Prints an API key in clear text, for use in a command: `$(gpuplane key chat)`."""
    from cli.keys import key_of
    from cli.stacks import open_stack

    typer.echo(key_of(open_stack(stack), of))
