"""A request to a node that works when it is pasted into a shell, and shows no key."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli.pulumi_cli import Pulumi
from cli.state import Node


def example(pulumi: Pulumi, nodes: Sequence[Node]) -> str:
    """A `curl` to the first node with an http endpoint; empty where there is none.

    Args:
        pulumi: The stack.
        nodes: Its nodes.
    """
    from stack_config import load

    clusters = load(pulumi.config(), pulumi.stack).clusters
    for node in nodes:
        url = http_url(node.endpoints)
        cluster = node.name.rpartition("-")[0]
        if url and not node.note and cluster in clusters:
            has_key = clusters[cluster].api_key is not None
            return curl(
                url, f"{_own_command(pulumi.root)} key {cluster} --stack {pulumi.stack}" if has_key else ""
            )
    return ""


def http_url(endpoints: Sequence[Mapping[str, object]]) -> str:
    """URL of the first http endpoint; empty for none."""
    urls = (str(e.get("url", "")) for e in endpoints if e.get("protocol") == "http")
    return next((url.rstrip("/") for url in urls if url), "")


def curl(url: str, key_command: str) -> str:
    """The command.

    Args:
        url: Where the node answers.
        key_command: Command that prints the node's key; empty where it asks for none.
    """
    # Without a model's name the server takes the one that it serves.
    body = json.dumps({"messages": [{"role": "user", "content": "Hello"}]})
    lines = [f"curl -sS {shlex.quote(url + '/v1/chat/completions')}"]
    if key_command:
        lines.append(f'-H "Authorization: Bearer $({key_command})"')
    lines += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(body)}"]
    return " \\\n  ".join(lines)


def _own_command(root: Path) -> str:
    """How this very command is called from the project's folder."""
    program = Path(sys.executable).parent / "gpuplane"
    if not program.exists():
        return f"{shlex.quote(sys.executable)} -m cli.main"
    try:
        return shlex.quote(os.fspath(program.relative_to(root)))
    except ValueError:
        return shlex.quote(os.fspath(program))
