"""The sections of the stack file about SkyPilot: servers of this stack, clusters on them, and tenants.

A server that exists already is no section here: it is a credential set of cloud `skypilot`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr

from stack_config.shape import Model, Usd
from stack_config.skypilot_kubernetes import Cloud, OnKubernetes

Amount = Annotated[str, Field(pattern=r"^([0-9]+(\.[0-9]+)?[+x]?)?$")]
PortRange = Annotated[str, Field(pattern=r"^[0-9]{1,5}(-[0-9]{1,5})?$")]
Accelerator = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(:[0-9]+(\.[0-9]+)?)?$")]


class SkyPilotServer(Model):
    """A SkyPilot API server of this stack; docs/skypilot.md, docs/skypilot-on-kubernetes.md."""

    target: Literal["local", "kubernetes"] = Field(
        default="local", description="Where it runs: the machine that runs `pulumi`, or `kubernetes`."
    )
    port: int = Field(
        default=46580, ge=1024, le=65535, description="With `local`: port on 127.0.0.1; each has its own."
    )
    allowed_clouds: tuple[Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")], ...] = Field(
        default=(), description="Clouds that it may use (`slurm`, `aws`): others are not asked; none for all."
    )
    config: dict[str, Any] = Field(
        default_factory=dict, description="Further keys of its `~/.sky/config.yaml`, as SkyPilot has them."
    )
    home_files: dict[str, str] = Field(
        default_factory=dict,
        description="Path in its home -> path of a file of this machine that is copied there: "
        "`.slurm/config`, `.aws/credentials`. These are the accounts that it rents with.",
    )
    env: dict[str, SecretStr] = Field(
        default_factory=dict, description="Further environment; every value is treated as a secret."
    )
    auth: Literal["none", "basic", "service_accounts", "oauth2", "external_proxy"] = Field(
        default="none",
        description="Whom it asks for credentials; tenants' tokens need `service_accounts`. The last two are "
        "for `kubernetes`, which refuses `none`.",
    )
    password: SecretStr | None = Field(
        default=None, description="Password of its administrator, as a secure value; one is made if left out."
    )
    keep_home: bool = Field(
        default=True,
        description="With `local`: a destroy leaves its home, which knows clusters that no stack has made.",
    )
    kubernetes: OnKubernetes | None = Field(default=None, description="With `kubernetes`: how it runs there.")
    database_url: SecretStr | None = Field(
        default=None, description="With `kubernetes`: PostgreSQL that keeps its state, as a secure value."
    )
    accounts: dict[Cloud, dict[str, SecretStr]] = Field(
        default_factory=dict,
        description="With `kubernetes`: cloud -> key -> secure value, such as `runpod: {api_key: …}`; "
        "the keys are in docs/skypilot-on-kubernetes.md.",
    )
    oauth2_client_secret: SecretStr | None = Field(
        default=None, description="With auth `oauth2`: secret of the client, as a secure value."
    )


class SkyPilotCluster(Model):
    """One cluster on a SkyPilot API server; its name in the stack is the key."""

    server: str = Field(
        default="", description="Name of a credential set of cloud `skypilot`, or of a server of this stack."
    )
    tenant: str = Field(default="", description="Name of a tenant, instead of `server`: it runs as that one.")
    accelerators: tuple[Accelerator, ...] = Field(
        default=(), description="GPU and number in each node: `H100`, `A100:8`; several: any of them."
    )
    infra: tuple[Annotated[str, Field(pattern=r"^\S+$")], ...] = Field(
        default=(), description="Where: `slurm/hall1`, `aws/us-east-1`, `k8s`; several: any of them."
    )
    choose: Literal["any", "ordered"] = Field(
        default="any", description="Of several: `any`: the cheapest that is free; `ordered`: as written."
    )
    nodes: int = Field(default=1, ge=1, le=1000, description="How many machines.")
    instance_type: str = Field(default="", description="The cloud's own name of a machine.")
    cpus: Amount = Field(default="", description="Virtual CPUs of a node: `8`, or at least: `8+`.")
    memory: Amount = Field(default="", description="Memory of a node, GB: `32`, or at least: `32+`.")
    disk_gb: int | None = Field(default=None, ge=1, le=100_000, description="Disk of a node, GB.")
    disk_tier: Literal["", "low", "medium", "high", "ultra", "best"] = Field(
        default="", description="Kind of that disk."
    )
    ports: tuple[PortRange, ...] = Field(default=(), description="Ports to open: `8080`, `10000-10020`.")
    image: str = Field(default="", description="Machine image, or `docker:…` for a container.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels of the cloud's machines.")
    spot: bool = Field(
        default=False,
        description="Interruptible machines; one that is taken away comes back at the next `up`.",
    )
    autostop_min: int | None = Field(
        default=None, ge=0, le=525_600, description="Stop after so many idle minutes; with `autodown` end."
    )
    autodown: bool = Field(default=False, description="End instead of stopping; needs `autostopMin`.")
    when_stopped: Literal["start", "leave"] | None = Field(
        default=None,
        description="What `up` does with a cluster that has stopped; `leave` with autostop, else `start`.",
    )
    setup: str = Field(default="", repr=False, description="Script that prepares each node; may run again.")
    run: str = Field(
        default="", repr=False, description="What runs once the cluster is up; once for each change of it."
    )
    envs: dict[str, SecretStr] = Field(
        default_factory=dict, description="Environment of both; every value is treated as a secret."
    )
    secrets: dict[str, SecretStr] = Field(
        default_factory=dict, description="The same, kept out of what the server shows."
    )
    workspace: str = Field(default="", description="Workspace of the server; not with `tenant`.")
    retry_until_up: bool = Field(
        default=False, description="Wait for capacity, until `provisionDeadlineS` or for a day."
    )
    provision_deadline_s: int | None = Field(
        default=None, ge=10, le=604_800, description="How long a launch may take; 600 if left out."
    )
    keep_on_failure: bool = Field(
        default=False, description="Keep a cluster that did not come up (it goes on costing)."
    )
    delete_before_replace: bool = Field(
        default=True, description="End the old cluster before its replacement is made; `false`: after it."
    )
    max_hourly_usd: Usd | None = Field(
        default=None, description="Cap on the price of all nodes, USD per hour; a dearer one is refused."
    )
    replace_trigger: str = Field(
        default="", max_length=200, description="Any text; changing it replaces the cluster."
    )


class SkyPilotTenant(Model):
    """Somebody who runs clusters apart from others: in a workspace, or on a server of their own."""

    server: str = Field(
        min_length=1,
        description="Name of a credential set of cloud `skypilot`, or of a server of this stack.",
    )
    isolation: Literal["workspace", "server"] = Field(
        default="workspace",
        description="`workspace`: a private workspace on a server that others use too; `server`: the whole "
        "server, whose cloud accounts are this tenant's own.",
    )
    token: bool = Field(
        default=True,
        description="Make a service account; `false` for a server that has no tokens (no authentication).",
    )
    role: Literal["user", "admin"] = Field(default="user", description="Role of the service account.")
    expires_in_days: int | None = Field(
        default=None, ge=1, le=3650, description="How long its token is good; for ever if left out."
    )
    rotation: str = Field(
        default="",
        max_length=200,
        description="Any text; changing it makes a new token, and the old one ends.",
    )
    clouds: dict[str, bool] = Field(
        default_factory=dict,
        description="With `workspace`: cloud -> whether it may be used; as the server does if left out.",
    )
