"""`gpuplane logs`: what a node says."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.stacks import StackOption


def command(
    node: Annotated[str, typer.Argument(help="Name of the node (chat-0), or its id in the cloud.")],
    stack: StackOption = "",
    tail: Annotated[
        int, typer.Option("--tail", "-n", min=0, max=5000, help="How many lines to go back.")
    ] = 100,
    follow: Annotated[
        bool,
        typer.Option("--follow/--no-follow", help="Go on, or end once nothing has come for 5 seconds."),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each line.")] = False,
) -> None:
    """Streams the log of a node until it ends or ^C is pressed. A lost connection is resumed where it was.

    Where the node's cloud shows no log, the command says where to look instead.
    """
    import json

    from cli.log_lines import as_data, as_text, no_logs, until_quiet
    from cli.session import open_session
    from cli.stacks import open_stack
    from cli.state import find_node
    from gpu_clouds.registry import cloud_info

    pulumi = open_stack(stack)
    found = find_node(pulumi.export(), node, pulumi.stack)
    if not cloud_info(found.cloud).capabilities.logs:
        raise no_logs(found, cloud_info(found.cloud).title)
    cloud = open_session(pulumi).shared.cloud(found.credentials)
    try:
        lines = cloud.logs(found.id, tail=tail)
        for line in lines if follow else until_quiet(lines):
            typer.echo(json.dumps(as_data(line)) if as_json else as_text(line))
    finally:
        cloud.close()
