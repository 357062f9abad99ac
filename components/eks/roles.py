"""IAM roles: one for each part, each with no more than it needs (policies.py)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.eks import policies


@dataclass(frozen=True, slots=True)
class Role:
    """An IAM role that has its policies.

    Attributes:
        arn: Its ARN.
        ready: What has to exist before it is worth anything.
    """

    arn: pulumi.Output[str]
    ready: Sequence[pulumi.Resource]


def make_role(
    name: str,
    region: str,
    trust: dict[str, Any],
    managed: Sequence[str],
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
    own: pulumi.Input[str] | None = None,
) -> Role:
    """A role with managed policies, and one of our own.

    Args:
        name: Its name as a resource; AWS's is made of it.
        region: For the partition of ARNs.
        trust: Who may take it on.
        managed: Names of AWS's managed policies.
        tags: Tags.
        opts: Options of every resource.
        own: A further policy as JSON text.
    """
    from pulumi_aws import iam

    role = iam.Role(name, assume_role_policy=json.dumps(trust), tags=tags, opts=opts)
    ready: list[pulumi.Resource] = [role]
    for policy in managed:
        short = policy.rsplit("/", 1)[-1]
        ready.append(
            iam.RolePolicyAttachment(
                f"{name}-{short}", role=role.name, policy_arn=policies.managed(region, policy), opts=opts
            )
        )
    if own is not None:
        ready.append(iam.RolePolicy(name, role=role.name, policy=own, opts=opts))
    return Role(role.arn, ready)
