"""SkyPilotTenant: somebody who runs clusters apart from others on a SkyPilot API server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pulumi
from pydantic import BaseModel, ConfigDict, Field

from dynamic_providers.sky_pilot_service_account import SkyPilotServiceAccount
from dynamic_providers.sky_pilot_workspace import SkyPilotWorkspace

Text = pulumi.Output[str] | str


class SkyPilotTenantArgs(BaseModel):
    """Arguments of a SkyPilotTenant.

    A SkyPilot server takes no cloud credentials with a request. So tenants share a server, and its cloud
    accounts, each in a workspace; or a tenant has a server, and with it cloud accounts, of its own.

    Attributes:
        stack_id: The stack's 8 characters.
        server: Who makes accounts and workspaces: `credentials`, or `endpoint`, `user` and `token` of an
            administrator.
        endpoint: Base URL of the same server, which the tenant's token is for.
        isolation: `workspace`: a private workspace is made; `server`: the whole server is the tenant's.
        token: Make a service account; without one everybody may use the workspace, and the tenant's clusters
            are launched by the administrator.
        role: Role of the service account.
        expires_in_days: How long its token is good, days; None for ever.
        rotation: Any text; another text makes a new token.
        clouds: Cloud -> whether the workspace may use it.
        way: `caFile` and `allowInsecure`, where the endpoint needs them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    stack_id: str
    server: Mapping[str, Any] = Field(repr=False)
    endpoint: Text
    isolation: Literal["workspace", "server"] = "workspace"
    token: bool = True
    role: Literal["user", "admin"] = "user"
    expires_in_days: int | None = None
    rotation: str = ""
    clouds: Mapping[str, bool] = Field(default_factory=dict)
    way: Mapping[str, Any] = Field(default_factory=dict)


class SkyPilotTenant(pulumi.ComponentResource):
    """**Pulumi type:** `gpuplane:skypilot:SkyPilotTenant`. An account and a workspace.

    Args:
        name: Name of the tenant.
        args: Arguments.
        opts: Resource options.

    Attributes:
        token: The tenant's token, a secret; empty without one.
        workspace: Name of its workspace on the server; empty for a server of its own.
        server: Inputs that say which server, as the tenant: for its clusters.
    """

    token: pulumi.Output[str]
    workspace: pulumi.Output[str]
    server: Mapping[str, Any]

    def __init__(
        self, name: str, args: SkyPilotTenantArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("gpuplane:skypilot:SkyPilotTenant", name, None, opts)
        self.token = pulumi.Output.secret("")
        self.workspace = pulumi.Output.from_input("")
        self.server = args.server
        members: list[pulumi.Output[str]] = []
        common = {**args.server, "stackId": args.stack_id}
        child = pulumi.ResourceOptions(parent=self)
        if args.token:
            asked: dict[str, Any] = {"account": name}
            if args.role != "user":
                asked["role"] = args.role
            if args.expires_in_days is not None:
                asked["expiresInDays"] = args.expires_in_days
            if args.rotation:
                asked["rotation"] = args.rotation
            account = SkyPilotServiceAccount(f"{name}-account", {**common, **asked}, child)
            self.token = pulumi.Output.secret(account.accountToken)
            self.server = {"endpoint": args.endpoint, "token": self.token, **args.way}
            members = [account.accountId]
        if args.isolation == "workspace":
            settings: dict[str, Any] = {"workspace": name}
            if members:
                # Whoever has no account could not be told from others.
                settings |= {"private": True, "allowedUsers": members}
            if args.clouds:
                settings["clouds"] = {cloud: {"disabled": not used} for cloud, used in args.clouds.items()}
            self.workspace = SkyPilotWorkspace(
                f"{name}-workspace", {**common, **settings}, child
            ).workspaceName
        self.register_outputs({"token": self.token, "workspace": self.workspace})
