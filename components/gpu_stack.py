"""Everything that a stack file declares: the guard, then the clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pulumi

from components.cost_table import NodeCost, cost_table
from components.gpu_cluster import GpuCluster, GpuClusterArgs
from components.kubernetes_clusters import KubernetesClusters
from components.node_args import api_key_of, rotation, secret
from components.sky_pilot_clusters import SkyPilotClusters
from components.sky_pilot_servers import check_servers, server_args
from components.stack_services import StackServices
from dynamic_providers.cache_costs import cache_cost
from dynamic_providers.leak_guard import LeakGuard
from stack_config import StackConfig

if TYPE_CHECKING:
    from components.control_plane import ControlPlane

GUARD = "leak-guard"


class GpuStack:
    """Declares the resources of a stack.

    Args:
        config: The checked configuration.

    Attributes:
        guard: Made before all nodes, deleted after them.
        clusters: Clusters by name.
        kubernetes: Clusters of Kubernetes.
        skypilot: SkyPilot servers, tenants and clusters.
        services: Databases and model servers.
        control_plane: The gateway; None for none.
    """

    def __init__(self, config: StackConfig) -> None:
        self._config = config
        self.kubernetes = KubernetesClusters(config)
        self.services = StackServices(config, self.kubernetes)
        servers = server_args(config)
        check_servers(servers)
        self.guard = LeakGuard(
            GUARD,
            stack_id=config.stack_id,
            credentials=list(config.credentials),
            nodes=[*config.node_names(), *config.skypilot_clusters],
            caches={name: cache.keep for name, cache in config.weights_caches().items()},
        )
        self.control_plane = self._gateway()
        self.clusters: Mapping[str, GpuCluster] = {
            name: GpuCluster(
                name,
                GpuClusterArgs(
                    guard=self.guard.id,
                    cluster=cluster,
                    candidates=config.candidates(name),
                    order=config.order(name),
                    weights_cache=config.weights_cache(name),
                    **self._behind_gateway(name),
                ),
            )
            for name, cluster in config.clusters.items()
        }
        self.kubernetes.declare()
        self.services.declare()
        self.skypilot = SkyPilotClusters(config, self.guard.id, servers, self.kubernetes.provider)
        if pulumi.runtime.is_dry_run():
            _show_costs(self.clusters, self.skypilot, _cache_costs(config))

    def outputs(self) -> dict[str, Any]:
        """What the stack exports; prices are the actual ones, so they are known once the nodes exist."""
        kubernetes = self.kubernetes.outputs()
        return {
            **({"kubernetes": kubernetes} if kubernetes else {}),
            **({"tags": dict(tags)} if (tags := self._config.settings.tags) else {}),
            "nodes": pulumi.Output.all(
                **{name: cluster.details() for name, cluster in self.clusters.items()}
            ).apply(dict),  # `all` of nothing at all is a list
            **self.skypilot.outputs(),
            **self.services.outputs(),
            **({"controlPlane": self.control_plane.outputs()} if self.control_plane else {}),
            "hourlyUsd": pulumi.Output.all(
                *(c.hourly_usd for c in self.clusters.values()), *self.skypilot.hourly_usd()
            ).apply(lambda prices: round(sum(price or 0.0 for price in prices), 6)),
            "apiKeys": {
                **{
                    name: secret(key)
                    for name, cluster in self._config.clusters.items()
                    if (key := api_key_of(cluster)) is not None
                },
                **(self.control_plane.upstream_keys if self.control_plane else {}),
            },
        }

    def _gateway(self) -> ControlPlane | None:
        """The gateway, where one is declared; what is not declared is not imported."""
        config = self._config
        if config.control_plane is None:
            return None
        from components.control_plane import SERVICE, ControlPlane, ControlPlaneArgs

        served = config.served()
        return ControlPlane(
            SERVICE,
            ControlPlaneArgs(
                section=config.control_plane,
                served=served,
                given_keys={name: key for name in served if (key := config.clusters[name].api_key)},
                plain_http=frozenset(name for name in served if self._may_be_plain(name)),
                before=[self.guard],
            ),
        )

    def _may_be_plain(self, cluster: str) -> bool:
        """Whether nodes of a cluster may have plain http: by the section, or behind Lambda's firewall."""
        plane = self._config.control_plane
        allowed = plane is not None and plane.allow_plain_http
        return allowed or any(each.cloud == "lambda" for each in self._config.candidates(cluster))

    def _behind_gateway(self, cluster: str) -> dict[str, Any]:
        """Arguments of a cluster that the gateway serves."""
        plane = self.control_plane
        if plane is None or cluster not in plane.upstream_keys:
            return {}
        own_tls = self._config.own_tls(cluster)
        return {
            "api_key": plane.upstream_keys[cluster],
            **(
                {"node_tls": partial(plane.node_tls, cluster, rotation(self._config.clusters[cluster]))}
                if own_tls
                else {}
            ),
            "after_node": partial(plane.register, cluster),
        }


def _cache_costs(config: StackConfig) -> list[str]:
    """A line for each weights cache."""
    return [
        cache_cost(
            name,
            cache.size_gb,
            [group.cloud for group in config.node_classes[name].candidates if group.enabled],
            keep=cache.keep,
        )
        for name, cache in config.weights_caches().items()
    ]


def _show_costs(
    clusters: Mapping[str, GpuCluster], skypilot: SkyPilotClusters, caches: Sequence[str]
) -> None:
    """One block at the end of a preview."""

    def show(found: list[list[NodeCost] | NodeCost]) -> None:
        nodes = [node for each in found for node in (each if isinstance(each, list) else [each])]
        if table := cost_table(nodes):
            pulumi.log.info("\n".join([table, *caches]))

    pulumi.Output.all(*(cluster.costs() for cluster in clusters.values()), *skypilot.costs()).apply(show)
