"""Paperspace's words for regions, machine types, disks and images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from gpu_clouds import catalog
from gpu_clouds.models import Candidate
from gpu_clouds.paperspace.models import Machine, OsTemplate

REGIONS = ("ny2", "ca1", "ams1")
"""All regions; ny2 has every machine type and comes first."""

DISK_STEPS_GB = (50, 100, 250, 500, 1000, 2000, 4000, 8000, 12000, 16000)
"""The documented sizes of a machine's disk."""

_REGION = re.compile(r"(?<![a-z0-9])(ny2|ca1|ams1)(?![a-z0-9])", re.IGNORECASE)
_LABEL = re.compile(r"(?P<gpu>.+?)(?:x(?P<count>[1-9]\d*))?")
_UBUNTU = "Ubuntu 22.04"

# Ids that SkyPilot 0.14.1 launches with (Ubuntu 22.04). They may change: /os-templates is asked first.
_FALLBACK_TEMPLATES: Mapping[str, str] = {
    "H100": "tilqt47t",
    "H100x8": "t7vp562h",
    "A100-80G": "tqqsxr6b",
    "A100-80Gx8": "tvimtol9",
    "V100": "twnlo3zj",
    "P4000": "twnlo3zj",
    "A4000": "twnlo3zj",
}


def region_of(text: str) -> str:
    """The short name of a region, whichever of the two styles it came in.

    Args:
        text: `ny2`, `NY2`, `East Coast (NY2)`.

    Returns:
        `ny2`; the text as it is where it names no known region.
    """
    found = _REGION.search(text)
    return found[1].lower() if found else text


def label_of(candidate: Candidate) -> str | None:
    """The machine type of a candidate, such as `A100-80Gx8`; None where Paperspace does not sell the GPU."""
    native = catalog.native_gpu("paperspace", candidate.gpu)
    if native is None:
        return None
    return native if candidate.gpu_count == 1 else f"{native}x{candidate.gpu_count}"


def gpu_of(machine: Machine) -> tuple[str, int]:
    """Canonical name and number of a machine's GPUs, from its type and its accelerators."""
    match = _LABEL.fullmatch(machine.machine_type)
    native = match["gpu"] if match else machine.machine_type
    named = catalog.canonical_gpu("paperspace", native)
    by_label = int(match["count"] or 1) if match and named else 0
    counted = sum(one.count or 0 for one in machine.accelerators if one is not None)
    return named or native, counted or by_label


def disk_step(size_gb: int) -> int | None:
    """The smallest disk that holds so much; None where no disk does."""
    return next((step for step in DISK_STEPS_GB if step >= size_gb), None)


def pick_template(label: str, templates: Sequence[OsTemplate]) -> str:
    """The image for a machine type: Ubuntu 22.04, else another Linux, that fits it.

    Args:
        label: Machine type.
        templates: What `/os-templates` says; may be empty.

    Returns:
        Its id; empty where none is known to fit.
    """
    fitting = [
        template
        for template in templates
        if template.agent_type.lower() != "windows"
        and any(_same(one.machine_type_label, label) for one in template.machine_types)
    ]
    fitting.sort(key=lambda template: _UBUNTU.lower() not in _described(template))
    return fitting[0].id if fitting else _FALLBACK_TEMPLATES.get(label, "")


def sold_labels(templates: Sequence[OsTemplate]) -> frozenset[str]:
    """Every machine type that some image can be used with."""
    return frozenset(
        one.machine_type_label
        for template in templates
        for one in template.machine_types
        if one.machine_type_label
    )


def said_available(label: str, templates: Sequence[OsTemplate]) -> bool | None:
    """What the images say of a machine type's availability, in any region; None where they say nothing."""
    said = [
        one.is_available
        for template in templates
        for one in template.machine_types
        if _same(one.machine_type_label, label) and one.is_available is not None
    ]
    return any(said) if said else None


def exact_label(label: str, labels: frozenset[str]) -> str | None:
    """The label as Paperspace spells it; None where it is not among those given."""
    return next((one for one in labels if _same(one, label)), None)


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _described(template: OsTemplate) -> str:
    return f"{template.operating_system_label} {template.name}".lower()
