"""Nodes of stage `dev` have an end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from pulumi_policy import Severity

from policies.costs import CLUSTER, NODE, POOLED, pools_of
from policies.reading import UNKNOWN, Seen, number, text
from policies.rules import Broken, stack_policy
from stack_config.policies import DevLifetimeRule, Stage


def look(
    resources: Sequence[Seen],
    limits: DevLifetimeRule,
    stage: Stage,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Iterator[Broken]:
    """Reports nodes without `expiresAt`, clusters without autostop, pools that never shrink to none."""
    if stage != "dev":
        return
    for resource in resources:
        if resource.type == NODE:
            yield from _node(resource, limits, now())
        elif resource.type == CLUSTER and resource.props.get("autostopMin") is None:
            yield Broken(resource, "without autostopMin, in stage dev")
        elif resource.type in POOLED:
            for name, pool in pools_of(resource).items():
                if number(pool.get("min")):
                    yield Broken(resource, f"keeps nodes of pool {name} for ever (min above 0), in stage dev")


def _node(resource: Seen, limits: DevLifetimeRule, now: datetime) -> Iterator[Broken]:
    expires = resource.props.get("expiresAt")
    if expires is UNKNOWN:
        return
    if not text(expires):
        yield Broken(resource, "without expiresAt, in stage dev")
    elif limits.max_hours is not None:
        try:
            at = datetime.fromisoformat(text(expires))
        except ValueError:
            return  # the node's own check says so
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        if at > now + timedelta(hours=limits.max_hours):
            yield Broken(resource, f"with expiresAt more than {limits.max_hours} hours ahead, in stage dev")


policy = stack_policy(
    "dev-lifetime",
    DevLifetimeRule,
    look,
    display_name="An end for dev nodes",
    description="What a stack of stage dev rents ends by itself.",
    severity=Severity.MEDIUM,
    remediation_steps="set expiresAt (ended by `gpuplane orphans --expired --end`), autostopMin, or min: 0.",
)
