"""What a launch sends. Pure: nothing is asked of the cloud here."""

from __future__ import annotations

import math
from datetime import datetime

from gpu_clouds import catalog
from gpu_clouds.clock import utc_now
from gpu_clouds.errors import ValidationError
from gpu_clouds.models import Candidate, CapacityType, InstanceSpec, InstanceTemplate
from gpu_clouds.paperspace.machine_types import disk_step, label_of
from gpu_clouds.paperspace.script import script_problem

LONGEST_SHUTDOWN_H = 168


def check(candidate: Candidate, template: InstanceTemplate) -> None:
    """Refuses what Paperspace can't do.

    Raises:
        ValidationError: Says what and what would do.
    """
    problem = ""
    if candidate.capacity is not CapacityType.ON_DEMAND:
        problem = f"capacity {candidate.capacity} is not to be had; use on_demand"
    elif candidate.gpu_count < 1:
        problem = f"gpuCount is at least 1, not {candidate.gpu_count}"
    elif label_of(candidate) is None:
        problem = f"no GPU {candidate.gpu}; it has: {', '.join(catalog.native_gpus('paperspace'))}"
    else:
        problem = script_problem(template)
    if problem:
        raise ValidationError(f"Paperspace: {problem}", cloud="paperspace")


def disk_gb(template: InstanceTemplate) -> int:
    """The size of the machine's one disk, which holds the volume too, GB.

    Raises:
        ValidationError: There is no disk so large.
    """
    wanted = template.disk_gb + template.volume_gb
    size = disk_step(wanted)
    if size is None:
        raise ValidationError(
            f"Paperspace: {wanted} GB is more than a machine's disk can have", cloud="paperspace"
        )
    return size


def machine_body(spec: InstanceSpec, label: str, template_id: str, region: str) -> dict[str, object]:
    """The body of a launch, without its startup script.

    Args:
        spec: The launch.
        label: Machine type.
        template_id: Image.
        region: `ny2`, `ca1`, `ams1`.
    """
    body: dict[str, object] = {
        "name": spec.name,
        "machineType": label,
        "templateId": template_id,
        "diskSize": disk_gb(spec.template),
        "region": region,
        "publicIpType": "dynamic",
        "startOnCreate": True,
        # All of these cost money or send mail when they are left out.
        "emailPassword": False,
        "takeInitialSnapshot": False,
        "autoSnapshotEnabled": False,
        "restorePointEnabled": False,
    }
    if spec.candidate.gpu_count >= 8:
        body["enableNvlink"] = True
    hours = shutdown_hours(spec.expires_at)
    if hours is not None:
        body |= {"autoShutdownEnabled": True, "autoShutdownTimeout": hours, "autoShutdownForce": True}
    return body


def shutdown_hours(expires_at: datetime | None) -> int | None:
    """Whole hours that are surely enough; None where there is no such time, or it is too far off."""
    if expires_at is None:
        return None
    hours = math.ceil((expires_at - utc_now()).total_seconds() / 3600)
    return hours if 1 <= hours <= LONGEST_SHUTDOWN_H else None
