"""GPU pools of an AKS cluster: agent pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from components.aks.control_plane import ControlPlane
from components.kubernetes_pools.nodes import node_labels
from components.kubernetes_pools.plan import PoolPlan
from stack_config.kubernetes_clusters import AksCluster, PoolTaint

DRIVERS = {"cloud": "Install", "operator": "None", "none": "None"}
"""What AKS calls the owners of the driver; the device plugin is never AKS's."""

IMMUTABLE = (
    "availabilityZones",
    "capacityReservationGroupID",
    "enableEncryptionAtHost",
    "enableNodePublicIP",
    "gpuProfile.driver",
    "osDiskSizeGB",
    "osDiskType",
    "osType",
    "proximityPlacementGroupID",
    "scaleSetEvictionPolicy",
    "scaleSetPriority",
    "spotMaxPrice",
    "vnetSubnetID",
)
"""What AKS refuses to change (PropertyChangeNotAllowed) and the provider does not replace for by itself."""

SPOT_LABEL = ("kubernetes.azure.com/scalesetpriority", "spot")
"""What AKS adds to spot pools by itself; declared, so that it is no difference."""


def taint_text(taint: PoolTaint) -> str:
    """`sku=gpu:NoSchedule`, as AKS wants taints."""
    return f"{taint.key}={taint.value}:{taint.effect}" if taint.value else f"{taint.key}:{taint.effect}"


def make_pools(
    name: str,
    cluster: AksCluster,
    plans: Sequence[PoolPlan],
    control: ControlPlane,
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> dict[str, Any]:
    """An agent pool for each pool.

    Args:
        name: Name of the cluster, for the resources' names.
        cluster: The cluster.
        plans: Its pools.
        control: Its control plane.
        tags: Tags of everything.
        opts: Options of every resource.

    Returns:
        Pool -> agent pool.
    """
    return {plan.name: _pool(name, cluster, plan, plans, control, tags, opts) for plan in plans}


def _pool(
    name: str,
    cluster: AksCluster,
    plan: PoolPlan,
    plans: Sequence[PoolPlan],
    control: ControlPlane,
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> Any:
    from pulumi_azure_native import containerservice

    pool = cluster.pools[plan.name]
    spot = pool.capacity == "spot"
    return containerservice.AgentPool(
        f"{name}-{plan.name}",
        agent_pool_name=plan.name,
        resource_group_name=control.group,
        resource_name_=control.name,
        mode=containerservice.AgentPoolMode.USER,
        vm_size=plan.shape.name,
        os_type=containerservice.OSType.LINUX,
        os_sku=pool.image,
        os_disk_type=containerservice.OSDiskType.MANAGED,
        os_disk_size_gb=pool.disk_gb,
        enable_encryption_at_host=cluster.host_encryption,
        enable_node_public_ip=False,
        vnet_subnet_id=control.subnet_id,
        availability_zones=list(pool.zones) or None,
        enable_auto_scaling=plan.autoscaled,
        count=pool.min,
        min_count=pool.min if plan.autoscaled else None,
        max_count=pool.max if plan.autoscaled else None,
        gpu_profile=containerservice.GPUProfileArgs(driver=DRIVERS[pool.driver]),
        gpu_instance_profile=pool.mig or None,
        scale_set_priority=containerservice.ScaleSetPriority.SPOT if spot else None,
        scale_set_eviction_policy=containerservice.ScaleSetEvictionPolicy.DELETE if spot else None,
        # -1: as much as on demand at most, so that price never evicts.
        spot_max_price=-1.0 if spot else None,
        capacity_reservation_group_id=pool.reservation or None,
        proximity_placement_group_id=_placement(name, cluster, plan, control, tags, opts)
        if pool.rdma
        else None,
        node_labels={**node_labels(plan, plans), **(dict([SPOT_LABEL]) if spot else {})},
        node_taints=[taint_text(taint) for taint in plan.taints],
        # GPUs are scarce: a pool is upgraded node by node in place, without one more.
        upgrade_settings=containerservice.AgentPoolUpgradeSettingsArgs(max_surge="0", max_unavailable="1")
        if not spot
        else None,
        tags=tags,
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                depends_on=list(control.ready),
                # The autoscaler changes it; and two pools of one name can't be.
                ignore_changes=["count"] if plan.autoscaled else [],
                replace_on_changes=list(IMMUTABLE),
                delete_before_replace=True,
            ),
        ),
    )


def _placement(
    name: str,
    cluster: AksCluster,
    plan: PoolPlan,
    control: ControlPlane,
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> pulumi.Output[str]:
    """A group whose machines are close to one another."""
    from pulumi_azure_native import compute

    group = compute.ProximityPlacementGroup(
        f"{name}-{plan.name}",
        proximity_placement_group_name=f"{name}-{plan.name}",
        resource_group_name=control.group,
        location=cluster.region,
        proximity_placement_group_type=compute.ProximityPlacementGroupType.STANDARD,
        zones=list(plan.zones) or None,
        intent=compute.ProximityPlacementGroupPropertiesIntentArgs(vm_sizes=[plan.shape.name])
        if plan.zones
        else None,
        tags=tags,
        opts=opts,
    )
    group_id: pulumi.Output[str] = group.id
    return group_id
