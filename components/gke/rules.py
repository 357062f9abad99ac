"""What only GKE asks of a cluster and its pools. Pure.

Sources: GKE documentation (node pools with GPUs, flex-start, compact placement), consumption options of
accelerator-optimized machine types.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.kubernetes_pools.plan import PoolPlan
from components.kubernetes_pools.planning import plan_cluster
from components.kubernetes_pools.shapes import partitions
from stack_config.errors import Problem, nearest
from stack_config.kubernetes_clusters import GkeCluster, GkePool

_PROJECT = re.compile(r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_REGION = re.compile(r"[a-z]+-[a-z]+[0-9]{1,2}")
_RESERVATION = re.compile(r"(?:projects/[a-z0-9.:-]+/reservations/)?[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_KEY = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")


def plan_gke(name: str, cluster: GkeCluster) -> tuple[list[PoolPlan], list[Problem]]:
    """Chooses the machines of a cluster, and finds every broken rule.

    Args:
        name: The cluster's name.
        cluster: The cluster.
    """
    existing = cluster.existing is not None
    return plan_cluster("gke", name, cluster, existing, cluster.pools, _cluster, _pool)


def _cluster(path: str, cluster: GkeCluster) -> Iterator[Problem]:
    if not _PROJECT.fullmatch(cluster.project):
        yield Problem(
            f"{path}.project", f"{cluster.project!r} is not the id of a project", next_step="not its title"
        )
    if not _REGION.fullmatch(cluster.region):
        near = cluster.region.rsplit("-", 1)[0] if _REGION.fullmatch(cluster.region.rsplit("-", 1)[0]) else ""
        yield Problem(f"{path}.region", f"{cluster.region!r} is not a region", near, "like us-central1")
    if cluster.kms_key and not _KEY.fullmatch(cluster.kms_key):
        yield Problem(
            f"{path}.kmsKey", "is not the full name of a key", next_step="like projects/…/cryptoKeys/…"
        )
    if cluster.existing is None:
        return
    location = cluster.existing.location
    if location != cluster.region and not location.startswith(f"{cluster.region}-"):
        yield Problem(f"{path}.existing.location", f"{location!r} is not in {cluster.region}", cluster.region)
    for field in ("release_channel", "deletion_protection"):
        if field in cluster.model_fields_set:
            alias = GkeCluster.model_fields[field].alias or field
            yield Problem(f"{path}.{alias}", "belongs to a new cluster, and this GKE cluster exists")


def _pool(plan: PoolPlan, pool: GkePool, cluster: GkeCluster) -> Iterator[Problem]:
    path, shape = plan.path, plan.shape
    yield from _zones(path, pool, cluster)
    if pool.reservation and not _RESERVATION.fullmatch(pool.reservation):
        yield Problem(
            f"{path}.reservation",
            f"{pool.reservation!r} is not the name of a reservation",
            next_step="its name, or projects/…/reservations/…",
        )
    yield from _flex(path, pool)
    sizes = partitions(shape.gpu)
    if pool.gpu_partition and not sizes:
        yield Problem(
            f"{path}.gpuPartition", f"{shape.gpu} can't be cut into slices", next_step="leave it out"
        )
    elif pool.gpu_partition and pool.gpu_partition not in sizes:
        yield Problem(
            f"{path}.gpuPartition",
            f"{shape.gpu} has no slice of {pool.gpu_partition}",
            nearest(pool.gpu_partition, sizes),
            f"use one of {', '.join(sizes)}",
        )
    if shape.arch == "arm64" and pool.driver == "operator":
        yield Problem(f"{path}.driver", f"the operator's image is not for arm64, as {shape.name} is", "cloud")


def _zones(path: str, pool: GkePool, cluster: GkeCluster) -> Iterator[Problem]:
    if not pool.zones:
        yield Problem(
            f"{path}.zones",
            "are required: GKE would choose any, and few have GPUs",
            next_step=f"name some of {cluster.region}, like {cluster.region}-a",
        )
    for index, zone in enumerate(pool.zones):
        right = re.fullmatch(rf"{re.escape(cluster.region)}-[a-z]", zone)
        if _REGION.fullmatch(cluster.region) and not right:
            yield Problem(
                f"{path}.zones[{index}]",
                f"{zone!r} is not a zone of {cluster.region}",
                f"{cluster.region}-{zone[-1:].lower() if zone[-1:].isalpha() else 'a'}",
            )
    if pool.zones and pool.min == pool.max and pool.max % len(pool.zones):
        more = -(-pool.max // len(pool.zones)) * len(pool.zones)
        yield Problem(
            f"{path}.max",
            f"a fixed number is the same in each of {len(pool.zones)} zones, and {pool.max} is no multiple",
            str(more),
            "set min and max to it",
        )
    if pool.rdma and len(pool.zones) > 1:
        yield Problem(
            f"{path}.zones", "with rdma all nodes are in one zone: compact placement", pool.zones[0]
        )


def _flex(path: str, pool: GkePool) -> Iterator[Problem]:
    if pool.capacity == "flex":
        if pool.min:
            yield Problem(f"{path}.min", "flex nodes come when there is room: none always runs", "0")
        return
    for field, value in (("maxRunS", pool.max_run_s), ("queued", pool.queued)):
        if value:
            yield Problem(
                f"{path}.{field}",
                f"is for capacity flex, not {pool.capacity}",
                next_step="use capacity: flex, or leave it out",
            )
