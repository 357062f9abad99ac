"""What only AKS asks of a cluster and its pools. Pure.

Sources: AKS documentation (GPU node pools, spot node pools, node auto-provisioning, capacity reservations).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.kubernetes_pools.plan import PoolPlan
from components.kubernetes_pools.planning import plan_cluster
from components.kubernetes_pools.pool_rules import nearest_zone
from components.kubernetes_pools.shapes import partitions
from stack_config.errors import Problem
from stack_config.kubernetes_clusters import AksCluster, AksPool

_REGION = re.compile(r"[a-z]+[a-z0-9]*")
_ZONES = ("1", "2", "3")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_GROUP_OF_RESERVATIONS = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Compute/capacityReservationGroups/[^/]+",
    re.IGNORECASE,
)
_SUBNET = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Network/virtualNetworks/[^/]+/subnets/[^/]+",
    re.IGNORECASE,
)


def plan_aks(name: str, cluster: AksCluster) -> tuple[list[PoolPlan], list[Problem]]:
    """Chooses the machines of a cluster, and finds every broken rule.

    Args:
        name: The cluster's name.
        cluster: The cluster.
    """
    existing = cluster.existing is not None
    return plan_cluster("aks", name, cluster, existing, cluster.pools, _cluster, _pool)


def _cluster(path: str, cluster: AksCluster) -> Iterator[Problem]:
    if not _REGION.fullmatch(cluster.region):
        near = re.sub(r"[^a-z0-9]", "", cluster.region.lower())
        yield Problem(
            f"{path}.region", f"{cluster.region!r} is not the name of a region", near, "like eastus"
        )
    existing = cluster.existing
    if existing is None:
        yield from _new(path, cluster)
        return
    if existing.subnet_id and not _SUBNET.fullmatch(existing.subnet_id):
        yield Problem(
            f"{path}.existing.subnetId",
            "is not the id of a subnet",
            next_step="like /subscriptions/…/subnets/…",
        )
    for field in ("node_auto_provisioning", "admin_group_ids", "disk_encryption_set_id"):
        if field in cluster.model_fields_set:
            alias = AksCluster.model_fields[field].alias or field
            yield Problem(f"{path}.{alias}", "belongs to a new cluster, and this AKS cluster exists")


def _new(path: str, cluster: AksCluster) -> Iterator[Problem]:
    if not cluster.admin_group_ids:
        yield Problem(
            f"{path}.adminGroupIds",
            "is required: the cluster has no accounts of its own",
            next_step="name an Entra ID group that you are in",
        )
    for index, group in enumerate(cluster.admin_group_ids):
        if not _UUID.fullmatch(group):
            yield Problem(f"{path}.adminGroupIds[{index}]", f"{group!r} is not the object id of a group")


def _pool(plan: PoolPlan, pool: AksPool, cluster: AksCluster) -> Iterator[Problem]:
    path, shape = plan.path, plan.shape
    nap = cluster.existing.node_auto_provisioning if cluster.existing else cluster.node_auto_provisioning
    if nap and plan.autoscaled:
        yield Problem(
            f"{path}.max",
            "AKS takes no autoscaled pool beside node auto-provisioning",
            str(max(pool.min, 1)),
            "make min and max equal, or switch nodeAutoProvisioning off",
        )
    for index, zone in enumerate(pool.zones):
        if zone not in _ZONES:
            yield Problem(
                f"{path}.zones[{index}]",
                f"{zone!r} is not a zone of Azure",
                nearest_zone(zone[-1:], _ZONES),
                "use 1, 2 or 3",
            )
    if pool.rdma and len(pool.zones) > 1:
        yield Problem(
            f"{path}.zones",
            "with rdma all nodes are in one zone: a placement group does not span two",
            pool.zones[0],
        )
    if (
        pool.capacity == "reserved"
        and pool.reservation
        and not _GROUP_OF_RESERVATIONS.fullmatch(pool.reservation)
    ):
        yield Problem(
            f"{path}.reservation",
            "is not the id of a capacity reservation group",
            next_step="like /subscriptions/…/capacityReservationGroups/…",
        )
    if pool.mig and not partitions(shape.gpu):
        yield Problem(f"{path}.mig", f"{shape.gpu} can't be cut into slices", next_step="leave it out")
