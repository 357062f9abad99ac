"""Kubeconfigs that hold no credential: whoever uses one logs in with the cloud's own tool. Pure."""

from __future__ import annotations

import json
from typing import Any


def kubeconfig(name: str, endpoint: str, ca: str, command: str, args: list[str], hint: str) -> str:
    """A kubeconfig as JSON, which every reader of YAML takes.

    Args:
        name: Name of the cluster.
        endpoint: URL of its API server, or its bare address.
        ca: Certificate of its authority, base64.
        command: Program that gets a token.
        args: Its arguments.
        hint: Where to get the program, for whoever lacks it.
    """
    server = endpoint if endpoint.startswith("https://") else f"https://{endpoint}"
    login: dict[str, Any] = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": command,
        "args": args,
        "interactiveMode": "Never",
        "provideClusterInfo": command == "gke-gcloud-auth-plugin",
        "installHint": hint,
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": ca}}],
        "users": [{"name": name, "user": {"exec": login}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    return json.dumps(document, indent=2)
