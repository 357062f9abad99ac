"""A request to a node that works when it is pasted into a shell, and shows no key."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli.pulumi_cli import Pulumi
from cli.state import Node

if TYPE_CHECKING:
    from stack_config import Cluster, ControlPlane, Served

GATEWAY = "gateway"
"""What `gpuplane key` calls the control plane."""


def example(pulumi: Pulumi, nodes: Sequence[Node]) -> str:
    """What to paste: through the gateway where the stack has one, else to the first node that answers http.

    Args:
        pulumi: The stack.
        nodes: Its nodes.

    Returns:
        The commands with a line before each; empty where there is nothing to talk to.
    """
    from stack_config import load

    config = load(pulumi.config(), pulumi.stack)
    if config.control_plane is not None:
        return _through_gateway(pulumi, config.control_plane, config.served())
    shown = _to_a_node(pulumi, nodes, config.clusters)
    return f"Talk to a node:\n\n{shown}" if shown else ""


def _through_gateway(pulumi: Pulumi, plane: ControlPlane, served: Mapping[str, Served]) -> str:
    names = [*plane.models, *(name for each in served.values() for name in each.models)]
    if not names:
        return ""
    url = f"http://127.0.0.1:{plane.port}"
    key = f"{_own_command(pulumi.root)} key {GATEWAY} --stack {pulumi.stack}"
    return (
        f"Talk to the gateway:\n\n{curl(url, key, names[0])}\n\n"
        f"The same in Python, as a stream:\n\n{python(url, key, names[0], _own_python(pulumi.root))}"
    )


def _to_a_node(pulumi: Pulumi, nodes: Sequence[Node], clusters: Mapping[str, Cluster]) -> str:
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


def curl(url: str, key_command: str, model: str = "") -> str:
    """The command.

    Args:
        url: Where it answers.
        key_command: Command that prints the key; empty where none is asked for.
        model: The model; without a name a node takes the one that it serves.
    """
    named = {"model": model} if model else {}
    body = json.dumps({**named, "messages": [{"role": "user", "content": "Hello"}]})
    lines = [f"curl -sS {shlex.quote(url + '/v1/chat/completions')}"]
    if key_command:
        lines.append(f'-H "Authorization: Bearer $({key_command})"')
    lines += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(body)}"]
    return " \\\n  ".join(lines)


def python(url: str, key_command: str, model: str, interpreter: str) -> str:
    """The same with the `openai` package, as one command of a shell.

    Args:
        url: Where the gateway answers.
        key_command: Command that prints the key.
        model: The model.
        interpreter: The Python that is called.
    """
    return f"""OPENAI_BASE_URL={shlex.quote(url + "/v1")} \\
OPENAI_API_KEY=$({key_command}) \\
{interpreter} - <<'END'
from openai import OpenAI

messages = [{{"role": "user", "content": "Hello"}}]
for part in OpenAI().chat.completions.create(model={json.dumps(model)}, messages=messages, stream=True):
    print(part.choices[0].delta.content or "", end="", flush=True)
print()
END"""


def _own_python(root: Path) -> str:
    """The Python of this very command, as it is called from the project's folder."""
    try:
        return shlex.quote(os.fspath(Path(sys.executable).relative_to(root)))
    except ValueError:
        return shlex.quote(sys.executable)


def _own_command(root: Path) -> str:
    """How this very command is called from the project's folder."""
    program = Path(sys.executable).parent / "gpuplane"
    if not program.exists():
        return f"{shlex.quote(sys.executable)} -m cli.main"
    try:
        return shlex.quote(os.fspath(program.relative_to(root)))
    except ValueError:
        return shlex.quote(os.fspath(program))
