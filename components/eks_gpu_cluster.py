"""EksGpuCluster: Kubernetes on AWS with GPU pools."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
from pydantic import BaseModel, ConfigDict

from components.eks import policies
from components.eks.autoscaler import make_autoscaler
from components.eks.control_plane import ControlPlane, find_control_plane, make_control_plane
from components.eks.network import make_network
from components.eks.pools import make_pools
from components.eks.roles import make_role
from components.eks.rules import image_of, plan_eks
from components.kubernetes_pools.component import KubernetesGpuCluster
from components.kubernetes_pools.device_plugins import efa_device_plugin, nvidia_device_plugin
from components.kubernetes_pools.extras import require
from components.kubernetes_pools.kubeconfig import kubeconfig
from components.kubernetes_pools.naming import physical_name
from components.kubernetes_pools.naming import tags as tags_of
from components.kubernetes_pools.refusal import refuse
from stack_config.kubernetes_clusters import EksCluster


class EksGpuClusterArgs(BaseModel):
    """Arguments of an EksGpuCluster.

    Attributes:
        cluster: What the stack file says of it.
        stack_id: The stack's id; it is part of the cluster's name in AWS.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cluster: EksCluster
    stack_id: str = ""


class EksGpuCluster(KubernetesGpuCluster):
    """**Pulumi type:** `gpuplane:kubernetes:EksGpuCluster`. Kubernetes on AWS with GPU pools.

    Creates network, control plane, add-ons and a pool without GPUs, or takes a cluster that is there; then a
    managed node group for each pool, device plugins where the image has none, and the cluster autoscaler.
    Every rule is checked before the first of these is registered.

    Args:
        name: Its name in the stack file.
        args: Arguments.
        opts: Resource options.

    Attributes:
        cluster_name: Its name in AWS.
        kubeconfig: Kubeconfig that logs in with `aws eks get-token`; secret.
        provider: Pulumi Kubernetes provider of the cluster.
        pools: Pool -> machine, number of nodes, and what a pod needs to run there.
        estimated_hourly: What all pools cost at least and at most, with source and date.

    Raises:
        pulumi.RunError: A rule is broken; one line for each.
    """

    def __init__(
        self, name: str, args: EksGpuClusterArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        cluster = args.cluster
        plans, problems = plan_eks(name, cluster)
        refuse(problems)
        require(f"EKS cluster {name}", "aws", "kubernetes")
        super().__init__("gpuplane:kubernetes:EksGpuCluster", name, None, opts)
        mine = pulumi.ResourceOptions(parent=self)
        tags = tags_of(name, args.stack_id)
        region = cluster.region
        nodes = make_role(
            f"{name}-nodes", region, policies.trust_service("ec2"), policies.NODE_POLICIES, tags, mine
        )
        subnets: Mapping[str, pulumi.Input[str]]
        vpc_id: pulumi.Input[str]
        if cluster.existing is None:
            network = make_network(name, cluster, tags, mine)
            physical = physical_name(name, args.stack_id)
            control = make_control_plane(name, physical, cluster, network, nodes, tags, mine)
            subnets, vpc_id = network.subnets, network.vpc_id
        else:
            control = find_control_plane(cluster.existing.name, region, mine)
            subnets = dict(zip(cluster.zones, cluster.existing.subnet_ids, strict=True))
            vpc_id = control.vpc_id
        groups = make_pools(name, cluster, plans, control, nodes, subnets, vpc_id, tags, mine)

        self.open(name, control.name, _kubeconfig(control, region), control.ready)
        kube = self.inside(control.resource)
        plain = [
            plan
            for plan in plans
            if plan.pool.driver == "cloud" and image_of(plan, cluster.pools[plan.name]) == "al2023"
        ]
        if plain:
            nvidia_device_plugin(name, plain, False, kube)
        fast = [plan for plan in plans if plan.pool.rdma]
        if fast:
            efa_device_plugin(name, region, fast, kube)
        if cluster.existing is None:
            make_autoscaler(name, cluster, control, tags, mine, kube)

        self.tell(
            f"EKS cluster {name}", plans, nodeGroups={pool: group.arn for pool, group in groups.items()}
        )


def _kubeconfig(control: ControlPlane, region: str) -> pulumi.Output[str]:
    """Made of what AWS says; it logs in anew for every call."""

    def text(found: list[str]) -> str:
        name, endpoint, ca = found
        login = ["--region", region, "eks", "get-token", "--cluster-name", name, "--output", "json"]
        return kubeconfig(name, endpoint, ca, "aws", login, "Install the AWS CLI, version 2.")

    return pulumi.Output.secret(
        pulumi.Output.all(control.name, control.endpoint, control.ca).apply(lambda found: text(list(found)))
    )
