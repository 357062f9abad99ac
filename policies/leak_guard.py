"""No GPU node without the guard that ends what a killed run leaves behind."""

from collections.abc import Callable

from pulumi_policy import (
    EnforcementLevel,
    PolicyResource,
    Severity,
    StackValidationArgs,
    StackValidationPolicy,
)

NODE = "pulumi-python:dynamic/gpu:GpuNode"
CLUSTER = "pulumi-python:dynamic/skypilot:SkyPilotCluster"
GUARD = "pulumi-python:dynamic/gpu:LeakGuard"
SERVER_GUARD = "pulumi-python:dynamic/skypilot:SkyPilotGuard"
GUARDS = {NODE: (GUARD,), CLUSTER: (GUARD, SERVER_GUARD)}
"""What costs money -> what may guard it: a server of the same stack has a guard of its own."""


def validate(args: StackValidationArgs, report: Callable[[str, str | None], None]) -> None:
    """Reports each GpuNode and SkyPilotCluster that does not depend on its guard.

    A guard beside the nodes is not enough: only a dependency makes the engine create it first and delete it
    last.

    Args:
        args: the stack's resources.
        report: takes a message and the URN of the resource at fault.
    """
    for resource in args.resources:
        guards = GUARDS.get(resource.resource_type)
        if guards and not any(parent.resource_type in guards for parent in _needs(resource)):
            what = "GPU node" if resource.resource_type == NODE else "SkyPilot cluster"
            names = " or a ".join(guard.rpartition(":")[2] for guard in guards)
            report(f"{what} '{resource.name}' does not depend on a {names}", resource.urn)


def _needs(resource: PolicyResource) -> list[PolicyResource]:
    by_property = [parent for parents in resource.property_dependencies.values() for parent in parents]
    return [*resource.dependencies, *by_property]


leak_guard_wherever_nodes_are = StackValidationPolicy(
    name="leak-guard-wherever-nodes-are",
    display_name="A LeakGuard wherever GPU nodes are",
    description="Every GpuNode depends on a LeakGuard, which finds and ends what a killed run leaves behind.",
    enforcement_level=EnforcementLevel.MANDATORY,
    severity=Severity.CRITICAL,
    remediation_steps="Declare nodes through components.GpuCluster, or pass the guard's id to each GpuNode.",
    validate=validate,
)
