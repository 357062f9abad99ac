"""`gpuplane cost`: what the stack costs now."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.stacks import StackOption


def command(
    stack: StackOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Shows each node's candidate and price, and the total per hour and month (730 hours), from the state."""
    import json

    from cli.cost_table import as_data, as_table
    from cli.stacks import open_stack
    from cli.state import nodes_in

    pulumi = open_stack(stack)
    nodes = nodes_in(pulumi.export())
    typer.echo(json.dumps(as_data(pulumi.stack, nodes)) if as_json else as_table(pulumi.stack, nodes))
