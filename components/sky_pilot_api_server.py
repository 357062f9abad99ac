"""SkyPilotApiServer: a SkyPilot API server, wherever it is to run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

import pulumi
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from components.sky_pilot_api_server_local import declare_local, local_rules
from components.sky_pilot_kubernetes.rules import broken_rules
from components.sky_pilot_kubernetes.server import check_kubernetes, declare_kubernetes
from components.sky_pilot_way_in import WayIn
from stack_config.skypilot_kubernetes import OnKubernetes

Text = pulumi.Output[str] | str


class SkyPilotAuth(BaseModel):
    """Whom a server asks for credentials.

    A SkyPilot server never asks a request that comes from its own machine, unless a proxy says that it was
    forwarded: on a machine that others use too, everybody may use it.

    Attributes:
        kind: `none`: nobody is asked, so it listens on this machine alone. `basic`: one administrator with a
            password. `service_accounts`: the same, and tokens for service accounts. On Kubernetes also
            `oauth2`: a login page, and `external_proxy`: a proxy that has asked already, both with tokens.
        user: Name of the administrator.
        password: Password of the administrator; one is generated where none is given. Secret.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    kind: Literal["none", "basic", "service_accounts", "oauth2", "external_proxy"] = "none"
    user: str = Field(default="admin", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    password: Text | None = Field(default=None, repr=False)


class SkyPilotApiServerArgs(BaseModel):
    """Arguments of a SkyPilotApiServer.

    Attributes:
        target: Where it runs: `local` is this machine; `kubernetes`: see docs/skypilot-on-kubernetes.md.
        port: Its port. The port of its queue follows it, so several servers on one machine need nothing else.
        host: Address that it listens on; any other than this machine's own needs authentication.
        allowed_clouds: Clouds that it may use; the others are not asked at its start. Empty: all.
        config: Merged into its `~/.sky/config.yaml`; the workspaces in it stay.
        files: Path below its home -> text, such as `.lambda_cloud/lambda_keys`: the accounts of its tenant.
            Secret; they are on disk, for this user alone, while it runs.
        env: Environment variables, such as AWS_ACCESS_KEY_ID. Secret.
        auth: Whom it asks for credentials.
        metrics_port: Port of its Prometheus metrics; None for none.
        start_timeout_s: How long its start may take, seconds, besides its installation.
        keep_home: On destroy its home stays, without `files`: it alone knows the clusters that were not made
            by a stack.
        replace_trigger: Another value: it is ended and made anew with an empty home, unless that is kept.
        kubernetes: How it runs with target `kubernetes`. Its provider is the component's option `provider`,
            unless there is a kubeconfig or context; `cluster` is for the stack file alone.
        database_url: PostgreSQL that keeps its state, `postgresql://…`; for `kubernetes`. Secret.
        accounts: Cloud -> key -> value of its account, such as `{"runpod": {"api_key": …}}`; for
            `kubernetes`. Secret.
        oauth2_client_secret: Secret of the client at the issuer, with auth of kind `oauth2`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    target: str = "local"
    port: int = Field(default=46580, ge=1024, le=65535)
    host: str = "127.0.0.1"
    allowed_clouds: tuple[Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")], ...] = ()
    config: Mapping[str, Any] = Field(default_factory=dict)
    files: Mapping[str, Text] = Field(default_factory=dict, repr=False)
    env: Mapping[str, Text] = Field(default_factory=dict, repr=False)
    auth: SkyPilotAuth = SkyPilotAuth()
    metrics_port: int | None = Field(default=None, ge=1024, le=65535)
    start_timeout_s: float = Field(default=300.0, gt=0, le=3600)
    keep_home: bool = True
    replace_trigger: str = ""
    kubernetes: OnKubernetes | None = None
    database_url: Text | None = Field(default=None, repr=False)
    accounts: Mapping[str, Mapping[str, Text]] = Field(default_factory=dict, repr=False)
    oauth2_client_secret: Text | None = Field(default=None, repr=False)

    @property
    def on_kubernetes(self) -> OnKubernetes:
        """How it runs on Kubernetes, with what holds where nothing is said."""
        return self.kubernetes or OnKubernetes()

    @field_validator("target")
    @classmethod
    def _known_target(cls, target: str) -> str:
        if target not in TARGETS:
            raise ValueError(f"no target {target!r}; there are: {', '.join(sorted(TARGETS))}")
        return target

    @model_validator(mode="after")
    def _consistent(self) -> SkyPilotApiServerArgs:
        problems = list(TARGETS[self.target].broken_rules(self))
        if self.auth.kind not in ("basic", "service_accounts") and self.auth.password is not None:
            problems.append("a password needs auth of kind basic or service_accounts")
        if "allowed_clouds" in self.config and self.allowed_clouds:
            problems.append("allowed_clouds is given twice: in config and by itself")
        if problems:
            raise ValueError("\n".join(problems))
        return self


class SkyPilotApiServer(pulumi.ComponentResource):
    """**Pulumi type:** `gpuplane:skypilot:SkyPilotApiServer`. One API server, with accounts of its own.

    Give `endpoint`, `user` and `password` (as `token`) of it to what is to run on it: `SkyPilotCluster`,
    `SkyPilotTenant`, `SkyPilotWorkspace`, `SkyPilotServiceAccount`.

    Args:
        name: Its name.
        args: Arguments.
        opts: Resource options.

    Attributes:
        endpoint: Base URL; not known in the preview of its creation, so that nobody asks it then.
        user: Name of the administrator; empty where there is none with a password.
        password: Password of the administrator, a secret; empty without one.
    """

    endpoint: pulumi.Output[str]
    user: pulumi.Output[str]
    password: pulumi.Output[str]

    def __init__(
        self, name: str, args: SkyPilotApiServerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        target = TARGETS[args.target]
        target.check(name)
        super().__init__("gpuplane:skypilot:SkyPilotApiServer", name, None, opts)
        made = target.declare(self, name, args)
        self.endpoint = made.endpoint
        self.user = pulumi.Output.from_input(made.user)
        self.password = pulumi.Output.secret(made.password)
        self.register_outputs({"endpoint": self.endpoint, "user": self.user, "password": self.password})


@dataclass(frozen=True)
class Target:
    """A place where a server can run.

    Attributes:
        declare: Declares it there: component, name and arguments to the way in.
        broken_rules: Every broken rule of its arguments.
        check: Looks at its name, and whether what is needed is installed, before anything is registered.
    """

    declare: Callable[[pulumi.Resource, str, SkyPilotApiServerArgs], WayIn]
    broken_rules: Callable[[SkyPilotApiServerArgs], Iterator[str]]
    check: Callable[[str], None] = lambda name: None


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "local": Target(declare_local, local_rules),
        "kubernetes": Target(declare_kubernetes, broken_rules, check_kubernetes),
    }
)
"""Where a server can run, by name."""
