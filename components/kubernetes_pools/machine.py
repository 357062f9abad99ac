"""From what a pool asks for to the one machine that it gets, or the sentence why there is none. Pure."""

from __future__ import annotations

from components.kubernetes_pools.shapes import (
    TITLES,
    Cloud,
    Shape,
    catalogue_date,
    gpus_meant,
    gpus_of,
    known_gpus,
    shape_named,
    shapes,
)
from stack_config.errors import Problem, listing, nearest
from stack_config.kubernetes_clusters import GpuPool

NEVER_SOLD = {
    ("eks", "flex"): "flex is Google's: AWS does not sell it",
    ("gke", "block"): "block is AWS's: Google Cloud does not sell it",
    ("aks", "flex"): "flex is Google's: Azure does not sell it",
    ("aks", "block"): "block is AWS's: Azure does not sell it",
}
"""Capacity types that a cloud sells for no machine at all."""


def choose(cloud: Cloud, path: str, pool: GpuPool) -> Shape | Problem:
    """The machine of a pool.

    A GPU name stands for several form factors where it leaves them open (`H100`: SXM, NVL, PCIe). The first
    machine wins that has the GPU and the number, is sold in the wanted way, and has fast interfaces where
    `rdma` asks for them; without a number, the one with the fewest GPUs.

    Args:
        cloud: Cloud of the pool.
        path: Its place in the stack file.
        pool: What is asked for.
    """
    if pool.gpu and pool.shape:
        return Problem(path, "has gpu and shape", next_step="keep one of them")
    if not pool.gpu and not pool.shape:
        return Problem(path, "has neither gpu nor shape", next_step="give one of them")
    found = _by_shape(cloud, path, pool) if pool.shape else _by_gpu(cloud, path, pool)
    if isinstance(found, Problem):
        return found
    return _sold(cloud, path, pool, found)


def _by_shape(cloud: Cloud, path: str, pool: GpuPool) -> list[Shape] | Problem:
    shape = shape_named(cloud, pool.shape)
    if shape is None:
        return Problem(
            f"{path}.shape",
            f"{TITLES[cloud]} has no GPU machine {pool.shape!r} (catalogue of {catalogue_date(cloud)})",
            nearest(pool.shape, [each.name for each in shapes(cloud)]),
            f"use a machine of docs/{cloud}.md, or give gpu and gpuCount",
        )
    if pool.gpu_count is not None and pool.gpu_count != shape.gpus:
        return Problem(
            f"{path}.gpuCount",
            f"{shape.name} has {shape.gpus} {shape.gpu}, not {pool.gpu_count}",
            str(shape.gpus),
            "leave gpuCount out beside shape",
        )
    return [shape]


def _by_gpu(cloud: Cloud, path: str, pool: GpuPool) -> list[Shape] | Problem:
    """Every machine with the GPU and the number, preferred first."""
    meant = gpus_meant(pool.gpu)
    if not meant:
        return Problem(
            f"{path}.gpu",
            f"GPU {pool.gpu!r} is unknown",
            nearest(pool.gpu, known_gpus()),
            f"use {listing(gpus_of(cloud))}",
        )
    having = [shape for gpu in meant for shape in shapes(cloud) if shape.gpu == gpu]
    if not having:
        return Problem(
            f"{path}.gpu",
            f"{TITLES[cloud]} has no machine with {pool.gpu} (catalogue of {catalogue_date(cloud)})",
            nearest(pool.gpu, gpus_of(cloud)),
            f"use {listing(gpus_of(cloud))}",
        )
    if pool.gpu_count is None:
        return sorted(having, key=lambda shape: shape.gpus)
    fitting = [shape for shape in having if shape.gpus == pool.gpu_count]
    if not fitting:
        counts = sorted({shape.gpus for shape in having})
        near = min(counts, key=lambda count: abs(count - (pool.gpu_count or 1)))
        words = ", ".join(map(str, counts))
        return Problem(
            f"{path}.gpuCount",
            f"no machine of {TITLES[cloud]} has {pool.gpu_count} {pool.gpu}",
            str(near),
            f"use {words if len(counts) == 1 else f'one of {words}'}",
        )
    return fitting


def _sold(cloud: Cloud, path: str, pool: GpuPool, found: list[Shape]) -> Shape | Problem:
    """The first machine that is sold in the wanted way, with the interfaces that are wanted."""
    sold = [shape for shape in found if pool.capacity in shape.capacity]
    if not sold:
        ways = tuple(dict.fromkeys(way for shape in found for way in shape.capacity))
        rule = NEVER_SOLD.get((cloud, pool.capacity))
        what = found[0].name if len({shape.name for shape in found}) == 1 else f"{pool.gpu} as asked for here"
        near = nearest(pool.capacity, ways) or ways[0]
        return Problem(
            f"{path}.capacity",
            rule or f"{TITLES[cloud]} does not sell {what} as {pool.capacity}",
            near,
            f"use {listing(ways)}",
        )
    if not pool.rdma:
        return sold[0]
    fast = [shape for shape in sold if shape.fast_nics]
    if not fast:
        others = [
            shape
            for shape in shapes(cloud)
            if shape.fast_nics and pool.capacity in shape.capacity and shape.is_nvidia == sold[0].is_nvidia
        ]
        same = [shape for shape in others if shape.gpu == sold[0].gpu] or others
        return Problem(
            f"{path}.rdma",
            f"{sold[0].name} has no fast interconnect between nodes",
            same[0].name if same else "",
            "use that as shape, or leave rdma out",
        )
    return fast[0]
