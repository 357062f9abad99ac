"""`gpuplane init`: gives a stack its id."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.stacks import StackOption


def command(
    stack: StackOption = "",
    create: Annotated[bool, typer.Option("--create", help="Create the stack in the backend too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Writes a new stackId into Pulumi.<stack>.yaml, and the line that names the schema for editors.

    Every node carries the id in its name; it says whose the node is. It is written once and never changed.
    """
    import json

    from cli.errors import REFUSED, CliError
    from cli.new_stack_id import new_stack_id, with_schema, with_stack_id
    from cli.project import engine_environment, find_root
    from cli.pulumi_cli import Pulumi
    from cli.stacks import open_stack, stack_file
    from cli.text_file import replace_text

    root = find_root()
    name = stack or open_stack("").stack
    file = stack_file(root, name)
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    stack_id = new_stack_id()
    try:
        changed = with_schema(with_stack_id(text, stack_id))
    except ValueError as error:
        raise CliError(f"{file.name}: {error}", REFUSED) from None
    replace_text(file, changed)
    if not as_json:
        typer.echo(f"{file.name}: gpuplane:stackId is {stack_id}; commit this file, and never change the id")
    if create:
        Pulumi(root, engine_environment(root, name), name).capture(
            "stack", "select", "--create", name, of_stack=False
        )
        if not as_json:
            typer.echo(f"stack {name} is there and selected")
    if as_json:
        typer.echo(json.dumps({"stack": name, "file": file.name, "stackId": stack_id}))
