"""The GPU machines that EKS, GKE and AKS can have, as shapes.json has them. Pure.

A row is a machine of one cloud: its GPUs, how it is sold, its fast network interfaces. The file says where
each table and price comes from, and of what day it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Literal

from gpu_clouds.catalog import gpu_names, resolve_gpu
from gpu_clouds.errors import ValidationError

Cloud = Literal["eks", "gke", "aks"]

TITLES: Mapping[Cloud, str] = {"eks": "EKS", "gke": "GKE", "aks": "AKS"}
"""How messages call a cloud."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One machine.

    Attributes:
        cloud: Whose it is.
        name: The cloud's own name: `p5.48xlarge`, `a3-highgpu-8g`, `Standard_ND96isr_H100_v5`.
        gpu: Canonical name of its GPU.
        gpus: How many it has.
        capacity: How it is sold: `on_demand`, `spot`, `reserved`, `flex`, `block`.
        fast_nics: Interfaces for traffic between nodes (EFA, GPUDirect, InfiniBand); 0 for none.
        network_cards: EKS: cards that the interfaces sit on, one each; more than `fast_nics` where the first
            is an ordinary one.
        arch: `x86_64` or `arm64`.
        images: EKS: operating systems whose GPU image runs on it.
        accelerator: GKE: what its GPU is called there.
        disk: GKE: type of boot disk that it takes.
        gpudirect: GKE: strategy for GPUDirect; empty for none to set.
    """

    cloud: Cloud
    name: str
    gpu: str
    gpus: int
    capacity: tuple[str, ...]
    fast_nics: int = 0
    network_cards: int = 0
    arch: str = "x86_64"
    images: tuple[str, ...] = ()
    accelerator: str = ""
    disk: str = ""
    gpudirect: str = ""

    @property
    def is_nvidia(self) -> bool:
        """Whether NVIDIA's driver and device plugin run on it."""
        return not self.gpu.startswith("MI")


@dataclass(frozen=True, slots=True)
class ListPrice:
    """What a machine cost in one region on one day.

    Attributes:
        hourly_usd: USD per hour.
        region: The region that it is of.
        as_of: Day, as `2026-09-06`.
    """

    hourly_usd: float
    region: str
    as_of: str


@dataclass(frozen=True, slots=True)
class _Table:
    shapes: Mapping[Cloud, tuple[Shape, ...]]
    by_name: Mapping[tuple[str, str], Shape]
    gpus: Mapping[str, str]  # folded name -> canonical, of GPUs that only these clouds have
    own_gpus: tuple[str, ...]
    mig: Mapping[str, tuple[str, ...]]
    prices: Mapping[tuple[str, str, str], ListPrice]
    sources: Mapping[str, Mapping[str, str]]


def shapes(cloud: Cloud) -> tuple[Shape, ...]:
    """Every GPU machine of a cloud; of one GPU the smallest first."""
    return _table().shapes[cloud]


def shape_named(cloud: Cloud, name: str) -> Shape | None:
    """A machine by the cloud's own name, in any case; None where the catalogue has none."""
    return _table().by_name.get((cloud, name.lower()))


def gpus_of(cloud: Cloud) -> tuple[str, ...]:
    """Canonical names of the GPUs that a cloud has."""
    return tuple(dict.fromkeys(shape.gpu for shape in shapes(cloud)))


def gpus_meant(name: str) -> tuple[str, ...]:
    """The canonical names that a GPU name stands for, preferred first; empty for an unknown one."""
    if own := _table().gpus.get(_fold(name)):
        return (own,)
    try:
        return resolve_gpu(name)
    except ValidationError:
        return ()


def known_gpus() -> tuple[str, ...]:
    """Every GPU name that is known at all."""
    return (*gpu_names(), *_table().own_gpus)


def partitions(gpu: str) -> tuple[str, ...]:
    """Sizes of slice that a GPU can be cut into (MIG), smallest first; empty where it can't."""
    return _table().mig.get(gpu, ())


def list_price(shape: Shape, capacity: str) -> ListPrice | None:
    """What the catalogue has as the price of a machine; None for nothing."""
    return _table().prices.get((shape.cloud, shape.name, capacity))


def catalogue_date(cloud: Cloud) -> str:
    """Of what day a cloud's table is."""
    return _table().sources[cloud]["as_of"]


def _fold(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _shape(cloud: Cloud, row: Mapping[str, Any]) -> Shape:
    lists = {key: tuple(row[key]) for key in ("capacity", "images") if key in row}
    rest = {key: value for key, value in row.items() if key not in ("shape", "vcpus", *lists)}
    return Shape(cloud=cloud, name=row["shape"], **{"network_cards": row["fast_nics"], **rest, **lists})


@lru_cache(maxsize=1)
def _table() -> _Table:
    """Reads the file at its first use."""
    raw = json.loads(
        resources.files("components.kubernetes_pools").joinpath("shapes.json").read_text("utf-8")
    )
    clouds: tuple[Cloud, ...] = ("eks", "gke", "aks")
    found = {cloud: tuple(_shape(cloud, row) for row in raw["shapes"][cloud]) for cloud in clouds}
    return _Table(
        shapes=found,
        by_name={(shape.cloud, shape.name.lower()): shape for rows in found.values() for shape in rows},
        gpus={_fold(each): name for name, aliases in raw["gpus"].items() for each in (name, *aliases)},
        own_gpus=tuple(raw["gpus"]),
        mig={gpu: tuple(sizes) for gpu, sizes in raw["mig"].items()},
        prices={
            (row["cloud"], row["shape"], row["capacity"]): ListPrice(
                row["hourly_usd"], row["region"], row["as_of"]
            )
            for row in raw["prices"]
        },
        sources=raw["sources"],
    )
