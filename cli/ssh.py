"""`gpuplane ssh`: logs in to a node."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.stacks import StackOption


def command(
    context: typer.Context,
    node: Annotated[str, typer.Argument(help="Name of the node (chat-0), or its id in the cloud.")],
    stack: StackOption = "",
    only_print: Annotated[
        bool, typer.Option("--print", help="Print the command instead of running it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --print: print JSON.")] = False,
) -> None:
    """Logs in to a node with the `ssh` of this machine.

    What follows `--` goes to ssh: `gpuplane ssh chat-0 -- nvidia-smi`.

    The address comes from the state. Host keys are remembered by the node's id, because clouds give the same
    address to one node after another.
    """
    import json
    import os
    import shlex
    import shutil

    from cli.errors import CliError
    from cli.ssh_command import ssh_command
    from cli.stacks import open_stack
    from cli.state import find_node

    pulumi = open_stack(stack)
    found = find_node(pulumi.export(), node, pulumi.stack)
    words = ssh_command(found, context.args, pulumi.stack)
    if only_print:
        typer.echo(
            json.dumps({"node": found.name, "id": found.id, "command": words})
            if as_json
            else shlex.join(words)
        )
        return
    program = shutil.which("ssh")
    if program is None:
        raise CliError(
            "this machine has no `ssh`: install OpenSSH's client, or use --print on another machine"
        )
    os.execv(program, words)
