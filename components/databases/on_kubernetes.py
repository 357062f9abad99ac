"""What PostgreSQL and Redis have in common on Kubernetes: one pod with a volume, which few may reach."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from typing import Any

import pulumi

from components.databases.made import Owner
from stack_config.databases import DatabasePlace

Spec = dict[str, Any]

USER_ID = 999
"""User and group of the server in Docker's images of PostgreSQL and Redis on Debian (their Dockerfiles)."""

SCRIPTS, TLS = "/gpuplane/scripts", "/gpuplane/tls"
"""Where a pod finds scripts and certificate."""

_UNITS = {"": Decimal(1), "m": Decimal("0.001")}
_UNITS |= {unit: Decimal(1000) ** power for power, unit in enumerate(("k", "M", "G", "T", "P"), 1)}
_UNITS |= {f"{unit}i": Decimal(1024) ** power for power, unit in enumerate(("k", "M", "G", "T", "P"), 1)}
_UNITS["Ki"] = Decimal(1024)


def amount(quantity: str) -> Decimal:
    """A quantity of Kubernetes as a number: `1Gi` is 1073741824, `500m` is 0.5. Pure.

    Args:
        quantity: Digits, and a unit or none.
    """
    digits = quantity.rstrip("kmKMGTPi")
    return Decimal(digits) * _UNITS[quantity[len(digits) :]]


@functools.cache
def script(name: str) -> str:
    """A script of this package, as text."""
    return resources.files("components.databases").joinpath("scripts", name).read_text("utf-8")


@dataclass(frozen=True)
class Pods:
    """The objects of one database.

    Attributes:
        owner: Whose they are.
        place: Where.
        kind: `postgres` or `redis`.
        image: Image of the server.
        port: Its port.
    """

    owner: Owner
    place: DatabasePlace
    kind: str
    image: str
    port: int

    @property
    def name(self) -> str:
        """Name of service and stateful set."""
        return self.owner.name

    @property
    def labels(self) -> dict[str, str]:
        """By which its pods are found."""
        return {"app.kubernetes.io/name": self.kind, "app.kubernetes.io/instance": self.name}

    @property
    def host(self) -> str:
        """Name under which the cluster's pods reach it."""
        return f"{self.name}.{self.place.namespace}.svc"

    def meta(self, name: str | None = None, **more: Any) -> Spec:
        """Metadata; without a name the engine makes one, another one for each content."""
        labels = {**self.labels, "app.kubernetes.io/managed-by": "pulumi"}
        return {
            "namespace": self.place.namespace,
            "labels": labels,
            **({"name": name} if name else {}),
            **more,
        }

    def secret(self, what: str, texts: dict[str, pulumi.Input[str]]) -> pulumi.Output[str]:
        """Makes a Secret whose name changes with its content, so that pods start anew; its name."""
        from pulumi_kubernetes import core

        made = core.v1.Secret(
            f"{self.name}-{what}",
            metadata=self.meta(),
            string_data={key: pulumi.Output.secret(text) for key, text in texts.items()},
            opts=self.owner.opts,
        )
        name: pulumi.Output[str] = made.metadata.name
        return name

    def config_map(self, what: str, texts: dict[str, str]) -> pulumi.Output[str]:
        """Makes a ConfigMap, in the same way."""
        from pulumi_kubernetes import core

        made = core.v1.ConfigMap(
            f"{self.name}-{what}", metadata=self.meta(), data=texts, opts=self.owner.opts
        )
        name: pulumi.Output[str] = made.metadata.name
        return name

    def container(self, **more: Any) -> Spec:
        """A container of the image without any right, on a file system that it can't change."""
        return {
            "image": self.image,
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            **more,
        }

    def pod(self, container: Spec, volumes: list[Spec], **more: Any) -> Spec:
        """Spec of a pod: not root, no token of Kubernetes."""
        return {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER_ID,
                "runAsGroup": USER_ID,
                "fsGroup": USER_ID,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": volumes,
            **({"nodeSelector": dict(self.place.node_selector)} if self.place.node_selector else {}),
            **more,
        }

    def claim(self, gigabytes: int | str) -> Spec:
        """Spec of a claim; text is a quantity already."""
        size = gigabytes if isinstance(gigabytes, str) else f"{gigabytes}Gi"
        return {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
            **({"storageClassName": self.place.storage_class} if self.place.storage_class else {}),
        }

    def resources(self) -> Spec:
        """What the server gets."""
        return {
            "requests": {"cpu": self.place.cpu, "memory": self.place.memory},
            "limits": {"memory": self.place.memory},
        }

    def tls_volume(self) -> list[Spec]:
        """The volume with the certificate; none without one."""
        if not self.place.tls_secret:
            return []
        # Group-readable: PostgreSQL takes a key of root's only so.
        return [{"name": "tls", "secret": {"secretName": self.place.tls_secret, "defaultMode": 0o440}}]

    def tls_mount(self) -> list[Spec]:
        """Where it is mounted."""
        return [{"name": "tls", "mountPath": TLS, "readOnly": True}] if self.place.tls_secret else []

    def declare(self, container: Spec, volumes: list[Spec], storage_gb: int) -> list[pulumi.Resource]:
        """Makes NetworkPolicy, Service and StatefulSet.

        Args:
            container: The server's container; its volume `data` comes from a claim.
            volumes: Further volumes.
            storage_gb: Size of that volume, GB.
        """
        from pulumi_kubernetes import apps, core, networking

        networking.v1.NetworkPolicy(
            f"{self.name}-network", metadata=self.meta(self.name), spec=self.policy(), opts=self.owner.opts
        )
        whenever = "Retain" if self.place.keep else "Delete"
        stateful_set = apps.v1.StatefulSet(
            self.name,
            metadata=self.meta(self.name),
            spec={
                "serviceName": self.name,
                "replicas": 1,
                "selector": {"matchLabels": {**self.labels, "app.kubernetes.io/component": "server"}},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": whenever, "whenScaled": "Retain"},
                "template": {
                    "metadata": {"labels": {**self.labels, "app.kubernetes.io/component": "server"}},
                    # A server that is killed while it writes has to go through its log at the next start.
                    "spec": self.pod(container, volumes, terminationGracePeriodSeconds=120),
                },
                "volumeClaimTemplates": [
                    {"metadata": {"name": "data", "labels": self.labels}, "spec": self.claim(storage_gb)}
                ],
            },
            opts=self.owner.opts,
        )
        service = core.v1.Service(
            f"{self.name}-service",
            metadata=self.meta(self.name),
            spec={
                "selector": {**self.labels, "app.kubernetes.io/component": "server"},
                "ports": [{"name": self.kind, "port": self.port, "targetPort": self.port}],
            },
            opts=self.owner.with_options(depends_on=[stateful_set]),
        )
        return [service]

    def policy(self) -> Spec:
        """Who may connect: pods of its namespace and of those that are allowed. It opens nothing. Pure."""
        spaces = sorted({self.place.namespace, *self.place.allowed_namespaces})
        return {
            "podSelector": {"matchLabels": {**self.labels, "app.kubernetes.io/component": "server"}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {
                    "from": [
                        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space}}}
                        for space in spaces
                    ],
                    "ports": [{"port": self.port, "protocol": "TCP"}],
                }
            ],
            "egress": [],
        }
