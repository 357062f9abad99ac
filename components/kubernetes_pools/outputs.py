"""What a cluster says of its pools: the contract for whatever runs on them. Pure."""

from __future__ import annotations

from typing import Any

from components.kubernetes_pools.plan import PoolPlan


def pool_outputs(plan: PoolPlan) -> dict[str, Any]:
    """One pool: machine, number of nodes, and what a pod needs to run there.

    Returns:
        `machine`, `gpu`, `gpusPerNode`, `capacity`, `min`, `max`, `arch`, and for a pod's specification
        `nodeSelector`, `tolerations` and `resource`, the name under which GPUs are asked for.
    """
    return {
        "machine": plan.shape.name,
        "gpu": plan.shape.gpu,
        "arch": plan.shape.arch,
        "capacity": plan.pool.capacity,
        "min": plan.pool.min,
        "max": plan.pool.max,
        **plan.scheduling(),
    }
