"""What nodes of a pool are labelled with, so that each GPU has one driver and one device plugin. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from components.kubernetes_pools.plan import PoolPlan

NO_OPERANDS = "nvidia.com/gpu.deploy.operands"
"""With the value `false` NVIDIA's operator leaves a node alone."""

NO_GKE_PLUGIN = "gke-no-default-nvidia-gpu-device-plugin"
"""With the value `true` GKE leaves out its own device plugin."""


def node_labels(plan: PoolPlan, plans: Sequence[PoolPlan]) -> dict[str, str]:
    """Labels of a pool's nodes.

    Args:
        plan: The pool.
        plans: All pools of its cluster: where one has the operator, the others keep it away.
    """
    labels = plan.labels
    if plan.pool.driver == "operator":
        if plan.cloud == "gke":
            labels[NO_GKE_PLUGIN] = "true"
    elif any(other.pool.driver == "operator" for other in plans):
        labels[NO_OPERANDS] = "false"
    return labels
