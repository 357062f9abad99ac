"""GkeGpuCluster: Kubernetes on Google Cloud with GPU pools."""

from __future__ import annotations

import pulumi
from pydantic import BaseModel, ConfigDict

from components.gke.control_plane import (
    ControlPlane,
    find_control_plane,
    make_control_plane,
    make_node_account,
)
from components.gke.network import make_network
from components.gke.pools import make_pools
from components.gke.rules import plan_gke
from components.kubernetes_pools.component import KubernetesGpuCluster
from components.kubernetes_pools.extras import require
from components.kubernetes_pools.gpu_operator import gpu_operator
from components.kubernetes_pools.kubeconfig import kubeconfig
from components.kubernetes_pools.naming import physical_name
from components.kubernetes_pools.naming import tags as tags_of
from components.kubernetes_pools.refusal import refuse
from stack_config.kubernetes_clusters import GkeCluster


class GkeGpuClusterArgs(BaseModel):
    """Arguments of a GkeGpuCluster.

    Attributes:
        cluster: What the stack file says of it.
        stack_id: The stack's id; it is part of the cluster's name in Google Cloud.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cluster: GkeCluster
    stack_id: str = ""


class GkeGpuCluster(KubernetesGpuCluster):
    """**Pulumi type:** `gpuplane:kubernetes:GkeGpuCluster`. Kubernetes on Google Cloud with GPU pools.

    Creates network, cluster and a pool without GPUs, or takes a cluster that is there; then a node pool for
    each pool. GKE itself installs driver and device plugin, and follows the load. Every rule is checked
    before the first of these is registered.

    Args:
        name: Its name in the stack file.
        args: Arguments.
        opts: Resource options.

    Attributes:
        cluster_name: Its name in Google Cloud.
        kubeconfig: Kubeconfig that logs in with `gke-gcloud-auth-plugin`; secret.
        provider: Pulumi Kubernetes provider of the cluster.
        pools: Pool -> machine, number of nodes, and what a pod needs to run there.
        estimated_hourly: What all pools cost at least and at most, with source and date.

    Raises:
        pulumi.RunError: A rule is broken; one line for each.
    """

    def __init__(
        self, name: str, args: GkeGpuClusterArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        cluster = args.cluster
        plans, problems = plan_gke(name, cluster)
        refuse(problems)
        require(f"GKE cluster {name}", "gcp", "kubernetes")
        super().__init__("gpuplane:kubernetes:GkeGpuCluster", name, None, opts)
        mine = pulumi.ResourceOptions(parent=self)
        labels = tags_of(name, args.stack_id)
        physical = physical_name(name, args.stack_id)
        account = make_node_account(name, physical, cluster.project, mine)
        if cluster.existing is None:
            network = make_network(name, physical, cluster, mine)
            control = make_control_plane(name, physical, cluster, network, account, labels, mine)
        else:
            control = find_control_plane(cluster, mine)
        made = make_pools(name, cluster, plans, control, account, labels, mine)

        self.open(name, control.name, _kubeconfig(control), control.ready)
        if cluster.operator_chart and any(plan.pool.driver == "operator" for plan in plans):
            kube = self.inside(control.resource)
            gpu_operator(name, cluster.operator_chart, kube)

        self.tell(f"GKE cluster {name}", plans, nodePools={pool: each.name for pool, each in made.items()})


def _kubeconfig(control: ControlPlane) -> pulumi.Output[str]:
    """Made of what Google Cloud says; it logs in anew for every call."""

    def text(found: list[str]) -> str:
        name, endpoint, ca = found
        hint = "Install gke-gcloud-auth-plugin with `gcloud components install`."
        return kubeconfig(name, endpoint, ca, "gke-gcloud-auth-plugin", [], hint)

    return pulumi.Output.secret(
        pulumi.Output.all(control.name, control.endpoint, control.ca).apply(lambda found: text(list(found)))
    )
