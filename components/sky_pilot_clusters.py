"""The SkyPilot servers, tenants and clusters that a stack file declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pulumi
from pydantic.alias_generators import to_camel

from components.cost_table import NodeCost
from stack_config import SkyPilotCluster as ClusterSpec
from stack_config import StackConfig

if TYPE_CHECKING:
    from components.sky_pilot_api_server import SkyPilotApiServerArgs
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
        servers: What `server_args` makes of the same configuration.
        provider: Gives the Kubernetes provider of a cluster of this stack.

    Attributes:
        clusters: Clusters by name.
        tenants: Tenants by name.
    """

    clusters: Mapping[str, SkyPilotCluster]
    tenants: Mapping[str, SkyPilotTenant]

    def __init__(
        self,
        config: StackConfig,
        guard: pulumi.Output[str],
        servers: Mapping[str, SkyPilotApiServerArgs],
        provider: Callable[[str], pulumi.ProviderResource | None],
    ) -> None:
        self._config = config
        self._guard = guard
        self._provider = provider
        self.clusters, self.tenants = {}, {}
        self._endpoints: dict[str, pulumi.Output[str]] = {}
        all_servers = {
            **{name: self._external(name) for name in config.credentials if self._is_server(name)},
            **{name: self._made(name, args) for name, args in servers.items()},
        }
        if config.skypilot_tenants:
            from components.sky_pilot_tenant import SkyPilotTenant, SkyPilotTenantArgs

            self.tenants = {
                name: SkyPilotTenant(
                    name,
                    SkyPilotTenantArgs(
                        stack_id=config.stack_id,
                        server=all_servers[spec.server].admin,
                        endpoint=all_servers[spec.server].endpoint,
                        isolation=spec.isolation,
                        token=spec.token,
                        role=spec.role,
                        expires_in_days=spec.expires_in_days,
                        rotation=spec.rotation,
                        clouds=spec.clouds,
                        way=all_servers[spec.server].way,
                    ),
                )
                for name, spec in config.skypilot_tenants.items()
            }
        if config.skypilot_clusters:
            from dynamic_providers.sky_pilot_cluster import SkyPilotCluster

            self.clusters = {
                name: SkyPilotCluster(
                    name,
                    self._inputs(name, spec, all_servers[config.skypilot_server(name)]),
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
        """What the stack exports: clusters, URLs of servers, and the way in of each tenant."""
        found: dict[str, Any] = {}
        if self.clusters:
            found["skypilotClusters"] = {
                name: {key: getattr(made, key) for key in _SHOWN} for name, made in self.clusters.items()
            }
        if self._endpoints:
            found["skypilotServers"] = dict(self._endpoints)
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

    def _made(self, name: str, args: SkyPilotApiServerArgs) -> _Server:
        from components.sky_pilot_api_server import SkyPilotApiServer
        from dynamic_providers.sky_pilot_guard import SkyPilotGuard

        on = args.kubernetes
        provider = self._provider(on.cluster) if on is not None and on.cluster else None
        made = SkyPilotApiServer(name, args, pulumi.ResourceOptions(provider=provider))
        self._endpoints[name] = made.endpoint
        admin: dict[str, Any] = {"endpoint": made.endpoint}
        if args.auth.kind in ("basic", "service_accounts"):
            admin |= {"user": made.user, "token": made.password}
        if args.target == "kubernetes" and not self._config.skypilot_clusters_on(name):
            # Nothing of this stack is on it, and perhaps this machine can't reach it.
            return _Server(admin, made.endpoint, self._guard)
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
