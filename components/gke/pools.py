"""GPU pools of a GKE cluster: node pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from components.gke.control_plane import SCOPE, ControlPlane, NodeAccount
from components.kubernetes_pools.nodes import node_labels
from components.kubernetes_pools.plan import PoolPlan
from stack_config.kubernetes_clusters import GkeCluster, GkePool

DRIVERS = {"cloud": "LATEST", "operator": "INSTALLATION_DISABLED", "none": "INSTALLATION_DISABLED"}
"""What GKE calls the owners of the driver; with `LATEST` it installs its own, and the device plugin."""

EFFECTS = {
    "NoSchedule": "NO_SCHEDULE",
    "PreferNoSchedule": "PREFER_NO_SCHEDULE",
    "NoExecute": "NO_EXECUTE",
}
"""What a node pool calls the effects of taints."""

LONGEST_FLEX_RUN_S = 604_800
"""How long a flex-start node may run, seconds: seven days."""


def make_pools(
    name: str,
    cluster: GkeCluster,
    plans: Sequence[PoolPlan],
    control: ControlPlane,
    account: NodeAccount,
    labels: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> dict[str, Any]:
    """A node pool for each pool.

    Args:
        name: Name of the cluster, for the resources' names.
        cluster: The cluster.
        plans: Its pools.
        control: Its control plane.
        account: Service account of its nodes.
        labels: Labels of everything in Google Cloud.
        opts: Options of every resource.

    Returns:
        Pool -> node pool.
    """
    return {plan.name: _pool(name, cluster, plan, plans, control, account, labels, opts) for plan in plans}


def _pool(
    name: str,
    cluster: GkeCluster,
    plan: PoolPlan,
    plans: Sequence[PoolPlan],
    control: ControlPlane,
    account: NodeAccount,
    labels: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> Any:
    from pulumi_gcp import container as gke

    pool = cluster.pools[plan.name]
    queued = pool.capacity == "flex" and pool.queued
    return gke.NodePool(
        f"{name}-{plan.name}",
        name=plan.name,
        project=cluster.project,
        cluster=control.name,
        location=control.location,
        node_locations=list(pool.zones),
        # Both are numbers for one zone. With an autoscaler it is only the first; then it is its own.
        initial_node_count=first_nodes(pool) if plan.autoscaled else None,
        node_count=None if plan.autoscaled else pool.max // len(pool.zones),
        autoscaling=gke.NodePoolAutoscalingArgs(
            total_min_node_count=pool.min, total_max_node_count=pool.max, location_policy="ANY"
        )
        if plan.autoscaled
        else None,
        management=gke.NodePoolManagementArgs(
            # A node that leaves in seven days is neither mended nor upgraded.
            auto_repair=pool.capacity != "flex",
            auto_upgrade=True,
        ),
        upgrade_settings=gke.NodePoolUpgradeSettingsArgs(max_surge=0, max_unavailable=1),
        network_config=gke.NodePoolNetworkConfigArgs(
            enable_private_nodes=True,
            # GKE then makes the networks of GPUDirect, which are as many as the GPUs, by itself.
            accelerator_network_profile="auto" if pool.rdma else None,
        ),
        placement_policy=gke.NodePoolPlacementPolicyArgs(type="COMPACT") if pool.rdma else None,
        queued_provisioning=gke.NodePoolQueuedProvisioningArgs(enabled=True) if queued else None,
        node_config=_node_config(cluster, plan, pool, plans, account, labels),
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                depends_on=[*control.ready, *account.ready],
                # A change of it would make the pool anew; and two pools of one name can't be.
                ignore_changes=["initialNodeCount"],
                delete_before_replace=True,
            ),
        ),
    )


def first_nodes(pool: GkePool) -> int:
    """How many nodes an autoscaled pool starts with in each zone: enough for `min` without passing `max`."""
    zones = len(pool.zones)
    enough = -(-pool.min // zones)
    return enough if enough * zones <= pool.max else pool.min // zones


def _node_config(
    cluster: GkeCluster,
    plan: PoolPlan,
    pool: GkePool,
    plans: Sequence[PoolPlan],
    account: NodeAccount,
    labels: dict[str, str],
) -> Any:
    from pulumi_gcp import container as gke

    shape = plan.shape
    flex = pool.capacity == "flex"
    return gke.NodePoolNodeConfigArgs(
        machine_type=shape.name,
        image_type="UBUNTU_CONTAINERD" if pool.driver == "operator" else "COS_CONTAINERD",
        disk_type=shape.disk,
        disk_size_gb=pool.disk_gb,
        boot_disk_kms_key=cluster.kms_key or None,
        spot=True if pool.capacity == "spot" else None,
        flex_start=True if flex else None,
        max_run_duration=f"{pool.max_run_s or LONGEST_FLEX_RUN_S}s" if flex else None,
        reservation_affinity=_reservation(pool),
        guest_accelerators=[
            gke.NodePoolNodeConfigGuestAcceleratorArgs(
                type=shape.accelerator,
                count=shape.gpus,
                gpu_partition_size=pool.gpu_partition or None,
                gpu_driver_installation_config=gke.NodePoolNodeConfigGuestAcceleratorGpuDriverInstallationConfigArgs(
                    gpu_driver_version=DRIVERS[pool.driver]
                ),
            )
        ],
        gpudirect_strategy=shape.gpudirect if pool.rdma and shape.gpudirect else None,
        gvnic=gke.NodePoolNodeConfigGvnicArgs(enabled=True),
        labels=node_labels(plan, plans),
        metadata={"disable-legacy-endpoints": "true"},
        oauth_scopes=[SCOPE],
        resource_labels=labels,
        service_account=account.email,
        # The driver of GPUs that are not GKE's own is not signed by Google: no secure boot with one.
        shielded_instance_config=gke.NodePoolNodeConfigShieldedInstanceConfigArgs(
            enable_secure_boot=pool.driver == "cloud", enable_integrity_monitoring=True
        ),
        taints=[
            gke.NodePoolNodeConfigTaintArgs(key=taint.key, value=taint.value, effect=EFFECTS[taint.effect])
            for taint in plan.taints
        ]
        or None,
        workload_metadata_config=gke.NodePoolNodeConfigWorkloadMetadataConfigArgs(mode="GKE_METADATA"),
    )


def _reservation(pool: GkePool) -> Any:
    """A reservation that is named is used and nothing else; flex and spot must not use any."""
    from pulumi_gcp import container as gke

    if pool.capacity == "reserved":
        return gke.NodePoolNodeConfigReservationAffinityArgs(
            consume_reservation_type="SPECIFIC_RESERVATION",
            key="compute.googleapis.com/reservation-name",
            values=[pool.reservation],
        )
    if pool.capacity in ("flex", "spot"):
        return gke.NodePoolNodeConfigReservationAffinityArgs(consume_reservation_type="NO_RESERVATION")
    return None
