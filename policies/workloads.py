"""Requests, limits and probes of containers."""

from __future__ import annotations

from collections.abc import Iterator

from pulumi_policy import Severity

from policies.kubernetes_objects import SERVING, Container, containers
from policies.reading import Seen, inside
from policies.rules import resource_policy
from stack_config.policies import AdvisoryRule, Stage

_RESOURCES = (("requests", "cpu"), ("requests", "memory"), ("limits", "memory"))
"""No limit of CPU: it slows a container down while cores are idle. Memory has to have one."""

_PROBES = ("readinessProbe", "livenessProbe")


def look(resource: Seen, limits: AdvisoryRule, stage: Stage) -> Iterator[str]:
    """Reports what each container lacks; a probe only where requests are answered."""
    for container in containers(resource):
        lacking = [] if container.initial else list(_lacking(container, resource.kind in SERVING))
        if lacking:
            yield f"has a container {container.name} without {', '.join(lacking)}"


def _lacking(container: Container, serves: bool) -> Iterator[str]:
    for kind, what in _RESOURCES:
        if inside(container.spec, "resources", kind, what) is None:
            yield f"{kind}.{what}"
    if serves and all(container.spec.get(probe) is None for probe in _PROBES):
        yield "a probe"


policy = resource_policy(
    "workloads",
    AdvisoryRule,
    look,
    display_name="Requests, limits and probes",
    description="Containers say what they need, and whether they are well.",
    severity=Severity.LOW,
    remediation_steps="set resources.requests, resources.limits.memory, and a readiness or liveness probe.",
)
