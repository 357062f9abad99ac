"""`gpuplane key`: the key that a cluster's nodes ask of their callers."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.stacks import StackOption


def command(
    cluster: Annotated[str, typer.Argument(help="Name of the cluster.")],
    stack: StackOption = "",
) -> None:
    """Prints the API key of a cluster in clear text, for use in a command: `$(gpuplane key chat)`."""
    from cli.errors import CliError
    from cli.stacks import open_stack
    from stack_config import load
    from stack_config.errors import listing, nearest

    pulumi = open_stack(stack)
    clusters = load(pulumi.config(), pulumi.stack).clusters
    if cluster not in clusters:
        guess = nearest(cluster, clusters)
        hint = f'did you mean "{guess}"?' if guess else f"use {listing(clusters)}"
        raise CliError(f'stack {pulumi.stack} has no cluster "{cluster}"; {hint}')
    secret = clusters[cluster].api_key
    if secret is None:
        raise CliError(f"cluster {cluster} has no apiKey: its nodes ask for none")
    typer.echo(secret.get_secret_value())
