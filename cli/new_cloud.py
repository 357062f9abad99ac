"""`gpuplane new-cloud`: begins the folder of a cloud that gpuplane does not know yet."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    name: Annotated[str, typer.Argument(help="Name of the cloud as stack files will use it: verda.")],
    title: Annotated[str, typer.Option("--title", help="The name as people write it.")] = "",
    endpoint: Annotated[
        str, typer.Option("--endpoint", help="Base URL of its API.")
    ] = "https://api.example.invalid",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Writes client, models, emulator, contract tests and a page for a new cloud, and says what is next.

    The files pass `make check` as they are. Their contract tests fail, each with what is to be written, until
    client and emulator are filled in: docs/adding-a-cloud.md goes through it step by step.
    """
    import json

    from cli.project import find_root
    from cli.scaffolding import NewCloud, next_steps, write

    new = NewCloud.of(name, title, endpoint)
    written = write(find_root(), new)
    steps = next_steps(new)
    if as_json:
        typer.echo(json.dumps({"name": new.name, "folder": new.folder, "written": written, "next": steps}))
        return
    for path in written:
        typer.echo(f"wrote {path}")
    typer.echo("next (docs/adding-a-cloud.md):")
    for number, step in enumerate(steps, 1):
        typer.echo(f"  {number}. {step}")
