"""No GPU node without the guard that ends what a killed run leaves behind."""

from __future__ import annotations

from collections.abc import Iterator

from pulumi_policy import PolicyResource, Severity, StackValidationArgs, StackValidationPolicy

from policies.costs import CLUSTER, NODE
from policies.reading import seen
from policies.rules import Broken, Report, common, grouped

GUARD = "pulumi-python:dynamic/gpu:LeakGuard"
SERVER_GUARD = "pulumi-python:dynamic/skypilot:SkyPilotGuard"
GUARDS = {NODE: (GUARD,), CLUSTER: (GUARD, SERVER_GUARD)}
"""What costs money -> what may guard it: a server of the same stack has a guard of its own."""

REMEDY = "declare nodes through components.GpuCluster, or pass the guard's id to each node."


def look(resources: list[PolicyResource]) -> Iterator[Broken]:
    """Finds each GpuNode and SkyPilotCluster that does not depend on its guard.

    A guard beside the nodes is not enough: only a dependency makes the engine create it first and delete it
    last.
    """
    for resource in resources:
        guards = GUARDS.get(resource.resource_type)
        if guards and not any(parent.resource_type in guards for parent in _needs(resource)):
            names = " or a ".join(guard.rpartition(":")[2] for guard in guards)
            yield Broken(seen(resource), f"without a dependency on a {names}")


def validate(args: StackValidationArgs, report: Report) -> None:
    """Reports them; the one policy that needs the resources' dependencies besides their properties."""
    for resource, line in grouped(look(list(args.resources))):
        report(f"{line}\nRemedy: {REMEDY}", resource.urn)


def _needs(resource: PolicyResource) -> list[PolicyResource]:
    by_property = [parent for parents in resource.property_dependencies.values() for parent in parents]
    return [*resource.dependencies, *by_property]


policy = StackValidationPolicy(
    validate=validate,
    **common(
        "leak-guard",
        {
            "display_name": "A LeakGuard wherever nodes are",
            "description": "Every node depends on a guard, which ends what a killed run leaves behind.",
            "severity": Severity.CRITICAL,
            "remediation_steps": REMEDY,
        },
    ),
)
