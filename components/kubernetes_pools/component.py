"""What the components of the three clouds have in common: the way into a cluster, and what it tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.kubernetes_pools.cost import cost_block, estimate
from components.kubernetes_pools.outputs import pool_outputs
from components.kubernetes_pools.plan import PoolPlan


class KubernetesGpuCluster(pulumi.ComponentResource):
    """Base of EksGpuCluster, GkeGpuCluster and AksGpuCluster, which document the attributes."""

    cluster_name: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]
    provider: pulumi.ProviderResource
    pools: Mapping[str, Mapping[str, Any]]
    estimated_hourly: Mapping[str, Any]

    def open(
        self,
        name: str,
        cluster_name: pulumi.Output[str],
        kubeconfig: pulumi.Output[str],
        ready: Sequence[pulumi.Resource],
    ) -> None:
        """Makes the provider for what is put into the cluster.

        Args:
            name: Its name in the stack file.
            cluster_name: Its name in the cloud.
            kubeconfig: How to log in; secret.
            ready: What has to exist before.
        """
        from pulumi_kubernetes import Provider

        self.cluster_name = cluster_name
        self.kubeconfig = kubeconfig
        self.provider = Provider(
            f"{name}-kubernetes",
            kubeconfig=kubeconfig,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(ready)),
        )

    def inside(self, cluster: pulumi.Resource | None) -> pulumi.ResourceOptions:
        """Options of an object in the cluster: it needs no deletion of its own where the cluster goes.

        Args:
            cluster: The cluster as a resource; None for one that somebody else made.
        """
        return pulumi.ResourceOptions(parent=self, provider=self.provider, deleted_with=cluster)

    def tell(self, title: str, plans: Sequence[PoolPlan], **made: Mapping[str, pulumi.Output[str]]) -> None:
        """Sets pools and cost, shows the cost in a preview, and registers the outputs.

        Args:
            title: What the cost is of: `EKS cluster train`.
            plans: Its pools.
            made: Pool -> id, under the cloud's own word for pools.
        """
        self.pools = {plan.name: pool_outputs(plan) for plan in plans}
        self.estimated_hourly = estimate(plans)
        if pulumi.runtime.is_dry_run() and plans:
            pulumi.log.info(cost_block(title, plans), self)
        self.register_outputs(
            {
                "clusterName": self.cluster_name,
                "kubeconfig": self.kubeconfig,
                "pools": self.pools,
                **made,
                "estimatedHourly": self.estimated_hourly,
            }
        )
