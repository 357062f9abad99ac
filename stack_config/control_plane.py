"""The section of the stack file about the control plane: a gateway in front of nodes; docs/control-plane.md.

What a field may hold by itself is here; what fits together is in control_plane_rules.py.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, SecretStr

from stack_config.shape import Model

Name = Annotated[str, Field(min_length=1)]
ModelName = Annotated[str, Field(pattern=r"^\S+$", max_length=300)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Price = Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)]

DEFAULT = "default"
"""Name of the tenant and of the key that are made where none is declared."""


class GatewayLimits(Model):
    """Limits of one layer; 0 is no limit."""

    requests_per_minute: int = Field(default=0, ge=0, description="Requests let in per minute.")
    tokens_per_minute: int = Field(
        default=0, ge=0, description="Prompt and completion tokens per minute: reserved, then settled."
    )
    in_flight: int = Field(default=0, ge=0, description="Requests at the same time.")
    budget_usd: Price = Field(default=0.0, description="Money per calendar month (UTC), USD; hard.")


class GatewayTenant(Model):
    """A customer of the gateway."""

    limits: GatewayLimits = Field(default=GatewayLimits(), description="Of all its keys together.")
    weight: int = Field(default=1, ge=1, le=1000, description="Share of the queue against other tenants.")


class GatewayKey(Model):
    """An API key. The key itself is made by the stack and stays a secret of its state."""

    tenant: str = Field(default="", description="Whose it is; may be left out where there is one tenant.")
    scopes: tuple[Literal["inference", "models"], ...] = Field(
        default=("inference", "models"),
        min_length=1,
        description="`inference`: posts to `/v1/…`; `models`: `/v1/models`.",
    )
    models: tuple[ModelName, ...] = Field(default=(), description="Models that it may use; none: all.")
    limits: GatewayLimits = Field(default=GatewayLimits(), description="Of this key alone.")
    expires_at: AwareDatetime | None = Field(
        default=None, description="When it ends: `2027-01-31T18:00:00Z`."
    )
    rotation: str = Field(
        default="", max_length=100, description="Any text; another one makes another key, the old one ends."
    )


class GatewayTarget(Model):
    """One of the models behind a name."""

    model: ModelName = Field(description="Name under which nodes serve it.")
    weight: int = Field(default=1, ge=0, le=1_000_000, description="Its share.")


class GatewayModel(Model):
    """A model name of the gateway: an alias, or the price and limits of a served model."""

    targets: tuple[GatewayTarget, ...] = Field(
        default=(), description="Models that answer for it, by weight; none: it is itself a served model."
    )
    limits: GatewayLimits = Field(default=GatewayLimits(), description="Of all requests to it.")
    prompt_usd_per_million: Price = Field(default=0.0, description="Price of a million prompt tokens, USD.")
    completion_usd_per_million: Price = Field(
        default=0.0, description="Price of a million completion tokens, USD."
    )


class GatewayCluster(Model):
    """How a cluster is registered at the gateway."""

    models: tuple[ModelName, ...] = Field(
        default=(),
        description="Names that its nodes serve; those of `--served-model-name` or `--model` in `args` "
        "if left out.",
    )
    port: int | None = Field(
        default=None, ge=1, le=65535, description="Its http port; the first of its `ports` if left out."
    )
    max_in_flight: int = Field(
        default=0, ge=0, le=100_000, description="Requests at the same time for each node; 0: no limit."
    )
    router: bool = Field(
        default=False,
        description="Each node is itself a router over other servers (vllm-router, smg): after a failure it "
        "is asked again, since it may choose another.",
    )
    drain_s: int = Field(
        default=30,
        ge=0,
        le=3600,
        description="How long a node that is to go may finish its answers, seconds.",
    )
    tls: bool | None = Field(
        default=None,
        description="Whether its nodes speak TLS with a certificate that the stack makes (vLLM's "
        "`--ssl-keyfile`); if left out, those on Paperspace and Vast.ai do, unless `allowPlainHttp` is set.",
    )


class ControlPlane(Model):
    """The gateway of a stack: OpenAI's API in front of its clusters; docs/control-plane.md."""

    target: Literal["local"] = Field(
        description="Where it runs: `local`, a supervised process on the machine that runs `pulumi`."
    )
    port: int = Field(default=8080, ge=1024, le=65535, description="Port on 127.0.0.1.")
    clusters: dict[str, GatewayCluster] = Field(
        default_factory=dict,
        description="Clusters that it serves: name -> how; none: every cluster with an http port.",
    )
    models: dict[str, GatewayModel] = Field(
        default_factory=dict, description="Aliases, prices and limits: model name -> what it stands for."
    )
    tenants: dict[str, GatewayTenant] = Field(
        default_factory=dict, description="Customers: name -> limits; one called `default` if left out."
    )
    keys: dict[str, GatewayKey] = Field(
        default_factory=dict, description="API keys: name -> rights; one called `default` if left out."
    )
    limits: GatewayLimits = Field(default=GatewayLimits(), description="Of the whole gateway.")
    database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL for its store, as a secure value: `postgresql+asyncpg://…`; "
        "SQLite in its own folder if left out.",
    )
    redis_url: SecretStr | None = Field(
        default=None, description="Redis that shares limits between gateways, as a secure value."
    )
    queue_s: Seconds | None = Field(
        default=None, description="How long a request may wait for a node, seconds; 30 if left out."
    )
    queue_length: int | None = Field(
        default=None, ge=0, le=1_000_000, description="Requests that may wait at once; 1000 if left out."
    )
    first_byte_s: Seconds | None = Field(
        default=None, description="How long a node may take to begin an answer, seconds; 300 if left out."
    )
    stall_s: Seconds | None = Field(
        default=None,
        description="How long a stream may be silent before its node counts as lost, s; 60 if left out.",
    )
    drain_s: int = Field(
        default=30,
        ge=0,
        le=3600,
        description="How long running answers may take when the gateway is stopped, seconds.",
    )
    env: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Further settings, by their environment names (docs/gateway.md); every value is treated "
        "as a secret.",
    )
    admin_rotation: str = Field(
        default="", max_length=100, description="Any text; another one makes another admin token."
    )
    keep_data: bool = Field(
        default=False, description="A destroy leaves its folder: ledger, store and journal."
    )
    allow_plain_http: bool = Field(
        default=False,
        description="Accept nodes that are reached over plain http at a public address: whoever is on the "
        "way reads keys and prompts.",
    )


SECTIONS: tuple[tuple[str, type[Model]], ...] = (
    ("Control plane: `gpuplane:controlPlane`", ControlPlane),
    ("Its cluster: `controlPlane.clusters.<name>`", GatewayCluster),
    ("Its model: `controlPlane.models.<name>`", GatewayModel),
    ("Its target: an entry of `targets`", GatewayTarget),
    ("Its tenant: `controlPlane.tenants.<name>`", GatewayTenant),
    ("Its key: `controlPlane.keys.<name>`", GatewayKey),
    ("Its limits: `limits`", GatewayLimits),
)
"""What docs/configuration.md says about these, section by section."""


@dataclass(frozen=True, slots=True)
class Served:
    """A cluster that the gateway serves, with everything that was left out filled in.

    Attributes:
        models: Names that its nodes serve; empty where nothing tells.
        port: Its http port inside the node; 0 where there is none.
        spec: What the stack file says of it.
    """

    models: tuple[str, ...]
    port: int
    spec: GatewayCluster


def served(name: str, plane: ControlPlane, args: str, ports: tuple[str, ...]) -> Served | None:
    """How a cluster is served; None where it is not.

    Args:
        name: Name of the cluster.
        plane: The section.
        args: Its arguments to the image's entry point.
        ports: Its ports: `8000/http`.
    """
    http = [int(port.partition("/")[0]) for port in ports if port.endswith("/http")]
    spec = plane.clusters.get(name)
    if spec is None:
        if plane.clusters or not http:
            return None
        spec = GatewayCluster()
    first = http[0] if http else 0
    return Served(spec.models or served_names(args), spec.port or first, spec)


def served_names(args: str) -> tuple[str, ...]:
    """The model names that vLLM serves with these arguments; empty where they do not tell.

    As `vllm serve`: `--served-model-name` takes one or more names, and stands in for `--model` or the model
    that is named first (docs.vllm.ai, "Serve CLI").

    Args:
        args: The arguments, as a shell would read them.
    """
    try:
        words = shlex.split(args)
    except ValueError:
        return ()
    options = _options(words)
    if names := options.get("--served-model-name"):
        return tuple(dict.fromkeys(names))
    if model := options.get("--model"):
        return (model[0],)
    bare = words[1:] if words[:1] == ["serve"] else words
    return (bare[0],) if bare and not bare[0].startswith("-") else ()


def _options(words: list[str]) -> Mapping[str, list[str]]:
    """Option -> the words that follow it, up to the next option; the last mention holds."""
    found: dict[str, list[str]] = {}
    values: list[str] = []
    for word in words:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            values = found[name.replace("_", "-")] = [value] if equals else []
        else:
            values.append(word)
    return found


def tenants_of(plane: ControlPlane) -> Mapping[str, GatewayTenant]:
    """Its tenants; one with no limits where none is declared."""
    return plane.tenants or {DEFAULT: GatewayTenant()}


def keys_of(plane: ControlPlane) -> Mapping[str, GatewayKey]:
    """Its keys; one for everything where none is declared."""
    return plane.keys or {DEFAULT: GatewayKey()}


def tenant_of(key: GatewayKey, plane: ControlPlane) -> str:
    """Whose a key is; empty where the key does not say and there are several tenants."""
    tenants = tenants_of(plane)
    return key.tenant or (next(iter(tenants)) if len(tenants) == 1 else "")
