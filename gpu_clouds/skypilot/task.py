"""The task that a launch sends. Pure.

A task is YAML to SkyPilot; JSON is YAML, and leaves no doubt about quotes.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from gpu_clouds import catalog, errors
from gpu_clouds.models import CapacityType, InstanceSpec, InstanceTemplate
from gpu_clouds.skypilot.accelerators import native_name
from gpu_clouds.skypilot.errors import CLOUD

MARKER_LABEL = "gpuplane-marker"
"""Label that repeats the cluster's name: a cluster is ours where both agree."""
GPU_LABEL = "gpuplane-gpu"
"""Label with the canonical name of the GPU that was asked for, in lower case as GCP wants it."""
JOB_LABEL = "gpuplane-job"
"""Label of a cluster whose launch leaves a job: one without it was cut short."""
PORTS_LABEL = "gpuplane-ports"
"""Label with the ports of the template and how they are spoken to: `8000-http_9000-tcp`."""
_LONGEST_LABEL = 63
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SSH_PORT = "22"
Task = Mapping[str, Any]


def node_task(spec: InstanceSpec, *, bare: bool) -> dict[str, Any]:
    """The task of one node of a template.

    Its environment is sent as secrets, which SkyPilot leaves out of what it shows. `args` is a command:
    SkyPilot runs its own agent in a container, not the image's entry point.

    Args:
        spec: The launch.
        bare: Machines run no containers: the image is left out.

    Raises:
        ValidationError: SkyPilot can't do what is asked; status 400 where another candidate may.
    """
    candidate, template = spec.candidate, spec.template
    native = native_name(candidate.gpu, candidate.region)
    if native is None:
        has = ", ".join(catalog.native_gpus(CLOUD))
        raise _refused(f"no GPU {candidate.gpu}; it has: {has}")
    if candidate.gpu_count < 1:
        raise _refused(f"gpuCount is at least 1, not {candidate.gpu_count}")
    if candidate.capacity not in (CapacityType.ON_DEMAND, CapacityType.SPOT):
        raise _refused(f"capacity {candidate.capacity} is not to be had; use on_demand or spot")
    if problem := _cannot(template):
        # Another candidate may be of a cloud that can.
        raise _refused(problem, status=400)
    resources: dict[str, Any] = {
        "accelerators": {native: candidate.gpu_count},
        "use_spot": candidate.capacity is CapacityType.SPOT,
        "disk_size": template.disk_gb,
        "labels": {GPU_LABEL: candidate.gpu.lower()},
    }
    if infra := infra_of(candidate.region):
        resources["infra"] = infra
    if template.image and not bare:
        resources["image_id"] = f"docker:{template.image}"
    if ports := [port for port in (one.partition("/")[0] for one in template.ports) if port != _SSH_PORT]:
        resources["ports"] = ports
        resources["labels"][PORTS_LABEL] = _ports_label(template.ports)
    task: dict[str, Any] = {"num_nodes": 1, "resources": resources}
    if template.env:
        task["secrets"] = dict(template.env)
    if setup := "\n".join(part for part in (_log_in(template), template.startup) if part):
        task["setup"] = setup
    if template.args:
        task["run"] = template.args
    return marked(task, spec.name)


def infra_of(region: str) -> str:
    """The region of a candidate as SkyPilot writes it; empty for anywhere."""
    places = catalog.resolve_region(CLOUD, region)
    return places[0] if places else ""


def marked(task: Task, name: str) -> dict[str, Any]:
    """The task with our labels on whatever resources it may take.

    Args:
        task: A task.
        name: The cluster's name.

    Raises:
        ValidationError: Its resources have no shape that SkyPilot knows.
    """
    resources = task.get("resources") or {}
    if not isinstance(resources, Mapping):
        raise _refused("the task's resources are no object")
    labels = {**(resources.get("labels") or {}), MARKER_LABEL: name}
    if has_job(task):
        labels[JOB_LABEL] = "yes"
    # Choices of `any_of` and `ordered` add to the labels of what they stand in (sky/resources.py).
    return {**task, "resources": {**resources, "labels": labels}}


def as_text(task: Task) -> str:
    """The task as `launch` takes it."""
    return json.dumps(task, ensure_ascii=False, sort_keys=True)


def has_job(task: Task) -> bool:
    """Whether a launch of the task leaves a job: something to run, or to set up (which is part of a job)."""
    return bool(task.get("run") or task.get("setup"))


def _cannot(template: InstanceTemplate) -> str:
    """What of a template SkyPilot can't do; empty if it can all."""
    if template.template_id:
        return "there are no templates; give an image"
    if template.volume_gb:
        return "a cluster has no volume of its own; use diskGb"
    if len(_ports_label(template.ports)) > _LONGEST_LABEL:
        return "there are too many ports; give a range of them a proxy of its own"
    if bad := next((name for name in template.env if not _VARIABLE.fullmatch(name)), None):
        return f"env: {bad!r} is not the name of an environment variable"
    return ""


def _ports_label(ports: Sequence[str]) -> str:
    return "_".join(port.replace("/", "-") for port in ports if port.partition("/")[0] != _SSH_PORT)


def _log_in(template: InstanceTemplate) -> str:
    """Lets the template's keys log in. A Slurm job runs in a home that outlives it, so not there."""
    if not template.ssh_public_keys:
        return ""
    keys = " ".join(shlex.quote(key) for key in template.ssh_public_keys)
    return (
        'if [ -z "$SLURM_JOB_ID" ]; then mkdir -p -m 700 ~/.ssh && '
        f"printf '%s\\n' {keys} >> ~/.ssh/authorized_keys && chmod 600 ~/.ssh/authorized_keys; fi"
    )


def _refused(problem: str, status: int | None = None) -> errors.ValidationError:
    return errors.ValidationError(f"SkyPilot: {problem}", cloud=CLOUD, status=status)
