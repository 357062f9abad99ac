"""What the whole stack may cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pulumi_policy import Severity

from policies.costs import HOURS_A_MONTH, Priced, priced
from policies.reading import Seen
from policies.rules import Broken, by_name, stack_policy
from stack_config.policies import BudgetRule, Stage


def look(resources: Sequence[Seen], limits: BudgetRule, stage: Stage) -> Iterator[Broken]:
    """Reports a sum above a limit, on the dearest resource; with `refuseUnknown` what has no price."""
    if limits.hourly_usd is None and limits.monthly_usd is None:
        return
    found = [each for resource in resources if (each := priced(resource)) is not None]
    unknown = [each for each in found if each.hourly_usd is None]
    if limits.refuse_unknown:
        for each in unknown:
            yield Broken(each.resource, "has a price that nobody knows, in a stack with a budget")
    known = [(each.hourly_usd, each) for each in found if each.hourly_usd is not None]
    if not known:
        return
    total = sum(price for price, _ in known)
    dearest: Priced = min(known, key=lambda each: (-each[0], by_name(each[1].resource)))[1]
    also = f", and {len(unknown)} more have no known price" if unknown else ""
    for limit, hours, unit in (
        (limits.hourly_usd, 1, "hour"),
        (limits.monthly_usd, HOURS_A_MONTH, "month"),
    ):
        if limit is not None and total * hours > limit * (1 + 1e-9):
            yield Broken(
                dearest.resource,
                f"is the dearest of {len(known)} that cost {total * hours:,.2f} USD/{unit} together, "
                f"above {limit:,.2f}{also}",
            )


policy = stack_policy(
    "budget",
    BudgetRule,
    look,
    display_name="Budget of the stack",
    description="The stack costs no more than its budget.",
    severity=Severity.HIGH,
    remediation_steps="declare fewer or cheaper nodes, or raise gpuplane:policies.budget.",
)
