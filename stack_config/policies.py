"""What the policies of the pack refuse in this stack, and how hard: `gpuplane:policies`; docs/policies.md."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, create_model

from stack_config.shape import Model, Usd

Enforcement = Literal["advisory", "mandatory", "disabled"]
Stage = Literal["none", "dev", "prod"]
Word = Annotated[str, Field(min_length=1)]

_ENFORCEMENT = "`mandatory` stops a preview or up, `advisory` only tells, `disabled` does not look."


class Rule(Model):
    """A policy that has no limits."""

    enforcement: Enforcement = Field(default="mandatory", description=_ENFORCEMENT)


class AdvisoryRule(Rule):
    """A policy that has no limits, and only tells unless the stack says more."""

    enforcement: Enforcement = Field(default="advisory", description=_ENFORCEMENT)


class BudgetRule(Rule):
    """What the whole stack may cost: nodes, SkyPilot clusters, and Kubernetes pools at their largest."""

    hourly_usd: Usd | None = Field(default=None, description="At most so much, USD per hour; none: any.")
    monthly_usd: Annotated[float, Field(gt=0, le=100_000_000, allow_inf_nan=False)] | None = Field(
        default=None, description="At most so much in a month of 730 hours, USD; none: any."
    )
    refuse_unknown: bool = Field(
        default=False, description="`true`: with a limit set, a price that nobody knows is refused too."
    )


class GpuPriceRule(Rule):
    """What one GPU may cost."""

    max_gpu_hourly_usd: Usd | None = Field(
        default=None, description="At most so much for one GPU, USD per hour; none: any."
    )


class PlacementRule(Rule):
    """What may be rented, and where; an empty list allows all."""

    clouds: tuple[Word, ...] = Field(
        default=(), description="Clouds: `runpod`, `lambda`, …, for Kubernetes `aws`, `gcp`, `azure`."
    )
    regions: tuple[Word, ...] = Field(
        default=(),
        description="Regions in the words of the stack file; `eu-*` for all that begin so. With a list, a "
        "candidate without a region is refused.",
    )
    gpus: tuple[Word, ...] = Field(default=(), description="GPUs in the words of the stack file.")


class DevOnDemandRule(Rule):
    """How many GPUs a stack of stage `dev` may rent on demand instead of as spot."""

    max_gpus: int = Field(default=8, ge=0, le=100_000, description="At most so many.")


class DevLifetimeRule(Rule):
    """Nodes of stage `dev` have an end: `expiresAt`, autostop, or a pool that shrinks to none."""

    max_hours: int | None = Field(
        default=None, ge=1, le=8784, description="`expiresAt` is at most so many hours ahead; none: any."
    )


class TagsRule(Rule):
    """Who owns the stack and who pays: keys that `gpuplane:settings.tags` must have."""

    required: tuple[Word, ...] = Field(default=(), description="Such as `[owner, cost-centre]`; none: any.")


class Policies(Model):
    """Limits of this stack that the policy pack holds; docs/policies.md says what each looks at."""

    enabled: bool = Field(
        default=True, description="`false`: `gpuplane up`, `make up` and `make preview` leave the pack out."
    )
    stage: Stage = Field(
        default="none",
        description="`dev`: dev-on-demand and dev-lifetime hold; `prod`: images need a digest.",
    )
    budget: BudgetRule = Field(default=BudgetRule(), description="What the stack costs.")
    gpu_price: GpuPriceRule = Field(default=GpuPriceRule(), description="What a GPU costs.")
    placement: PlacementRule = Field(default=PlacementRule(), description="Clouds, regions and GPUs.")
    dev_on_demand: DevOnDemandRule = Field(
        default=DevOnDemandRule(), description="GPUs on demand in stage `dev`."
    )
    dev_lifetime: DevLifetimeRule = Field(
        default=DevLifetimeRule(), description="An end for nodes in stage `dev`."
    )
    tags: TagsRule = Field(default=TagsRule(), description="Owner and cost centre.")
    public_endpoints: Rule = Field(
        default=Rule(), description="No API server, database or admin port for everybody."
    )
    ingress_tls: Rule = Field(default=Rule(), description="TLS on every way in.")
    plaintext_secrets: Rule = Field(default=Rule(), description="No secret that is not marked as one.")
    pinned_images: Rule = Field(default=Rule(), description="An exact version; with stage `prod` a digest.")
    workloads: AdvisoryRule = Field(
        default=AdvisoryRule(), description="Requests, limits and probes of containers."
    )
    leak_guard: Rule = Field(default=Rule(), description="A LeakGuard wherever nodes are.")


NAMES: dict[str, str] = {
    field.replace("_", "-"): field
    for field, info in Policies.model_fields.items()
    if isinstance(info.annotation, type) and issubclass(info.annotation, Rule)
}
"""Name of a policy -> its field."""


def model_of(policy: str) -> type[Rule]:
    """The model of a policy's section.

    Args:
        policy: Name of the policy: `gpu-price`.
    """
    annotation = Policies.model_fields[NAMES[policy]].annotation
    assert isinstance(annotation, type) and issubclass(annotation, Rule)
    return annotation


def properties_of(policies: Policies, policy: str) -> dict[str, Any]:
    """What a policy is told: its limits, and the stage of the stack.

    Args:
        policies: The section of the stack file.
        policy: Name of the policy.
    """
    rule: BaseModel = getattr(policies, NAMES[policy])
    return {**rule.model_dump(mode="json", by_alias=True, exclude={"enforcement"}), "stage": policies.stage}


def pack_config(policies: Policies) -> dict[str, dict[str, Any]]:
    """The same for all, as the engine's `--policy-pack-config` takes it."""
    return {
        name: {
            "enforcementLevel": getattr(policies, field).enforcement,
            **properties_of(policies, name),
        }
        for name, field in NAMES.items()
    }


def schema_of(policy: str) -> dict[str, Any]:
    """JSON schema of the properties that a policy is told."""
    told = create_model("Told", __base__=model_of(policy), stage=(Stage, "none"))
    properties: dict[str, Any] = told.model_json_schema(by_alias=True)["properties"]
    return {name: each for name, each in properties.items() if name != "enforcement"}


SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("Policies: `gpuplane:policies`", Policies),
    ("Policy: `budget`", BudgetRule),
    ("Policy: `gpuPrice`", GpuPriceRule),
    ("Policy: `placement`", PlacementRule),
    ("Policy: `devOnDemand`", DevOnDemandRule),
    ("Policy: `devLifetime`", DevLifetimeRule),
    ("Policy: `tags`", TagsRule),
    ("Policy without limits: all others", Rule),
    ("Policy: `workloads`", AdvisoryRule),
)
"""Sections of docs/configuration.md."""
