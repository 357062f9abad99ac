"""Clusters as a stack file has them, for tests: a good one of each cloud, to be changed."""

from __future__ import annotations

import copy
from typing import Any

from components.aks.rules import plan_aks
from components.eks.rules import plan_eks
from components.gke.rules import plan_gke
from components.kubernetes_pools.plan import PoolPlan
from stack_config import StackConfig, StackConfigError, load

GROUP = "7b2f9c1e-0d4a-4c55-9d0e-2f6a1b3c4d5e"
RESERVATIONS = (
    "/subscriptions/5f1e/resourceGroups/gpus/providers/Microsoft.Compute/capacityReservationGroups/h100"
)

GOOD: dict[str, dict[str, Any]] = {
    "eks": {
        "region": "us-east-1",
        "zones": ["us-east-1a", "us-east-1b"],
        "pools": {"small": {"gpu": "L4", "max": 4}},
    },
    "gke": {
        "region": "us-central1",
        "project": "inference-prod",
        "pools": {"small": {"gpu": "L4", "max": 4, "zones": ["us-central1-a"]}},
    },
    "aks": {
        "region": "eastus",
        "adminGroupIds": [GROUP],
        "pools": {"small": {"gpu": "T4", "max": 4}},
    },
}


def cluster(cloud: str, pool: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A good cluster with other values, and its one pool with other values; None takes one out."""
    made = copy.deepcopy(GOOD[cloud])
    _change(made, changes)
    if pool is not None:
        _change(made["pools"]["small"], pool)
    return made


def stack(cloud: str, made: dict[str, Any], name: str = "train") -> StackConfig:
    """A stack with one cluster."""
    return load({"stackId": "teststck", f"{cloud}Clusters": {name: made}}, "dev")


def plans(cloud: str, made: dict[str, Any], name: str = "train") -> tuple[list[PoolPlan], list[str]]:
    """The plans of a cluster's pools, and every broken rule as text, whoever found it."""
    try:
        config = stack(cloud, made, name)
    except StackConfigError as error:
        return [], [str(problem) for problem in error.problems]
    if cloud == "eks":
        found, problems = plan_eks(name, config.eks_clusters[name])
    elif cloud == "gke":
        found, problems = plan_gke(name, config.gke_clusters[name])
    else:
        found, problems = plan_aks(name, config.aks_clusters[name])
    return found, [str(problem) for problem in problems]


Wrong = tuple[str, dict[str, Any], dict[str, Any], str, str, str]
"""Cloud, changes of the cluster, changes of its pool, where (`@` before what is not in the pool), part of the
rule, nearest valid value."""


def ids(rows: list[Wrong]) -> list[str]:
    """What a test of each row is called."""
    return [f"{row[0]} {row[3]} {row[4]}" for row in rows]


def refusal(cloud: str, made: dict[str, Any], where: str) -> str:
    """The one line with which a cluster is refused; it names this place and no other rule is broken."""
    _, problems = plans(cloud, made)
    base = f"gpuplane:{cloud}Clusters.train"
    path = f"{base}.{where[1:]}" if where.startswith("@") else f"{base}.pools.small{where}"
    assert len(problems) == 1, problems
    assert problems[0].startswith(f"{path}: "), problems
    assert "\n" not in problems[0]
    return problems[0]


def _change(values: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if value is None:
            values.pop(key, None)
        else:
            values[key] = value
