"""Where a server's objects are, what they are called, and what they have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi

if TYPE_CHECKING:
    from components.sky_pilot_api_server import SkyPilotApiServerArgs
    from stack_config.skypilot_kubernetes import OnKubernetes

PORT, METRICS_PORT, OAUTH2_PORT = 46580, 9090, 4180
"""Ports of the server, of its metrics and of the login page (facts: `sky/server/constants.py` of 0.14.1)."""

HOME = "/root"
OURS = "/gpuplane"
"""Where the pod finds what is declared: the start program, declared.json and mounted secrets."""

Spec = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """One server.

    Attributes:
        name: Its name; its objects have the names that the official chart would give them in a release of
            this name, so that what one reads about the chart holds.
        args: Its arguments.
        opts: Parent and provider of its objects.
    """

    name: str
    args: SkyPilotApiServerArgs
    opts: pulumi.ResourceOptions

    @property
    def on(self) -> OnKubernetes:
        """How it runs."""
        return self.args.on_kubernetes

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self.on.namespace

    @property
    def workloads(self) -> str:
        """Namespace of the clusters that it makes here."""
        return self.on.workloads.namespace or f"{self.namespace}-clusters"

    @property
    def app(self) -> str:
        """Value of the label `app` of its pods."""
        return f"{self.name}-api"

    @property
    def metrics(self) -> bool:
        """Whether it has metrics."""
        return self.on.monitoring is not None

    def meta(self, name: str | None = None, namespace: str | None = None, **more: Any) -> Spec:
        """Metadata of an object.

        Args:
            name: Its name; the engine chooses one, and another one for each content, if None.
            namespace: Its namespace, if not the server's; empty for an object of the whole cluster.
            more: Further fields.
        """
        labels = {
            "app.kubernetes.io/name": "skypilot",
            "app.kubernetes.io/instance": self.name,
            "app.kubernetes.io/managed-by": "pulumi",
            **more.pop("labels", {}),
        }
        found: Spec = {"labels": labels, **more}
        if name is not None:
            found["name"] = name
        if namespace != "":
            found["namespace"] = namespace or self.namespace
        return found

    def secret(self, what: str, texts: Mapping[str, pulumi.Input[str]]) -> pulumi.Output[str]:
        """Makes a Secret, whose name changes with its content: so pods that use it start anew.

        Args:
            what: The last part of its resource's name.
            texts: Key -> text.

        Returns:
            Its name.
        """
        from pulumi_kubernetes import core

        made = core.v1.Secret(
            f"{self.name}-{what}",
            metadata=self.meta(),
            string_data={key: pulumi.Output.secret(text) for key, text in texts.items()},
            opts=self.opts,
        )
        name: pulumi.Output[str] = made.metadata.name
        return name

    def with_options(self, **more: Any) -> pulumi.ResourceOptions:
        """The options of its objects, and some more."""
        merged: pulumi.ResourceOptions = pulumi.ResourceOptions.merge(
            self.opts, pulumi.ResourceOptions(**more)
        )
        return merged
