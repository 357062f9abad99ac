"""All policies, in the order of docs/policies.md."""

from __future__ import annotations

from typing import Final

from pulumi_policy import ResourceValidationPolicy, StackValidationPolicy

from policies import (
    budget,
    dev_lifetime,
    dev_on_demand,
    gpu_price,
    ingress_tls,
    leak_guard,
    pinned_images,
    placement,
    plaintext_secrets,
    public_endpoints,
    tags,
    workloads,
)

POLICIES: Final[tuple[StackValidationPolicy | ResourceValidationPolicy, ...]] = (
    budget.policy,
    gpu_price.policy,
    placement.policy,
    dev_on_demand.policy,
    dev_lifetime.policy,
    tags.policy,
    public_endpoints.policy,
    ingress_tls.policy,
    plaintext_secrets.policy,
    pinned_images.policy,
    workloads.policy,
    leak_guard.policy,
)
