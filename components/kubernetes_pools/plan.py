"""A GPU pool once every rule holds: the machine that was chosen, its price, how pods get onto it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.kubernetes_pools.price import Price
from components.kubernetes_pools.shapes import Cloud, Shape
from stack_config.kubernetes_clusters import GpuPool, PoolTaint

POOL_LABEL = "gpuplane/pool"
"""Label of every node of a pool; its value is the pool's name."""

GPU_TAINT = PoolTaint(key="nvidia.com/gpu", value="present")
"""The taint that GKE and most charts know; pods that ask for a GPU tolerate it."""

USUAL_TAINTS: Mapping[Cloud, tuple[PoolTaint, ...]] = {
    "eks": (GPU_TAINT,),
    "gke": (),  # GKE adds GPU_TAINT by itself; declared a second time it would be a difference for ever
    "aks": (PoolTaint(key="sku", value="gpu"),),
}
"""Taints of a pool that names none."""

SPOT_TAINT = PoolTaint(key="kubernetes.azure.com/scalesetpriority", value="spot")
"""What AKS adds to spot pools by itself; declared, so that it is no difference."""


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """One pool.

    Attributes:
        name: Its name, in the cloud too.
        path: Its place in the stack file, for messages.
        cloud: Cloud that it is on.
        pool: What was asked for.
        shape: The machine.
        price: Price of one node.
        zones: Zones that its nodes are in; empty for those of the cluster.
    """

    name: str
    path: str
    cloud: Cloud
    pool: GpuPool
    shape: Shape
    price: Price
    zones: tuple[str, ...] = ()

    @property
    def autoscaled(self) -> bool:
        """Whether the number of its nodes follows the load."""
        return self.pool.min != self.pool.max

    @property
    def taints(self) -> tuple[PoolTaint, ...]:
        """The taints that are declared on its nodes."""
        chosen = USUAL_TAINTS[self.cloud] if self.pool.taints is None else self.pool.taints
        spot = (SPOT_TAINT,) if self.cloud == "aks" and self.pool.capacity == "spot" else ()
        return (*chosen, *(taint for taint in spot if taint not in chosen))

    @property
    def labels(self) -> dict[str, str]:
        """The labels that are declared on its nodes."""
        return {**self.pool.labels, POOL_LABEL: self.name}

    def scheduling(self) -> dict[str, Any]:
        """What a pod needs to run here, for its specification: node selector, tolerations, resource."""
        added = (GPU_TAINT,) if self.cloud == "gke" else ()
        tolerated = {taint.key: taint for taint in (*self.taints, *added)}
        return {
            "nodeSelector": {POOL_LABEL: self.name},
            "tolerations": [
                {"key": taint.key, "operator": "Exists", "effect": taint.effect}
                for taint in tolerated.values()
            ],
            "resource": "nvidia.com/gpu" if self.shape.is_nvidia else "amd.com/gpu",
            "gpusPerNode": self.shape.gpus,
        }
