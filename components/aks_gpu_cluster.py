"""AksGpuCluster: Kubernetes on Azure with GPU pools."""

from __future__ import annotations

import pulumi
from pydantic import BaseModel, ConfigDict

from components.aks.control_plane import find_control_plane, make_control_plane, read_kubeconfig
from components.aks.network import make_network
from components.aks.pools import make_pools
from components.aks.rules import plan_aks
from components.kubernetes_pools.component import KubernetesGpuCluster
from components.kubernetes_pools.device_plugins import nvidia_device_plugin
from components.kubernetes_pools.extras import require
from components.kubernetes_pools.gpu_operator import gpu_operator
from components.kubernetes_pools.naming import physical_name
from components.kubernetes_pools.naming import tags as tags_of
from components.kubernetes_pools.refusal import refuse
from stack_config.kubernetes_clusters import AksCluster


class AksGpuClusterArgs(BaseModel):
    """Arguments of an AksGpuCluster.

    Attributes:
        cluster: What the stack file says of it.
        stack_id: The stack's id; it is part of the cluster's name in Azure.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cluster: AksCluster
    stack_id: str = ""


class AksGpuCluster(KubernetesGpuCluster):
    """**Pulumi type:** `gpuplane:kubernetes:AksGpuCluster`. Kubernetes on Azure with GPU pools.

    Creates resource group, network, cluster and a pool without GPUs, or takes a cluster that is there; then
    an agent pool for each pool, and NVIDIA's device plugin, which AKS leaves to its users. Every rule is
    checked before the first of these is registered.

    Args:
        name: Its name in the stack file.
        args: Arguments.
        opts: Resource options.

    Attributes:
        cluster_name: Its name in Azure.
        kubeconfig: Kubeconfig that logs in with `kubelogin`; secret.
        provider: Pulumi Kubernetes provider of the cluster.
        pools: Pool -> machine, number of nodes, and what a pod needs to run there.
        estimated_hourly: What all pools cost at least and at most, with source and date.

    Raises:
        pulumi.RunError: A rule is broken; one line for each.
    """

    def __init__(
        self, name: str, args: AksGpuClusterArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        cluster = args.cluster
        plans, problems = plan_aks(name, cluster)
        refuse(problems)
        require(f"AKS cluster {name}", "azure", "kubernetes")
        super().__init__("gpuplane:kubernetes:AksGpuCluster", name, None, opts)
        mine = pulumi.ResourceOptions(parent=self)
        tags = tags_of(name, args.stack_id)
        if cluster.existing is None:
            from pulumi_azure_native import resources

            physical = physical_name(name, args.stack_id)
            group = resources.ResourceGroup(
                f"{name}-group", resource_group_name=physical, location=cluster.region, tags=tags, opts=mine
            ).name
            network = make_network(name, physical, cluster, group, tags, mine)
            control = make_control_plane(name, physical, cluster, group, network, tags, mine)
        else:
            control = find_control_plane(cluster)
        made = make_pools(name, cluster, plans, control, tags, mine)

        self.open(name, control.name, read_kubeconfig(control, mine), control.ready)
        kube = self.inside(control.resource)
        plain = [plan for plan in plans if plan.pool.driver == "cloud"]
        if plain:
            sliced = any(cluster.pools[plan.name].mig for plan in plain)
            nvidia_device_plugin(name, plain, sliced, kube)
        if cluster.operator_chart and any(plan.pool.driver == "operator" for plan in plans):
            gpu_operator(name, cluster.operator_chart, kube)

        self.tell(f"AKS cluster {name}", plans, agentPools={pool: each.name for pool, each in made.items()})
