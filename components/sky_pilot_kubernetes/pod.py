"""Parts of a pod, which several modules add to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi

from components.sky_pilot_kubernetes.place import Spec


@dataclass
class PodParts:
    """What the server's container gets.

    Attributes:
        env: Environment variables, as Kubernetes has them.
        env_from: Secrets whose keys are environment variables.
        volumes: Volumes of the pod.
        mounts: Where they are mounted.
        files: What the start program copies into the home.
        commands: What the start program runs, such as logins of clouds.
        server: The server's own settings, `.server.yaml`.
        config: What is declared of `config.yaml`.
        user: Name of the administrator with a password; empty without one.
        after: What has to be there before the pod.
    """

    env: list[Spec] = field(default_factory=list)
    env_from: list[Spec] = field(default_factory=list)
    volumes: list[Spec] = field(default_factory=list)
    mounts: list[Spec] = field(default_factory=list)
    files: list[Spec] = field(default_factory=list)
    commands: list[list[str]] = field(default_factory=list)
    server: Spec = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    user: str = ""
    after: list[pulumi.Resource] = field(default_factory=list)

    def set(self, variables: Mapping[str, str]) -> None:
        """Adds environment variables with plain values."""
        self.env += [{"name": name, "value": value} for name, value in variables.items()]

    def set_secret(self, variable: str, secret: pulumi.Input[str], key: str) -> None:
        """Adds an environment variable whose value is in a Secret."""
        self.env.append({"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})

    def mount_secret(
        self, volume: str, secret: pulumi.Input[str], folder: str, keys: tuple[str, ...] = ()
    ) -> None:
        """Mounts a Secret as a folder.

        Args:
            volume: Name of the volume.
            secret: Name of the Secret.
            folder: Where it is mounted.
            keys: Keys that it must have: without one of them the pod waits, and an event says which.
        """
        source: Spec = {"secretName": secret, "defaultMode": 0o400}
        if keys:
            source["items"] = [{"key": key, "path": key} for key in keys]
        self.volumes.append({"name": volume, "secret": source})
        self.mounts.append({"name": volume, "mountPath": folder, "readOnly": True})
