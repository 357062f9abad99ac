"""What the emulated RunPod rents: GPUs, CPUs and data centres, from `catalogue.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU type. Prices in USD per GPU-hour; a maximum of 0: not sold in that tier."""

    id: str
    name: str
    pool: str | None
    manufacturer: str
    memory: int
    price: dict[str, float]
    max_count: dict[str, int]
    data_centers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cpu:
    """A CPU flavour; the price is in USD per vCPU-hour."""

    id: str
    name: str
    group: str
    min_vcpu: int
    max_vcpu: int
    ram_gb_per_vcpu: float
    price: float
    data_centers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DataCenter:
    """A data centre."""

    id: str
    region: str
    country: str
    global_network: bool
    volume_types: tuple[str, ...]
    compliance: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All of it, by id."""

    gpus: dict[str, Gpu]
    cpus: dict[str, Cpu]
    data_centers: dict[str, DataCenter]
    cuda_versions: tuple[str, ...]

    def gpu(self, name: str) -> Gpu | None:
        """The GPU with this id; runs of spaces count as one, since some real ids carry two."""
        return self.gpus.get(collapse(name))


def collapse(name: str) -> str:
    """A name with every run of spaces made one."""
    return " ".join(name.split())


@cache
def load() -> Catalogue:
    """Reads the file."""
    raw = json.loads((Path(__file__).parent / "catalogue.json").read_text())
    return Catalogue(
        gpus={
            collapse(g["id"]): Gpu(
                id=g["id"],
                name=g["name"],
                pool=g["pool"],
                manufacturer=g["manufacturer"],
                memory=g["memory"],
                price={"SECURE": g["secure"], "COMMUNITY": g["community"]},
                max_count={"SECURE": g["maxSecure"], "COMMUNITY": g["maxCommunity"]},
                data_centers=tuple(g["dataCenters"]),
            )
            for g in raw["gpus"]
        },
        cpus={
            c["id"]: Cpu(
                id=c["id"],
                name=c["name"],
                group=c["group"],
                min_vcpu=c["min"],
                max_vcpu=c["max"],
                ram_gb_per_vcpu=c["ramGbPerVcpu"],
                price=c["securePerVcpu"],
                data_centers=tuple(c["dataCenters"]),
            )
            for c in raw["cpus"]
        },
        data_centers={
            d["id"]: DataCenter(
                id=d["id"],
                region=d["region"],
                country=d["country"],
                global_network=d["globalNetwork"],
                volume_types=tuple(d["networkVolumeTypes"]),
                compliance=tuple(d["compliance"]),
            )
            for d in raw["dataCenters"]
        },
        cuda_versions=tuple(raw["cudaVersions"]),
    )
