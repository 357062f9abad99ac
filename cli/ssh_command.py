"""The command that logs in to a node."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cli.errors import CliError
from cli.state import Node

_ADDRESS = re.compile(
    r"(?P<user>[A-Za-z0-9_][\w.-]*)@(?:\[(?P<v6>[0-9A-Fa-f:]+)\]|(?P<host>[A-Za-z0-9][\w.-]*)):(?P<port>\d{1,5})"
)


def ssh_command(node: Node, arguments: Sequence[str], stack: str) -> list[str]:
    """The words of the command.

    Args:
        node: The node, from the state.
        arguments: What goes to ssh besides.
        stack: Name of the stack, for the message.

    Raises:
        CliError: There is no way to log in, or the state's address is none.
    """
    if not node.ssh:
        raise CliError(
            f"{node.name} has no address to log in: give its cluster port 22/tcp and sshPublicKeys; "
            f"if it has them, run `pulumi refresh --stack {stack}` once it is ready"
        )
    found = _ADDRESS.fullmatch(node.ssh)
    if found is None:
        raise CliError(f"{node.name}: the state's address for ssh is no user@host:port")
    return [
        "ssh",
        "-p",
        found["port"],
        # One host key for each node: addresses go from one node to the next.
        "-o",
        f"HostKeyAlias=gpuplane-{node.id}",
        "-o",
        "StrictHostKeyChecking=accept-new",
        f"{found['user']}@{found['v6'] or found['host']}",
        *arguments,
    ]
