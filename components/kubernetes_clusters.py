"""The Kubernetes clusters that a stack file declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pulumi

from stack_config import Problem, StackConfig, StackConfigError, stack_file_name

if TYPE_CHECKING:
    from components.aks_gpu_cluster import AksGpuCluster
    from components.eks_gpu_cluster import EksGpuCluster
    from components.gke_gpu_cluster import GkeGpuCluster

    AnyCluster = AksGpuCluster | EksGpuCluster | GkeGpuCluster


class KubernetesClusters:
    """Declares the EKS, GKE and AKS clusters of a stack.

    The rules of all of them are looked at first: make this before any other resource, and a preview ends with
    every broken rule, and nothing registered. What is not declared is not imported.

    Args:
        config: The checked configuration.

    Attributes:
        clusters: Cloud (`eks`, `gke`, `aks`) -> name -> cluster.

    Raises:
        pulumi.RunError: A rule is broken; one line for each.
    """

    clusters: Mapping[str, Mapping[str, AnyCluster]]

    def __init__(self, config: StackConfig) -> None:
        if problems := broken_rules(config):
            raise pulumi.RunError(StackConfigError(stack_file_name(config.stack), problems).message)
        self._config = config
        self.clusters = {}

    def declare(self) -> None:
        """Declares them all."""
        made: dict[str, Mapping[str, AnyCluster]] = {}
        config = self._config
        if config.eks_clusters:
            from components.eks_gpu_cluster import EksGpuCluster, EksGpuClusterArgs

            made["eks"] = {
                name: EksGpuCluster(name, EksGpuClusterArgs(cluster=cluster, stack_id=config.stack_id))
                for name, cluster in config.eks_clusters.items()
            }
        if config.gke_clusters:
            from components.gke_gpu_cluster import GkeGpuCluster, GkeGpuClusterArgs

            made["gke"] = {
                name: GkeGpuCluster(name, GkeGpuClusterArgs(cluster=cluster, stack_id=config.stack_id))
                for name, cluster in config.gke_clusters.items()
            }
        if config.aks_clusters:
            from components.aks_gpu_cluster import AksGpuCluster, AksGpuClusterArgs

            made["aks"] = {
                name: AksGpuCluster(name, AksGpuClusterArgs(cluster=cluster, stack_id=config.stack_id))
                for name, cluster in config.aks_clusters.items()
            }
        self.clusters = made

    def provider(self, name: str) -> pulumi.ProviderResource | None:
        """The Kubernetes provider of a cluster that this stack declares; None if there is none.

        Args:
            name: Name of the cluster, in any cloud.
        """
        for clusters in self.clusters.values():
            if name in clusters:
                return clusters[name].provider
        return None

    def outputs(self) -> dict[str, Any]:
        """Cloud -> cluster -> name in the cloud, kubeconfig (secret), pools, estimate."""
        return {
            cloud: {
                name: {
                    "name": cluster.cluster_name,
                    "kubeconfig": cluster.kubeconfig,
                    "pools": cluster.pools,
                    "estimatedHourly": cluster.estimated_hourly,
                }
                for name, cluster in clusters.items()
            }
            for cloud, clusters in self.clusters.items()
        }


def broken_rules(config: StackConfig) -> list[Problem]:
    """Every broken rule of the Kubernetes clusters of a stack: what its cloud does not sell, and the rest.

    Args:
        config: The checked configuration.
    """
    problems: list[Problem] = []
    if config.eks_clusters:
        from components.eks.rules import plan_eks

        for name, eks in config.eks_clusters.items():
            problems += plan_eks(name, eks)[1]
    if config.gke_clusters:
        from components.gke.rules import plan_gke

        for name, gke in config.gke_clusters.items():
            problems += plan_gke(name, gke)[1]
    if config.aks_clusters:
        from components.aks.rules import plan_aks

        for name, aks in config.aks_clusters.items():
            problems += plan_aks(name, aks)[1]
    return problems
