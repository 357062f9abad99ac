"""`gpuplane config-docs`: the configuration reference."""

from __future__ import annotations

import typer


def command() -> None:
    """Prints the reference of the stack file, as it stands in docs/configuration.md."""
    from stack_config.reference import reference

    typer.echo(reference(), nl=False)
