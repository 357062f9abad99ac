"""The rules that hold for a GPU pool on every cloud, and the plans of those that keep them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from components.kubernetes_pools.machine import choose
from components.kubernetes_pools.plan import POOL_LABEL, PoolPlan
from components.kubernetes_pools.price import price_of
from components.kubernetes_pools.shapes import TITLES, Cloud
from stack_config.errors import Problem, nearest
from stack_config.kubernetes_clusters import GpuPool, KubernetesCluster

SYSTEM = "system"
"""Name of the pool without GPUs on every cloud."""

_KEY = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
)
_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")


@dataclass(frozen=True, slots=True)
class PoolName:
    """How a cloud lets pools be called.

    Attributes:
        pattern: What a name has to match as a whole.
        rule: The same in words, after "a pool's name has".
        longest: Characters at most.
        separator: What stands between words; empty where nothing may.
    """

    pattern: re.Pattern[str]
    rule: str
    longest: int
    separator: str = "-"

    def near(self, name: str) -> str:
        """The valid name nearest to another; empty where nothing is left of it."""
        words = re.sub(r"^[^a-z]+", "", re.sub(r"[^a-z0-9]+", self.separator, name.lower()))
        near = words[: self.longest].strip("-")
        return near if self.pattern.fullmatch(near) else ""


NAMES: Mapping[Cloud, PoolName] = {
    "eks": PoolName(
        re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"), "lower-case letters, digits and inner hyphens", 63
    ),
    "gke": PoolName(
        re.compile(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?"), "lower-case letters, digits and inner hyphens", 40
    ),
    "aks": PoolName(re.compile(r"[a-z][a-z0-9]{0,11}"), "lower-case letters and digits", 12, ""),
}
"""EKS: nodegroupName; GKE: NodePool.name; AKS: names of Linux pools."""


def plan_pools(
    cloud: Cloud, path: str, cluster: KubernetesCluster, pools: Mapping[str, GpuPool]
) -> tuple[list[PoolPlan], list[Problem]]:
    """Chooses a machine for every pool, and looks whether it fits.

    Args:
        cloud: Cloud of the cluster.
        path: The cluster's place in the stack file: `gpuplane:eksClusters.train`.
        cluster: The cluster.
        pools: Its pools by name.

    Returns:
        Plans of the pools whose machine exists, and every broken rule.
    """
    plans: list[PoolPlan] = []
    problems: list[Problem] = []
    for name, pool in pools.items():
        where = f"{path}.pools.{name}"
        problems += _name(cloud, where, name)
        shape = choose(cloud, where, pool)
        if isinstance(shape, Problem):
            problems.append(shape)
            continue
        price = price_of(shape, pool.capacity, cluster.region, pool.hourly_usd)
        plan = PoolPlan(name, where, cloud, pool, shape, price, pool.zones)
        plans.append(plan)
        problems += _pool(plan)
    if not problems:
        problems += _budget(path, cluster, plans)
    return plans, problems


def _name(cloud: Cloud, path: str, name: str) -> Iterator[Problem]:
    names = NAMES[cloud]
    if name == SYSTEM:
        yield Problem(path, "is the pool without GPUs", next_step="call yours something else")
    elif not names.pattern.fullmatch(name):
        yield Problem(
            path,
            f"on {TITLES[cloud]} a pool's name has {names.rule}, a letter first, and at most "
            f"{names.longest} characters",
            names.near(name),
        )


def _pool(plan: PoolPlan) -> Iterator[Problem]:
    path, pool, shape = plan.path, plan.pool, plan.shape
    if pool.min > pool.max:
        yield Problem(f"{path}.min", f"is above max ({pool.max})", str(pool.max), "raise max or lower min")
    yield from _reservation(path, pool)
    if pool.rdma and pool.max == 1:
        yield Problem(
            f"{path}.rdma", "connects nodes, and max is 1", next_step="raise max, or leave rdma out"
        )
    if pool.driver == "cloud" and not shape.is_nvidia:
        yield Problem(
            f"{path}.driver",
            f"the cloud installs no driver for {shape.gpu}",
            "none",
            "install AMD's GPU operator yourself",
        )
    if pool.driver == "operator" and not shape.is_nvidia:
        yield Problem(f"{path}.driver", f"NVIDIA's operator has no driver for {shape.gpu}", "none")
    yield from _keys(path, pool)


def _reservation(path: str, pool: GpuPool) -> Iterator[Problem]:
    if pool.capacity in ("reserved", "block"):
        if not pool.reservation:
            yield Problem(
                f"{path}.reservation",
                f"is required for capacity {pool.capacity}",
                next_step="give the cloud's id of what you reserved",
            )
    elif pool.reservation:
        yield Problem(
            f"{path}.reservation",
            f"is not used with capacity {pool.capacity}",
            next_step="use capacity: reserved, or leave it out",
        )


def _keys(path: str, pool: GpuPool) -> Iterator[Problem]:
    """Labels and taints, as Kubernetes wants them."""
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(pool.taints or ()):
        where = f"{path}.taints[{index}]"
        if not _KEY.fullmatch(taint.key):
            yield Problem(f"{where}.key", f"{taint.key!r} is not a Kubernetes key", next_step="like a.b/name")
        if not _VALUE.fullmatch(taint.value):
            yield Problem(f"{where}.value", f"{taint.value!r} is not the value of a Kubernetes label")
        if (taint.key, taint.effect) in seen:
            yield Problem(where, f"{taint.key} with {taint.effect} is there twice")
        seen.add((taint.key, taint.effect))
    for key, value in pool.labels.items():
        where = f"{path}.labels.{key}"
        if key == POOL_LABEL:
            yield Problem(where, "is set by gpuplane: it is the pool's name", next_step="leave it out")
        elif not _KEY.fullmatch(key):
            yield Problem(where, "is not a Kubernetes key", next_step="like a.b/name")
        elif "kubernetes.io/" in key or "k8s.io/" in key:
            yield Problem(where, "belongs to Kubernetes itself", next_step="use a prefix of your own")
        if not _VALUE.fullmatch(value):
            yield Problem(where, f"{value!r} is not the value of a Kubernetes label")


def _budget(path: str, cluster: KubernetesCluster, plans: Sequence[PoolPlan]) -> Iterator[Problem]:
    """A budget that is known to be too small, or that can't be checked, is refused."""
    for plan in plans:
        cap = plan.pool.budget_hourly_usd
        if cap is not None:
            yield from _cap(f"{plan.path}.budgetHourlyUsd", cap, [plan], plan.path)
    if cluster.budget_hourly_usd is not None:
        yield from _cap(f"{path}.budgetHourlyUsd", cluster.budget_hourly_usd, plans, path)


def _cap(where: str, cap: float, plans: Sequence[PoolPlan], path: str) -> Iterator[Problem]:
    unpriced = [plan for plan in plans if plan.price.hourly_usd is None]
    if unpriced:
        first = unpriced[0]
        yield Problem(
            where,
            f"can't be checked: the {first.pool.capacity} price of {first.shape.name} is unknown",
            next_step=f"give what you pay as {first.path}.hourlyUsd",
        )
        return
    most = sum((plan.price.hourly_usd or 0.0) * plan.pool.max for plan in plans)
    if most > cap:
        each = (
            f"{plans[0].pool.max} x {plans[0].price.hourly_usd:g}" if len(plans) == 1 else "all pools at max"
        )
        yield Problem(
            where,
            f"{cap:g} USD per hour is less than {each} = {most:g} ({plans[0].price.source})",
            next_step=f"lower max, or allow {most:g}",
        )


def nearest_zone(written: str, zones: Sequence[str]) -> str:
    """The zone nearest to what was written; the only one where there is one."""
    return zones[0] if len(zones) == 1 else nearest(written, zones)
