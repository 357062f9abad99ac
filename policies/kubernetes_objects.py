"""Pods and containers in objects of Kubernetes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policies.reading import Seen, inside, items, text

SERVING = ("Deployment", "StatefulSet")
"""What answers requests, so that a probe says whether it can."""

_TEMPLATE = ("spec", "template", "spec")
_POD_SPEC = {
    "Pod": ("spec",),
    "Deployment": _TEMPLATE,
    "StatefulSet": _TEMPLATE,
    "DaemonSet": _TEMPLATE,
    "ReplicaSet": _TEMPLATE,
    "Job": _TEMPLATE,
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a pod.

    Attributes:
        name: Its name.
        spec: Its specification.
        initial: It runs before the others and ends.
    """

    name: str
    spec: Mapping[str, Any]
    initial: bool = False


def is_object(resource: Seen) -> bool:
    """Whether a resource is an object of Kubernetes."""
    return resource.type.startswith("kubernetes:")


def containers(resource: Seen) -> Iterator[Container]:
    """Every container of a workload; none of anything else."""
    if not is_object(resource) or resource.kind not in _POD_SPEC:
        return
    pod = inside(resource.props, *_POD_SPEC[resource.kind])
    for key in ("containers", "initContainers"):
        for spec in items(inside(pod, key)):
            if isinstance(spec, Mapping):
                yield Container(text(spec.get("name")), spec, key == "initContainers")
