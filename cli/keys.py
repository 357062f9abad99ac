"""Finds the API keys that a stack asks of callers: those of its clusters' nodes, and of its gateway."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cli.errors import CliError
from cli.pulumi_cli import Pulumi
from cli.request_example import GATEWAY


def key_of(pulumi: Pulumi, of: str) -> str:
    """The key in clear text.

    Args:
        pulumi: The stack.
        of: Name of a cluster; `gateway` for the gateway's first key, `gateway/KEY` for another.

    Raises:
        CliError: There is no such cluster or key, or it is not made yet.
    """
    from stack_config import load

    config = load(pulumi.config(), pulumi.stack)
    if config.control_plane is not None and of.partition("/")[0] == GATEWAY:
        from stack_config.control_plane import keys_of

        names = list(keys_of(config.control_plane))
        name = of.partition("/")[2] or names[0]
        _known(name, names, f"the gateway of stack {pulumi.stack} has no key")
        return _made(pulumi, "controlPlane", "apiKeys", name)
    _known(of, list(config.clusters), f"stack {pulumi.stack} has no cluster")
    secret = config.clusters[of].api_key
    if secret is not None:
        return secret.get_secret_value()
    if of in config.served():
        return _made(pulumi, "apiKeys", of)
    raise CliError(f"cluster {of} has no apiKey: its nodes ask for none")


def _known(name: str, names: list[str], problem: str) -> None:
    from stack_config.errors import listing, nearest

    if name not in names:
        guess = nearest(name, names)
        hint = f'did you mean "{guess}"?' if guess else f"use {listing(names)}"
        raise CliError(f'{problem} "{name}"; {hint}')


def _made(pulumi: Pulumi, *path: str) -> str:
    """A key that the stack has made, from its outputs."""
    found: Any = json.loads(pulumi.capture("stack", "output", "--json", "--show-secrets"))
    for step in path:
        found = found.get(step) if isinstance(found, Mapping) else None
    if not isinstance(found, str):
        raise CliError(f"stack {pulumi.stack} has no such key yet: bring it up first")
    return found
