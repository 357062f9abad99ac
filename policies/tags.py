"""Who owns the stack, and who pays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pulumi_policy import Severity

from policies.reading import UNKNOWN, Seen
from policies.rules import Broken, stack_policy
from stack_config.policies import Stage, TagsRule

STACK = "pulumi:pulumi:Stack"


def look(resources: Sequence[Seen], limits: TagsRule, stage: Stage) -> Iterator[Broken]:
    """Reports required keys that the stack's output `tags` lacks: `gpuplane:settings.tags` makes it."""
    for stack in resources:
        tags = stack.props.get("tags")
        if stack.type != STACK or tags is UNKNOWN:
            continue
        have = {key for key, value in tags.items() if value} if isinstance(tags, Mapping) else set()
        if missing := [key for key in limits.required if key not in have]:
            yield Broken(stack, f"has no tag {', '.join(missing)}")


policy = stack_policy(
    "tags",
    TagsRule,
    look,
    display_name="Owner and cost centre",
    description="The stack says whose it is and who pays.",
    severity=Severity.LOW,
    remediation_steps="set the key under gpuplane:settings.tags.",
)
