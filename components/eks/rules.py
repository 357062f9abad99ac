"""What only EKS asks of a cluster and its pools. Pure.

Sources: EKS user guide (managed node groups with launch templates, capacity blocks, accelerated AMIs).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.kubernetes_pools.plan import PoolPlan
from components.kubernetes_pools.planning import plan_cluster
from components.kubernetes_pools.pool_rules import nearest_zone
from stack_config.errors import Problem, listing
from stack_config.kubernetes_clusters import EksCluster, EksPool

_RESERVATION = re.compile(r"cr-[0-9a-f]{17}|cr-[0-9a-f]{8}")
_ZONE = re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9][a-z]")
_SUBNET = re.compile(r"subnet-[0-9a-f]{8,17}")
_KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/.+")


def plan_eks(name: str, cluster: EksCluster) -> tuple[list[PoolPlan], list[Problem]]:
    """Chooses the machines of a cluster, and finds every broken rule.

    Args:
        name: The cluster's name.
        cluster: The cluster.
    """
    existing = cluster.existing is not None
    return plan_cluster("eks", name, cluster, existing, cluster.pools, _cluster, _pool)


def image_of(plan: PoolPlan, pool: EksPool) -> str:
    """The operating system of a pool: what was asked for, else Bottlerocket where it can be.

    Without a driver it is Amazon Linux: Bottlerocket's GPU image always has one.
    """
    if pool.image:
        return pool.image
    return "bottlerocket" if "bottlerocket" in plan.shape.images and pool.driver == "cloud" else "al2023"


def _cluster(path: str, cluster: EksCluster) -> Iterator[Problem]:
    for index, zone in enumerate(cluster.zones):
        where = f"{path}.zones[{index}]"
        if not _ZONE.fullmatch(zone) or zone[:-1] != cluster.region:
            yield Problem(
                where, f"{zone!r} is not a zone of {cluster.region}", f"{cluster.region}{zone[-1:].lower()}"
            )
        elif zone in cluster.zones[:index]:
            yield Problem(where, f"{zone} is listed twice")
    if cluster.existing is None:
        if len(set(cluster.zones)) < 2:
            yield Problem(
                f"{path}.zones",
                "EKS wants its control plane in at least two zones",
                next_step=f"name another zone of {cluster.region}",
            )
    else:
        yield from _existing(path, cluster)
    if cluster.existing is None and cluster.network_cidr.endswith(("/12", "/13", "/14", "/15")):
        address = cluster.network_cidr.split("/")[0]
        yield Problem(f"{path}.networkCidr", "a network of AWS has at most a /16", f"{address}/16")
    if cluster.kms_key_arn and not _KEY.fullmatch(cluster.kms_key_arn):
        yield Problem(
            f"{path}.kmsKeyArn", "is not the ARN of a KMS key", next_step="like arn:aws:kms:…:key/…"
        )
    for index, role in enumerate(cluster.admin_role_arns):
        if not _ROLE.fullmatch(role):
            yield Problem(f"{path}.adminRoleArns[{index}]", f"{role!r} is not the ARN of an IAM role")


def _existing(path: str, cluster: EksCluster) -> Iterator[Problem]:
    existing = cluster.existing
    if existing is None:
        return
    if len(existing.subnet_ids) != len(cluster.zones):
        yield Problem(
            f"{path}.existing.subnetIds",
            f"has {len(existing.subnet_ids)} subnets for {len(cluster.zones)} zones",
            next_step="give one for each zone, in the same order",
        )
    for index, subnet in enumerate(existing.subnet_ids):
        if not _SUBNET.fullmatch(subnet):
            yield Problem(
                f"{path}.existing.subnetIds[{index}]",
                f"{subnet!r} is not the id of a subnet",
                "",
                "like subnet-0…",
            )
    for field in ("nat", "admin_role_arns"):
        if field in cluster.model_fields_set:
            alias = EksCluster.model_fields[field].alias or field
            yield Problem(f"{path}.{alias}", "belongs to a new cluster, and this EKS cluster exists")


def _pool(plan: PoolPlan, pool: EksPool, cluster: EksCluster) -> Iterator[Problem]:
    path, shape = plan.path, plan.shape
    for index, zone in enumerate(pool.zones):
        if zone not in cluster.zones:
            yield Problem(
                f"{path}.zones[{index}]",
                f"{zone!r} is not a zone of the cluster",
                nearest_zone(zone, cluster.zones),
                f"use {listing(cluster.zones)}",
            )
    if pool.rdma and len(pool.zones or cluster.zones) != 1:
        yield Problem(
            f"{path}.zones",
            "with rdma all nodes are in one zone: a placement group does not span two",
            next_step=f"name one of {', '.join(cluster.zones)}",
        )
    if pool.capacity in ("reserved", "block"):
        if pool.reservation and not _RESERVATION.fullmatch(pool.reservation):
            yield Problem(
                f"{path}.reservation",
                f"{pool.reservation!r} is not the id of a capacity reservation",
                next_step="like cr-0123456789abcdef0",
            )
        if len(pool.zones or cluster.zones) != 1:
            yield Problem(
                f"{path}.zones",
                "a capacity reservation is in one zone",
                next_step=f"name that of yours: one of {', '.join(cluster.zones)}",
            )
    if not shape.images:
        yield Problem(f"{path}.{'shape' if pool.shape else 'gpu'}", f"EKS has no GPU image for {shape.name}")
    elif pool.image and pool.image not in shape.images:
        yield Problem(f"{path}.image", f"{pool.image} has no GPU image for {shape.name}", shape.images[0])
    if pool.driver == "operator":
        yield Problem(
            f"{path}.driver",
            "EKS's GPU images carry the driver, and it has one owner",
            "cloud",
        )
    if pool.driver == "none" and pool.image == "bottlerocket":
        yield Problem(f"{path}.image", "Bottlerocket's GPU image carries a driver; driver is none", "al2023")
    if not plan.autoscaled or cluster.existing is None or cluster.existing.autoscaler:
        return
    yield Problem(
        f"{path}.max",
        "nothing would scale it: the existing cluster has no autoscaler",
        str(max(pool.min, 1)),
        "make max and min equal, or install one and set existing.autoscaler",
    )
