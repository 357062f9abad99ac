"""`gpuplane config-schema`: the JSON schema of stack files."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    write: Annotated[
        bool, typer.Option("--write", help="Write it into schema/stack.schema.json of the project instead.")
    ] = False,
) -> None:
    """Prints the JSON schema of stack files, by which editors complete and check them.

    A stack file's first line says where it is: `# yaml-language-server: $schema=schema/stack.schema.json`.
    """
    from cli.project import find_root
    from cli.text_file import replace_text
    from stack_config.json_schema import FILE, schema_text

    if not write:
        typer.echo(schema_text(), nl=False)
        return
    path = find_root() / FILE
    path.parent.mkdir(exist_ok=True)
    replace_text(path, schema_text())
    typer.echo(f"{FILE} is written")
