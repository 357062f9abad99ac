"""GPU pools of an EKS cluster: managed node groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.eks.control_plane import ControlPlane
from components.eks.launch_template import make_launch_template
from components.eks.roles import Role
from components.eks.rules import image_of
from components.kubernetes_pools.nodes import node_labels
from components.kubernetes_pools.plan import PoolPlan
from stack_config.kubernetes_clusters import EksCluster, EksPool

CAPACITY = {"on_demand": "ON_DEMAND", "reserved": "ON_DEMAND", "spot": "SPOT", "block": "CAPACITY_BLOCK"}
"""What a node group calls the ways of renting; a reservation is an on-demand node with a target."""

EFFECTS = {
    "NoSchedule": "NO_SCHEDULE",
    "PreferNoSchedule": "PREFER_NO_SCHEDULE",
    "NoExecute": "NO_EXECUTE",
}
"""What a node group calls the effects of taints."""

TEMPLATE = "k8s.io/cluster-autoscaler/node-template"
"""Prefix of the tags by which an autoscaler knows what a node would be like while there is none."""


def ami_type(plan: PoolPlan, pool: EksPool) -> str:
    """EKS's name of the image: with the driver in it, unless nobody is to install one."""
    arch = "ARM_64" if plan.shape.arch == "arm64" else "x86_64"
    if image_of(plan, pool) == "bottlerocket":
        return f"BOTTLEROCKET_{arch}_NVIDIA"
    return f"AL2023_{arch}_{'STANDARD' if pool.driver == 'none' else 'NVIDIA'}"


def make_pools(
    name: str,
    cluster: EksCluster,
    plans: Sequence[PoolPlan],
    control: ControlPlane,
    nodes: Role,
    subnets: Mapping[str, pulumi.Input[str]],
    vpc_id: pulumi.Input[str],
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> dict[str, Any]:
    """A node group for each pool.

    Args:
        name: Name of the cluster, for the resources' names.
        cluster: The cluster.
        plans: Its pools.
        control: Its control plane.
        nodes: Role of its nodes.
        subnets: Zone -> subnet.
        vpc_id: Its network.
        tags: Tags of everything.
        opts: Options of every resource.

    Returns:
        Pool -> node group.
    """
    groups = pulumi.Output.all(control.security_group)
    if any(plan.pool.rdma for plan in plans):
        efa = _efa_group(name, cluster.region, vpc_id, tags, opts)
        fast = pulumi.Output.all(control.security_group, efa)
    else:
        fast = groups
    made = {}
    for plan in plans:
        made[plan.name] = _pool(
            name,
            cluster,
            plan,
            plans,
            control,
            nodes,
            subnets,
            fast if plan.pool.rdma else groups,
            tags,
            opts,
        )
    return made


def _pool(
    name: str,
    cluster: EksCluster,
    plan: PoolPlan,
    plans: Sequence[PoolPlan],
    control: ControlPlane,
    nodes: Role,
    subnets: Mapping[str, pulumi.Input[str]],
    groups: pulumi.Input[list[str]],
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> Any:
    from pulumi_aws import ec2, eks

    pool = cluster.pools[plan.name]
    resource = f"{name}-{plan.name}"
    placement = None
    if pool.rdma:
        placement = ec2.PlacementGroup(
            resource, strategy=ec2.PlacementStrategy.CLUSTER, region=cluster.region, tags=tags, opts=opts
        ).name
    template = make_launch_template(resource, plan, cluster, groups, placement, tags, opts)
    group = eks.NodeGroup(
        resource,
        node_group_name=plan.name,
        cluster_name=control.name,
        node_role_arn=nodes.arn,
        subnet_ids=[subnets[zone] for zone in pool.zones or cluster.zones],
        ami_type=ami_type(plan, pool),
        capacity_type=CAPACITY[pool.capacity],
        scaling_config=eks.NodeGroupScalingConfigArgs(
            min_size=pool.min, max_size=pool.max, desired_size=pool.min
        ),
        update_config=eks.NodeGroupUpdateConfigArgs(max_unavailable=1),
        node_repair_config=eks.NodeGroupNodeRepairConfigArgs(enabled=True),
        launch_template=eks.NodeGroupLaunchTemplateArgs(
            id=template.id, version=template.latest_version.apply(lambda version: str(int(version)))
        ),
        labels=node_labels(plan, plans),
        taints=[
            eks.NodeGroupTaintArgs(key=taint.key, value=taint.value, effect=EFFECTS[taint.effect])
            for taint in plan.taints
        ],
        region=cluster.region,
        tags=tags,
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                depends_on=[*control.ready, *nodes.ready],
                # The autoscaler changes it; and two pools of one name, or twice the quota, can't be had.
                ignore_changes=["scalingConfig.desiredSize"],
                delete_before_replace=True,
            ),
        ),
    )
    if plan.autoscaled and pool.min == 0:
        _template_tags(resource, cluster.region, plan, plans, group, opts)
    return group


def _efa_group(
    name: str, region: str, vpc_id: pulumi.Input[str], tags: dict[str, str], opts: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """EFA bypasses the kernel: both sides need a group that lets itself in and out, all of it."""
    from pulumi_aws import ec2

    group = ec2.SecurityGroup(
        f"{name}-efa",
        description="EFA traffic between the nodes of this cluster",
        vpc_id=vpc_id,
        ingress=[ec2.SecurityGroupIngressArgs(protocol="-1", from_port=0, to_port=0, self=True)],
        egress=[ec2.SecurityGroupEgressArgs(protocol="-1", from_port=0, to_port=0, self=True)],
        region=region,
        tags={**tags, "Name": f"{name}-efa"},
        opts=opts,
    )
    group_id: pulumi.Output[str] = group.id
    return group_id


def template_tags(plan: PoolPlan, plans: Sequence[PoolPlan]) -> dict[str, str]:
    """The tags of a pool that is at zero: without them no pod could ever wake it."""
    resources = {"nvidia.com/gpu": str(plan.shape.gpus)}
    if plan.pool.rdma:
        resources["vpc.amazonaws.com/efa"] = str(plan.shape.fast_nics)
    return {
        **{f"{TEMPLATE}/label/{key}": value for key, value in node_labels(plan, plans).items()},
        **{f"{TEMPLATE}/taint/{taint.key}": f"{taint.value}:{taint.effect}" for taint in plan.taints},
        **{f"{TEMPLATE}/resources/{key}": value for key, value in resources.items()},
    }


def _template_tags(
    resource: str,
    region: str,
    plan: PoolPlan,
    plans: Sequence[PoolPlan],
    group: Any,
    opts: pulumi.ResourceOptions,
) -> None:
    """Tags of the scaling group: those of a node group do not get there."""
    from pulumi_aws import autoscaling

    scaling_group = group.resources.apply(_scaling_group)
    for index, (key, value) in enumerate(template_tags(plan, plans).items()):
        autoscaling.Tag(
            f"{resource}-{index}",
            autoscaling_group_name=scaling_group,
            tag=autoscaling.TagTagArgs(key=key, value=value, propagate_at_launch=False),
            region=region,
            opts=pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(deleted_with=group, delete_before_replace=True)
            ),
        )


def _scaling_group(resources: Sequence[Any] | None) -> str:
    """The name of the scaling group behind a node group."""
    for resource in resources or ():
        for group in resource.autoscaling_groups or ():
            if group.name:
                return str(group.name)
    raise pulumi.RunError("EKS named no scaling group for a node group; run `pulumi up` again")
