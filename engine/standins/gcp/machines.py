"""What is known of Compute Engine machine types with GPUs.

Source: Google's page on GPU machine types and the catalogue in SkyPilot 0.14.1 (Apache-2.0), 2026-11.
Fractions of a G4 GPU count as one.
"""

from __future__ import annotations

import re

#: Machine type -> (accelerator, how many are built in).
GPUS: dict[str, tuple[str, int]] = {
    **{f"a2-highgpu-{n}g": ("nvidia-tesla-a100", n) for n in (1, 2, 4, 8)},
    "a2-megagpu-16g": ("nvidia-tesla-a100", 16),
    **{f"a2-ultragpu-{n}g": ("nvidia-a100-80gb", n) for n in (1, 2, 4, 8)},
    **{f"a3-highgpu-{n}g": ("nvidia-h100-80gb", n) for n in (1, 2, 4, 8)},
    "a3-edgegpu-8g": ("nvidia-h100-80gb", 8),
    "a3-megagpu-8g": ("nvidia-h100-mega-80gb", 8),
    "a3-ultragpu-8g": ("nvidia-h200-141gb", 8),
    "a4-highgpu-8g": ("nvidia-b200", 8),
    "a4x-highgpu-4g": ("nvidia-gb200", 4),
    "a4x-maxgpu-4g-metal": ("nvidia-gb300", 4),
    **{f"g2-standard-{n}": ("nvidia-l4", 1) for n in (4, 8, 12, 16, 32)},
    "g2-standard-24": ("nvidia-l4", 2),
    "g2-standard-48": ("nvidia-l4", 4),
    "g2-standard-96": ("nvidia-l4", 8),
    **{f"g4-standard-{n}": ("nvidia-rtx-pro-6000", 1) for n in (6, 12, 24, 48)},
    "g4-standard-96": ("nvidia-rtx-pro-6000", 2),
    "g4-standard-192": ("nvidia-rtx-pro-6000", 4),
    "g4-standard-384": ("nvidia-rtx-pro-6000", 8),
}
#: What may be attached to N1 machines.
N1_ACCELERATORS = ("nvidia-tesla-t4", "nvidia-tesla-p4", "nvidia-tesla-v100", "nvidia-tesla-p100")
#: Families without built-in GPUs. Custom types (`n2-custom-8-16384`) are of these too.
PLAIN_FAMILIES = (
    "c2", "c2d", "c3", "c3d", "c4", "c4a", "c4d", "e2", "h3", "h4d", "m1", "m2", "m3", "m4", "n1", "n2",
    "n2d", "n4", "n4a", "n4d", "t2a", "t2d", "x4", "z3",
    "ct3", "ct3p", "ct4p", "ct5l", "ct5lp", "ct5p", "ct6e", "tpu7x",
)  # fmt: skip
#: Boot disks of families that don't take all of them. The others are left alone.
DISKS = {
    "g2": ("pd-balanced", "pd-ssd"),
    "g4": ("hyperdisk-balanced",),
    "a3-ultragpu": ("hyperdisk-balanced",),
    "a4": ("hyperdisk-balanced",),
    "a4x": ("hyperdisk-balanced",),
}


def family(machine_type: str) -> str:
    """`g2` of `g2-standard-8`."""
    return machine_type.partition("-")[0]


def exists(machine_type: str) -> bool:
    """Whether it is a machine type; of families without GPUs only the syntax is looked at."""
    if family(machine_type) in PLAIN_FAMILIES:
        return re.fullmatch(r"[a-z0-9]+-[a-z0-9]+(-[a-z0-9]+)*", machine_type) is not None
    return machine_type in GPUS


def sold_on_demand(machine_type: str) -> bool:
    """Whether it can be had without spot, flex-start or a reservation.

    Source: "Consumption option availability" of Google's page on accelerator-optimized machines.
    """
    if machine_type.startswith(("a4", "a3-ultragpu")):
        return False
    return not (machine_type.startswith("a3-highgpu") and GPUS.get(machine_type, ("", 8))[1] < 8)


def boot_disks(machine_type: str) -> tuple[str, ...]:
    """The boot disks that it takes; empty: no rule is known."""
    longer = "-".join(machine_type.split("-")[:2])
    return DISKS.get(longer) or DISKS.get(family(machine_type), ())
