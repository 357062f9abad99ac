"""`gpuplane doctor`: whether everything is there that a stack needs."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.stacks import StackOption


def command(
    stack: StackOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Looks at engine, plugins, packages, the machine's limits, the stack, its credentials and clocks.

    Each line says ok, warn or fail, and what to do. Every credential set is read once; nothing is changed in
    any cloud. Exit code 1 if a line says fail.
    """
    import json

    from cli.checks import FAIL, as_data, as_text
    from cli.checks_machine import machine_checks
    from cli.checks_stack import stack_checks
    from cli.project import find_root

    root = find_root()
    checks = []
    for check in (*machine_checks(root), *stack_checks(stack)):
        checks.append(check)
        if not as_json:
            typer.echo(as_text(check))
    if as_json:
        typer.echo(json.dumps(as_data(checks)))
    if any(check.level == FAIL for check in checks):
        raise typer.Exit(1)
