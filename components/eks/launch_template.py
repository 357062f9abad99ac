"""What a GPU node of EKS starts as: disk, metadata, network interfaces, way of renting."""

from __future__ import annotations

from typing import Any

import pulumi

from components.eks.rules import image_of
from components.kubernetes_pools.plan import PoolPlan
from stack_config.kubernetes_clusters import EksCluster, EksPool


def disk(device: str, size_gb: int, cluster: EksCluster) -> Any:
    """An encrypted disk; with the cluster's own key where it has one.

    Args:
        device: Name that the image knows it by.
        size_gb: Size, GB.
        cluster: The cluster.
    """
    from pulumi_aws import ec2

    return ec2.LaunchTemplateBlockDeviceMappingArgs(
        device_name=device,
        ebs=ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
            volume_size=size_gb,
            volume_type="gp3",
            encrypted="true",
            kms_key_id=cluster.kms_key_arn or None,
            delete_on_termination="true",
        ),
    )


def metadata_options() -> Any:
    """IMDSv2 alone, and not for pods: they have Pod Identity."""
    from pulumi_aws import ec2

    return ec2.LaunchTemplateMetadataOptionsArgs(
        http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
    )


def make_launch_template(
    name: str,
    plan: PoolPlan,
    cluster: EksCluster,
    groups: pulumi.Input[list[str]],
    placement_group: pulumi.Input[str] | None,
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> Any:
    """The launch template of a pool.

    Args:
        name: Name of the resource.
        plan: The pool.
        cluster: Its cluster.
        groups: Security groups of a node.
        placement_group: Name of the group that its nodes are close together in; None for none.
        tags: Tags of nodes and disks.
        opts: Options of the resource.
    """
    from pulumi_aws import ec2

    pool = cluster.pools[plan.name]
    interfaces = _interfaces(plan, groups) if pool.rdma else None
    return ec2.LaunchTemplate(
        name,
        instance_type=plan.shape.name,
        block_device_mappings=_disks(plan, pool, cluster),
        metadata_options=metadata_options(),
        network_interfaces=interfaces,
        # Where interfaces are listed, EC2 takes the groups there and nowhere else.
        vpc_security_group_ids=None if interfaces else groups,
        placement=ec2.LaunchTemplatePlacementArgs(group_name=placement_group) if placement_group else None,
        instance_market_options=ec2.LaunchTemplateInstanceMarketOptionsArgs(market_type="capacity-block")
        if pool.capacity == "block"
        else None,
        capacity_reservation_specification=_reservation(pool),
        tag_specifications=[
            ec2.LaunchTemplateTagSpecificationArgs(resource_type="instance", tags={**tags, "Name": name}),
            ec2.LaunchTemplateTagSpecificationArgs(resource_type="volume", tags=tags),
        ],
        update_default_version=True,
        region=cluster.region,
        tags=tags,
        opts=opts,
    )


def _disks(plan: PoolPlan, pool: EksPool, cluster: EksCluster) -> list[Any]:
    """Bottlerocket keeps images and pods on a disk of their own."""
    if image_of(plan, pool) == "bottlerocket":
        return [disk("/dev/xvda", 4, cluster), disk("/dev/xvdb", pool.disk_gb, cluster)]
    return [disk("/dev/xvda", pool.disk_gb, cluster)]


def _interfaces(plan: PoolPlan, groups: pulumi.Input[list[str]]) -> list[Any]:
    """An interface on every network card: EFA, or on a first card without EFA an ordinary one."""
    from pulumi_aws import ec2

    def kind(card: int) -> str:
        if card:
            return "efa-only"
        return "efa" if plan.shape.network_cards == plan.shape.fast_nics else "interface"

    return [
        ec2.LaunchTemplateNetworkInterfaceArgs(
            network_card_index=card,
            device_index=0 if card == 0 else 1,
            interface_type=kind(card),
            security_groups=groups,
            delete_on_termination="true",
        )
        for card in range(plan.shape.network_cards)
    ]


def _reservation(pool: EksPool) -> Any:
    from pulumi_aws import ec2

    if not pool.reservation:
        return None
    return ec2.LaunchTemplateCapacityReservationSpecificationArgs(
        capacity_reservation_target=ec2.LaunchTemplateCapacityReservationSpecificationCapacityReservationTargetArgs(
            capacity_reservation_id=pool.reservation
        )
    )
