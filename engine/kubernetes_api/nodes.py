"""Fake nodes: objects that KWOK keeps Ready. Pods that the real scheduler puts on them become Ready, too."""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.kubernetes_api.api import Api

#: Eight H100 of one machine, as AWS's p5.48xlarge has them.
GPUS = 8
PRODUCT = "NVIDIA-H100-80GB-HBM3"


def node(
    name: str,
    gpus: int = GPUS,
    *,
    product: str = PRODUCT,
    cpu: str = "96",
    memory: str = "1024Gi",
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """A node's object.

    Args:
        name: its name.
        gpus: how many it has; 0 for a node without.
        product: their name, in the words of NVIDIA's GPU feature discovery.
        cpu: cores, as a Kubernetes quantity.
        memory: as a Kubernetes quantity.
        labels: further ones.
        taints: `{"key": …, "value": …, "effect": …}`.
    """
    resources = {"cpu": cpu, "memory": memory, "pods": "110", "ephemeral-storage": "1Ti"}
    own = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    if gpus:
        resources["nvidia.com/gpu"] = str(gpus)
        own |= {
            "nvidia.com/gpu.present": "true",
            "nvidia.com/gpu.product": product,
            "nvidia.com/gpu.count": str(gpus),
        }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {**own, **(labels or {})},
            "annotations": {"kwok.x-k8s.io/node": "fake", "node.alpha.kubernetes.io/ttl": "0"},
        },
        "spec": {"taints": [dict(taint) for taint in taints]},
        "status": {"allocatable": resources, "capacity": resources},
    }


def add(api: Api, body: dict[str, Any]) -> None:
    """Puts a node into the cluster, or changes it; it is Ready a moment later."""
    api.apply(f"/api/v1/nodes/{body['metadata']['name']}", body)


def remove(api: Api, name: str) -> None:
    """Takes a node out of the cluster; its pods are deleted by the controller manager."""
    api.delete(f"/api/v1/nodes/{name}")


def is_ready(api: Api, name: str) -> bool:
    """Whether a node is there and Ready."""
    conditions = api.get(f"/api/v1/nodes/{name}").get("status", {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
