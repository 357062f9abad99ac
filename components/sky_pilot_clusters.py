"""The SkyPilot servers, tenants and clusters that a stack file declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
from pydantic.alias_generators import to_camel

from components.cost_table import NodeCost
from stack_config import SkyPilotCluster as ClusterSpec
from stack_config import SkyPilotServer as ServerSpec
from stack_config import StackConfig

if TYPE_CHECKING:
    from components.sky_pilot_tenant import SkyPilotTenant
    from dynamic_providers.sky_pilot_cluster import SkyPilotCluster

_SAME = (
    "accelerators",
    "infra",
    "choose",
    "nodes",
    "instance_type",
    "cpus",
    "memory",
    "disk_gb",
    "disk_tier",
    "ports",
    "image",
    "labels",
    "spot",
    "autostop_min",
    "autodown",
    "when_stopped",
    "setup",
    "run",
    "workspace",
    "retry_until_up",
    "provision_deadline_s",
    "keep_on_failure",
    "max_hourly_usd",
    "replace_trigger",
)
"""Fields of a cluster that its resource takes as they are, with the same defaults."""
_SHOWN = ("clusterName", "state", "cloud", "place", "gpus", "hourlyUsd", "endpoints", "jobId")


@dataclass(frozen=True)
class _Server:
    """A server that clusters and tenants can be on.

    Attributes:
        admin: Inputs that say which server, as its administrator.
        endpoint: Its base URL.
        guard: Id of the guard that its clusters take as an input.
        way: Inputs besides the address that a tenant's connection needs too.
    """

    admin: Mapping[str, Any] = field(repr=False)
    endpoint: pulumi.Input[str]
    guard: pulumi.Output[str]
    way: Mapping[str, Any] = field(default_factory=dict)


class SkyPilotClusters:
    """Declares servers, tenants and clusters, in this order. What is not declared is not imported.

    Args:
        config: The checked configuration.
        guard: Id of the stack's LeakGuard.

    Attributes:
        clusters: Clusters by name.
        tenants: Tenants by name.
    """

    clusters: Mapping[str, SkyPilotCluster]
    tenants: Mapping[str, SkyPilotTenant]

    def __init__(self, config: StackConfig, guard: pulumi.Output[str]) -> None:
        self._config = config
        self._guard = guard
        self.clusters, self.tenants = {}, {}
        servers = {
            **{name: self._external(name) for name in config.credentials if self._is_server(name)},
            **{name: self._made(name, spec) for name, spec in config.skypilot_servers.items()},
        }
        if config.skypilot_tenants:
            from components.sky_pilot_tenant import SkyPilotTenant, SkyPilotTenantArgs

            self.tenants = {
                name: SkyPilotTenant(
                    name,
                    SkyPilotTenantArgs(
                        stack_id=config.stack_id,
                        server=servers[spec.server].admin,
                        endpoint=servers[spec.server].endpoint,
                        isolation=spec.isolation,
                        token=spec.token,
                        role=spec.role,
                        expires_in_days=spec.expires_in_days,
                        rotation=spec.rotation,
                        clouds=spec.clouds,
                        way=servers[spec.server].way,
                    ),
                )
                for name, spec in config.skypilot_tenants.items()
            }
        if config.skypilot_clusters:
            from dynamic_providers.sky_pilot_cluster import SkyPilotCluster

            self.clusters = {
                name: SkyPilotCluster(
                    name,
                    self._inputs(name, spec, servers[config.skypilot_server(name)]),
                    pulumi.ResourceOptions(delete_before_replace=spec.delete_before_replace),
                )
                for name, spec in config.skypilot_clusters.items()
            }

    def costs(self) -> list[pulumi.Output[NodeCost]]:
        """What each cluster is estimated to cost, or costs: known in a preview."""
        return [
            pulumi.Output.all(
                candidateInfra=made.candidateInfra,
                place=made.place,
                hourlyUsd=made.hourlyUsd,
                estimatedHourlyUsd=made.estimatedHourlyUsd,
            ).apply(partial(_cost, name), run_with_unknowns=True)
            for name, made in self.clusters.items()
        ]

    def hourly_usd(self) -> list[pulumi.Output[float | None]]:
        """Actual price of each cluster, USD per hour."""
        return [made.hourlyUsd for made in self.clusters.values()]

    def outputs(self) -> dict[str, Any]:
        """What the stack exports: clusters, and the way in of each tenant."""
        found: dict[str, Any] = {}
        if self.clusters:
            found["skypilotClusters"] = {
                name: {key: getattr(made, key) for key in _SHOWN} for name, made in self.clusters.items()
            }
        if self.tenants:
            found["skypilotTenants"] = {
                name: {"workspace": made.workspace, "token": made.token}
                for name, made in self.tenants.items()
            }
        return found

    def _is_server(self, name: str) -> bool:
        return self._config.credentials[name].cloud == "skypilot"

    def _external(self, name: str) -> _Server:
        source = self._config.credentials[name]
        way: dict[str, Any] = {"caFile": source.ca_file} if source.ca_file else {}
        way |= {"allowInsecure": True} if source.allow_insecure else {}
        return _Server({"credentials": name}, source.endpoint, self._guard, way)

    def _made(self, name: str, spec: ServerSpec) -> _Server:
        from components.sky_pilot_api_server import SkyPilotApiServer, SkyPilotApiServerArgs, SkyPilotAuth
        from dynamic_providers.sky_pilot_guard import SkyPilotGuard

        password = None if spec.password is None else spec.password.get_secret_value()
        made = SkyPilotApiServer(
            name,
            SkyPilotApiServerArgs(
                target=spec.target,
                port=spec.port,
                allowed_clouds=spec.allowed_clouds,
                config=spec.config,
                files={
                    place: pulumi.Output.secret(_text(name, path)) for place, path in spec.home_files.items()
                },
                env={key: pulumi.Output.secret(value.get_secret_value()) for key, value in spec.env.items()},
                auth=SkyPilotAuth(
                    kind=spec.auth, password=None if password is None else pulumi.Output.secret(password)
                ),
                keep_home=spec.keep_home,
            ),
        )
        admin: dict[str, Any] = {"endpoint": made.endpoint}
        if spec.auth != "none":
            admin |= {"user": made.user, "token": made.password}
        guard = SkyPilotGuard(
            f"{name}-guard",
            {
                **admin,
                # An input that LeakGuard gives: so it is made before, and deleted after this one.
                "stackId": self._guard,
                "clusters": list(self._config.skypilot_clusters_on(name)),
            },
        )
        return _Server(admin, made.endpoint, guard.id)

    def _inputs(self, name: str, spec: ClusterSpec, server: _Server) -> dict[str, Any]:
        """The inputs of a cluster's resource; what is not set is left out."""
        inputs: dict[str, Any] = {
            to_camel(key): list(value) if isinstance(value := getattr(spec, key), tuple) else value
            for key in _SAME
            if getattr(spec, key) != ClusterSpec.model_fields[key].get_default(call_default_factory=True)
        }
        for key in ("envs", "secrets"):
            if hidden := getattr(spec, key):
                inputs[key] = {each: pulumi.Output.secret(v.get_secret_value()) for each, v in hidden.items()}
        inputs |= {"guard": server.guard, **server.admin}
        if spec.tenant:
            tenant = self.tenants[spec.tenant]
            for key in server.admin:
                del inputs[key]
            inputs |= tenant.server
            if self._config.skypilot_tenants[spec.tenant].isolation == "workspace":
                inputs["workspace"] = tenant.workspace
        return inputs


def _cost(name: str, outputs: Mapping[str, Any]) -> NodeCost:
    """Reads the outputs of a cluster in a preview; what is not known yet is no number and no text."""
    actual, estimated = outputs.get("hourlyUsd"), outputs.get("estimatedHourlyUsd")
    numbers = [float(usd) if isinstance(usd, int | float) else None for usd in (actual, estimated)]
    places = outputs.get("candidateInfra")
    what = f"skypilot {outputs['place']}" if isinstance(outputs.get("place"), str) else "not known yet"
    if isinstance(places, list) and places:
        more = f" or {len(places) - 1} more" if len(places) > 1 else ""
        what = f"skypilot {str(places[0]).partition(' at ')[0]}{more}"
    return NodeCost(name, name, what, numbers[1] if numbers[0] is None else numbers[0], numbers[0] is None)


def _text(server: str, path: str) -> str:
    """A file of this machine that a server gets.

    Raises:
        pulumi.RunError: It can't be read.
    """
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise pulumi.RunError(f"gpuplane:skypilotServers.{server}.homeFiles: {path}: {why}") from None
