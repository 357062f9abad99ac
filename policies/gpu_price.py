"""What one GPU may cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pulumi_policy import Severity

from policies.costs import gpus_of
from policies.reading import Seen
from policies.rules import Broken, stack_policy
from stack_config.policies import GpuPriceRule, Stage


def look(resources: Sequence[Seen], limits: GpuPriceRule, stage: Stage) -> Iterator[Broken]:
    """Reports each resource with a GPU above the limit; a price that nobody knows is none."""
    limit = limits.max_gpu_hourly_usd
    if limit is None:
        return
    for resource in resources:
        each = [
            gpus.hourly_usd / gpus.count
            for gpus in gpus_of(resource)
            if gpus.hourly_usd is not None and gpus.count
        ]
        if each and max(each) > limit * (1 + 1e-9):
            yield Broken(resource, f"at {max(each):,.2f} USD/hour for a GPU, above {limit:,.2f}")


policy = stack_policy(
    "gpu-price",
    GpuPriceRule,
    look,
    display_name="Price of a GPU",
    description="No GPU costs more than the stack allows.",
    severity=Severity.MEDIUM,
    remediation_steps="name a cheaper GPU (`gpuplane offers`), or raise gpuplane:policies.gpuPrice.",
)
