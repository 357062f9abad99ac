"""What the emulated Paperspace sells. Labels, prices and regions are from public lists; sizes are made up."""

from __future__ import annotations

import re
from dataclasses import dataclass

GB = 1024**3
DISK_SIZES = (50, 100, 250, 500, 1000, 2000, 4000, 8000, 12000, 16000)
LONG_REGIONS = {"ny2": "East Coast (NY2)", "ca1": "West Coast (CA1)", "ams1": "Europe (AMS1)"}
_REGION = re.compile(r"(?<![a-z0-9])(ny2|ca1|ams1)(?![a-z0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MachineType:
    """A machine type.

    Attributes:
        label: Its name.
        accelerator: What its GPUs are called in answers; empty for a machine without.
        gpus: How many.
        gpu_memory_gb: Memory of each.
        cpus: Virtual CPUs.
        ram_gb: Memory.
        usd_per_hour: Price of the whole machine.
        regions: Where it is sold.
        template: Id of its Ubuntu image.
    """

    label: str
    accelerator: str
    gpus: int
    gpu_memory_gb: int
    cpus: int
    ram_gb: int
    usd_per_hour: float
    regions: tuple[str, ...]
    template: str


_NY = ("ny2",)
_ALL = ("ny2", "ca1", "ams1")
TYPES = {
    one.label: one
    for one in (
        MachineType("H100", "NVIDIA H100 80GB HBM3", 1, 80, 20, 250, 5.95, _NY, "tilqt47t"),
        MachineType("H100x8", "NVIDIA H100 80GB HBM3", 8, 80, 128, 1638, 47.60, _NY, "t7vp562h"),
        MachineType("A100-80G", "NVIDIA A100-SXM4-80GB", 1, 80, 12, 90, 3.18, _NY, "tqqsxr6b"),
        MachineType("A100-80Gx8", "NVIDIA A100-SXM4-80GB", 8, 80, 96, 720, 25.44, _NY, "tvimtol9"),
        MachineType("V100", "Tesla V100-SXM2-16GB", 1, 16, 8, 30, 2.29, ("ny2", "ams1"), "twnlo3zj"),
        MachineType("V100-32G", "Tesla V100-SXM2-32GB", 1, 32, 8, 30, 2.30, _NY, "twnlo3zj"),
        MachineType("V100-32Gx2", "Tesla V100-SXM2-32GB", 2, 32, 16, 60, 4.60, _NY, "twnlo3zj"),
        MachineType("V100-32Gx4", "Tesla V100-SXM2-32GB", 4, 32, 32, 120, 9.20, _NY, "twnlo3zj"),
        MachineType("A4000", "NVIDIA RTX A4000", 1, 16, 8, 45, 0.76, _ALL, "twnlo3zj"),
        MachineType("A4000x2", "NVIDIA RTX A4000", 2, 16, 16, 90, 1.52, _ALL, "twnlo3zj"),
        MachineType("A4000x4", "NVIDIA RTX A4000", 4, 16, 32, 180, 3.04, _ALL, "twnlo3zj"),
        MachineType("A5000", "NVIDIA RTX A5000", 1, 24, 8, 45, 1.38, ("ny2", "ca1"), "twnlo3zj"),
        MachineType("A6000", "NVIDIA RTX A6000", 1, 48, 8, 45, 1.89, ("ny2", "ca1"), "twnlo3zj"),
        MachineType("P4000", "Quadro P4000", 1, 8, 8, 30, 0.51, _ALL, "twnlo3zj"),
        MachineType("C5", "", 0, 0, 4, 8, 0.08, _ALL, "t0nspur5"),
    )
}


def type_of(label: str) -> MachineType | None:
    """The machine type of this name, in any case."""
    return next((one for name, one in TYPES.items() if name.lower() == label.lower()), None)


def region_of(text: str) -> str | None:
    """The short name of a region in either style; None where it names none."""
    found = _REGION.search(text)
    return found[1].lower() if found else None


def os_templates() -> list[dict[str, object]]:
    """The images of operating systems, without what is free."""
    return [
        {
            "id": template,
            "name": name,
            "agentType": "Linux",
            "operatingSystemLabel": label,
            "defaultSizeGb": 50,
            "types": [one.label for one in TYPES.values() if one.template == template or older],
        }
        for template, name, label, older in (
            ("t04azgph", "Ubuntu 20.04", "Ubuntu 20.04", True),
            *(
                (id_, "ML-in-a-Box", "Ubuntu 22.04", False)
                for id_ in sorted({t.template for t in TYPES.values()})
            ),
        )
    ]
