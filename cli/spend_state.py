"""What `gpuplane spend` needs of a state besides its nodes: which servers can tell of them, and how to ask.

Read with secrets in clear text. They go from here to the servers alone, and are left out of every text form.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cli.state import CLUSTER_TYPE

GATEWAY_NODE_TYPE = "pulumi-python:dynamic/gateway:GatewayNode"
_SECRET = "4dabf18193072939515e22adb298388d"
_SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway and the nodes behind it.

    Attributes:
        url: Its base URL.
        token: Its admin token.
        nodes: Id of a node in its cloud -> its name at the gateway.
    """

    url: str
    token: str = field(repr=False)
    nodes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Server:
    """A SkyPilot API server of the stack, as one cluster's inputs name it; empty for a credential set."""

    endpoint: str
    user: str = ""
    token: str = field(default="", repr=False)
    ca_file: str = ""
    allow_insecure: bool = False
    workspace: str = ""


def gateways_in(state: Mapping[str, Any]) -> list[Gateway]:
    """Every gateway that a node of the state is registered at.

    Args:
        state: What `pulumi stack export --show-secrets` prints.
    """
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for props in _props(state, GATEWAY_NODE_TYPE):
        url, token = _text(props.get("gateway")), _text(props.get("adminToken"))
        if url and token:
            nodes = found.setdefault(url, (token, {}))[1]
            nodes[_text(props.get("nodeId"))] = _text(props.get("node"))
    return [Gateway(url, token, nodes) for url, (token, nodes) in found.items()]


def servers_in(state: Mapping[str, Any]) -> dict[str, Server]:
    """Name of a cluster -> the server of the stack that it is on; none for one on a credential set.

    Args:
        state: What `pulumi stack export --show-secrets` prints.
    """
    return {
        _text(props.get("clusterName")): Server(
            endpoint=_text(props.get("endpoint")),
            user=_text(props.get("user")),
            token=_text(props.get("token")),
            ca_file=_text(props.get("caFile")),
            allow_insecure=props.get("allowInsecure") is True,
            workspace=_text(props.get("workspace")),
        )
        for props in _props(state, CLUSTER_TYPE)
        if props.get("endpoint")
    }


def _props(state: Mapping[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    """Outputs over inputs of each resource of a type, secrets in clear text."""
    for resource in (state.get("deployment") or {}).get("resources") or ():
        if resource.get("type") == kind:
            props = {**(resource.get("inputs") or {}), **(resource.get("outputs") or {})}
            yield {key: _clear(value) for key, value in props.items()}


def _clear(value: Any) -> Any:
    """A secret as `--show-secrets` prints it, without its wrapping."""
    if isinstance(value, Mapping) and value.get(_SECRET) == _SECRET_SIGNATURE:
        return json.loads(str(value.get("plaintext", "null")))
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
