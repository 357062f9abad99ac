"""How many GPUs a stack of stage `dev` may rent on demand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pulumi_policy import Severity

from policies.costs import gpus_of
from policies.reading import Seen
from policies.rules import Broken, by_name, stack_policy
from stack_config.policies import DevOnDemandRule, Stage


def look(resources: Sequence[Seen], limits: DevOnDemandRule, stage: Stage) -> Iterator[Broken]:
    """Reports the sum, on the resource with the most GPUs on demand."""
    if stage != "dev":
        return
    found = [(sum(g.count for g in gpus_of(resource) if g.on_demand), resource) for resource in resources]
    total = sum(count for count, _ in found)
    if total > limits.max_gpus:
        most = min(found, key=lambda each: (-each[0], by_name(each[1])))[1]
        yield Broken(
            most, f"is the largest part of {total:g} GPUs on demand in stage dev, above {limits.max_gpus}"
        )


policy = stack_policy(
    "dev-on-demand",
    DevOnDemandRule,
    look,
    display_name="On demand in dev",
    description="A stack of stage dev rents only a few GPUs on demand.",
    severity=Severity.MEDIUM,
    remediation_steps="set capacity: spot, declare fewer nodes, or raise gpuplane:policies.devOnDemand.",
)
