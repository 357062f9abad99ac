"""All rules of a cluster in one go: those of every cloud, and the cloud's own. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from components.kubernetes_pools.cluster_rules import broken_cluster_rules
from components.kubernetes_pools.plan import PoolPlan
from components.kubernetes_pools.pool_rules import plan_pools
from components.kubernetes_pools.shapes import Cloud
from stack_config.errors import Problem
from stack_config.kubernetes_clusters import GpuPool, KubernetesCluster

_Cluster = TypeVar("_Cluster", bound=KubernetesCluster)
_Pool = TypeVar("_Pool", bound=GpuPool)


def plan_cluster(
    cloud: Cloud,
    name: str,
    cluster: _Cluster,
    existing: bool,
    pools: Mapping[str, _Pool],
    cluster_rules: Callable[[str, _Cluster], Iterable[Problem]],
    pool_rules: Callable[[PoolPlan, _Pool, _Cluster], Iterable[Problem]],
) -> tuple[list[PoolPlan], list[Problem]]:
    """Chooses the machines of a cluster, and finds every broken rule.

    Args:
        cloud: Its cloud.
        name: Its name in the stack file.
        cluster: The cluster.
        existing: It is there already and only gets pools.
        pools: Its pools by name.
        cluster_rules: The cloud's own rules of a cluster; they get its place in the stack file.
        pool_rules: The cloud's own rules of a pool.

    Returns:
        Plans of the pools whose machine exists, and every broken rule.
    """
    path = f"gpuplane:{cloud}Clusters.{name}"
    problems = [*broken_cluster_rules(cloud, path, name, cluster, existing), *cluster_rules(path, cluster)]
    plans, broken = plan_pools(cloud, path, cluster, pools)
    problems += broken
    for plan in plans:
        problems += pool_rules(plan, pools[plan.name], cluster)
    return plans, problems
