"""SkyPilotWorkspace: a part of a SkyPilot API server with members and clouds of its own.

A workspace of our name is ours: there is no other mark that the server would keep.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pulumi
from pulumi import dynamic
from pydantic import Field

from dynamic_providers.base import inputs_in, own_props, parse
from dynamic_providers.host.diff import compare
from dynamic_providers.host.results import DetailedDiff, Kind, root_of
from dynamic_providers.sky_pilot_servers import (
    ServerInputs,
    SkyPilotProvider,
    checked_on_server,
    secret_inputs,
)
from gpu_clouds.errors import ConflictError, ValidationError
from gpu_clouds.marker import DECLARED, Marker, stack_prefix
from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.errors import ApiError, cloud_errors
from gpu_clouds.skypilot.models import Refresh

COMPUTED = ("workspaceName",)
_SETTINGS = ("private", "allowedUsers", "clouds")
_OURS = ("private", "allowed_users")
_TOLD = frozenset({"writable", "read_only"})
"""What the server adds about the caller; no setting."""
_REPLACING = frozenset({"stackId", "workspace"})
_SHOWN_CLUSTERS = 5


class WorkspaceInputs(ServerInputs):
    """Inputs of a SkyPilotWorkspace.

    Attributes:
        stack_id: The stack's 8 characters.
        workspace: Slug of the workspace, at most 24 characters; part of its name on the server.
        private: Only members and the server's admins may use it.
        allowed_users: Members of a private one: user ids or names; ids of service accounts.
        clouds: Cloud -> its settings in this workspace, as SkyPilot has them: `{aws: {disabled: true}}`.
    """

    stack_id: str
    workspace: str
    private: bool = False
    allowed_users: tuple[str, ...] = ()
    clouds: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name on the server, which says that it is ours."""
        return f"{stack_prefix(DECLARED, self.stack_id)}{self.workspace}"

    def config(self) -> dict[str, Any]:
        """Its settings as the server keeps them."""
        found: dict[str, Any] = {"private": self.private, **self.clouds}
        return {**found, "allowed_users": list(self.allowed_users)} if self.private else found


class SkyPilotWorkspaceProvider(SkyPilotProvider):
    """One workspace; its id is its name."""

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Names and members; whether the server can be used."""
        parsed = parse(WorkspaceInputs, news)
        rules = [] if parsed.model is None else [*_rules(parsed.model, parsed.unknown)]
        return checked_on_server(self, olds, news, parsed, rules, lambda inputs, unknown: ())

    def diff(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> DetailedDiff:
        """Another name is another workspace; everything else changes in place."""
        found = compare(inputs_in(WorkspaceInputs, olds), own_props(news))
        return DetailedDiff(
            {
                path: Kind.UPDATE_REPLACE if root_of(path) in _REPLACING else kind
                for path, kind in found.items()
            }
        )

    def create_preview(self, props: dict[str, Any]) -> dict[str, Any]:
        """The name is known beforehand."""
        inputs = parse(WorkspaceInputs, props)
        if inputs.model is None or {"stackId", "workspace"} & inputs.unknown:
            return {}
        return {"workspaceName": inputs.model.name}

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Makes the workspace, or takes over the one of our name."""
        inputs = WorkspaceInputs.model_validate(own_props(props))
        with cloud_errors():
            # The server makes what an update does not find (measured, 0.14.1), and may be sent it twice.
            self.client(inputs).update_workspace(inputs.name, inputs.config())
        return dynamic.CreateResult(inputs.name, {**own_props(props), "workspaceName": inputs.name})

    def read(self, id: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """Its settings of now."""
        outs = own_props(props)
        if "stackId" not in outs:
            raise ValidationError(
                "a workspace can't be imported: declare it, and the one of this name is taken over"
            )
        known = inputs_in(WorkspaceInputs, outs)
        inputs = WorkspaceInputs.model_validate(known)
        return self.read_or_kept(id, inputs, outs, known, lambda: self._read(id, inputs, outs))

    def _read(self, id: str, inputs: WorkspaceInputs, outs: dict[str, Any]) -> dynamic.ReadResult:
        found = self.client(inputs).workspaces().get(inputs.name)
        if found is None:
            return dynamic.ReadResult("", {})
        # What has its default is left out, as in the inputs.
        rest = {key: value for key, value in outs.items() if key not in _SETTINGS}
        new = {**rest, **_settings(found, inputs)}
        return dynamic.ReadResult(id, new, inputs_in(WorkspaceInputs, new))

    def update_preview(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
        """Its name stays."""
        return {"workspaceName": olds.get("workspaceName", id)}

    def update(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        """Replaces its settings."""
        inputs = WorkspaceInputs.model_validate(own_props(news))
        with cloud_errors():
            self.client(inputs).update_workspace(inputs.name, inputs.config())
        return dynamic.UpdateResult({**own_props(news), "workspaceName": inputs.name})

    def delete(self, id: str, props: dict[str, Any]) -> None:
        """Ends the workspace. Absent is success.

        Raises:
            ConflictError: Clusters are in it.
        """
        inputs = WorkspaceInputs.model_validate(inputs_in(WorkspaceInputs, props))
        client = self.client(inputs)
        with self.needed(inputs):
            if inputs.name not in client.workspaces():
                return
            _refuse_with_clusters(client, inputs.name)
            try:
                client.delete_workspace(inputs.name)
            except ApiError:
                if inputs.name in client.workspaces():
                    raise


class SkyPilotWorkspace(dynamic.Resource, module="skypilot", name="SkyPilotWorkspace"):
    """**Pulumi type:** `pulumi-python:dynamic/skypilot:SkyPilotWorkspace`. A workspace of a server.

    Args:
        name: Name of the resource; `workspace` if that is not given.
        args: Inputs by their camelCase names, see `WorkspaceInputs`.
        opts: Resource options.

    Attributes:
        workspaceName: Its name on the server; for `workspace` of a cluster.
    """

    workspaceName: pulumi.Output[str]

    def __init__(
        self, name: str, args: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        hidden = pulumi.ResourceOptions(additional_secret_outputs=["token"])
        super().__init__(
            SkyPilotWorkspaceProvider(),
            name,
            {"workspace": name, **secret_inputs(args), **dict.fromkeys(COMPUTED)},
            pulumi.ResourceOptions.merge(opts or pulumi.ResourceOptions(), hidden),
        )


def _rules(inputs: WorkspaceInputs, unknown: frozenset[str]) -> Iterator[dynamic.CheckFailure]:
    for part, stack_id, node in (
        ("stackId", inputs.stack_id, "x"),
        ("workspace", "00000000", inputs.workspace),
    ):
        if part not in unknown:
            try:
                Marker(DECLARED, stack_id, node, "00000000")
            except ValidationError as error:
                yield dynamic.CheckFailure(part, error.message)
    if inputs.allowed_users and not inputs.private and "private" not in unknown:
        yield dynamic.CheckFailure(
            "allowedUsers", "everybody may use this workspace: set private, or remove it"
        )
    for name in inputs.clouds:
        if name in _OURS:
            yield dynamic.CheckFailure(f"clouds.{name}", "is no cloud; it is an input of its own")


def _settings(found: Mapping[str, Any], inputs: WorkspaceInputs) -> dict[str, Any]:
    """The inputs that the server's settings mean; those that have not changed stay as they were written."""
    now = {key: value for key, value in found.items() if key not in _TOLD}
    settings: dict[str, Any] = {"private": bool(now.pop("private", False))}
    users = [str(user) for user in now.pop("allowed_users", None) or []]
    settings["allowedUsers"] = (
        list(inputs.allowed_users) if set(users) == set(inputs.allowed_users) else users
    )
    settings["clouds"] = now
    read = WorkspaceInputs.model_validate(
        {"stackId": inputs.stack_id, "workspace": inputs.workspace, **settings}
    ).as_props()
    return {key: read[key] for key in _SETTINGS if key in read}


def _refuse_with_clusters(client: SkyPilotClient, workspace: str) -> None:
    inside = [
        each.name
        for each in client.status(refresh=Refresh.NONE, workspace=workspace)
        if each.workspace == workspace
    ]
    if inside:
        more = f" and {len(inside) - _SHOWN_CLUSTERS} more" if len(inside) > _SHOWN_CLUSTERS else ""
        raise ConflictError(
            f"workspace {workspace} has clusters in it ({', '.join(inside[:_SHOWN_CLUSTERS])}{more}): end "
            "them first; those of this stack end with it"
        )
