"""`gpuplane recover`: after an engine was killed."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.stacks import StackOption


def command(
    stack: StackOption = "",
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", "-y", help="Remove a lock too whose engine may still run. Be sure that it doesn't."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing where there was nothing to do.")
    ] = False,
) -> None:
    """Clears what a killed engine leaves: its lock and its unfinished operations.

    Refuses while the engine that holds the lock still runs. No node is touched: the next up adopts what the
    killed engine has made, a destroy ends it. Doing it twice does no more.
    """
    import json

    from cli.recovery import recover
    from cli.stacks import open_stack

    pulumi = open_stack(stack)
    done = recover(pulumi, force=yes)
    if as_json:
        typer.echo(json.dumps({"stack": pulumi.stack, "locks": done.locks, "operations": done.operations}))
        return
    lines = done.lines()
    for line in lines:
        typer.echo(line)
    if not lines and not quiet:
        typer.echo(f"nothing to recover: stack {pulumi.stack} has no lock and no unfinished operation")
