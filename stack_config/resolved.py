"""A stack's configuration once every rule holds: what the rest of the program reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from stack_config.control_plane import ControlPlane, Served, served
from stack_config.databases import PostgresServer, RedisServer
from stack_config.kubernetes_clusters import AksCluster, EksCluster, GkeCluster
from stack_config.model_servers import ModelServerSpec
from stack_config.models import (
    CandidateGroup,
    CapacityName,
    Cluster,
    CredentialSource,
    NodeClass,
    Order,
    Settings,
    WeightsCache,
)
from stack_config.node_tls import own_tls
from stack_config.policies import Policies
from stack_config.skypilot import SkyPilotCluster, SkyPilotServer, SkyPilotTenant


@dataclass(frozen=True, slots=True)
class Candidate:
    """One thing to try, as plain data.

    Attributes:
        cloud: Name of the cloud.
        credentials: Name of the credential set.
        region: Region group or native id as written; empty for any.
        gpu: GPU name as written.
        gpu_count: GPUs in the node.
        capacity: `on_demand`, `spot`, …
        bid_per_gpu_usd: Bid for one GPU, USD per hour; None for the cloud's lowest.
        provision_deadline_s: How long one launch may take, seconds; None for what holds for all.
    """

    cloud: str
    credentials: str
    region: str
    gpu: str
    gpu_count: int
    capacity: CapacityName
    bid_per_gpu_usd: float | None = None
    provision_deadline_s: int | None = None


@dataclass(frozen=True, slots=True)
class StackConfig:
    """The checked configuration of one stack.

    Attributes:
        stack: Name of the stack.
        stack_id: 8 characters in the name of every node of the stack.
        credentials: Credential sets by name.
        node_classes: Node classes by name.
        clusters: Clusters by name, in the order of the file.
        settings: Numbers for the whole stack.
        skypilot_servers: SkyPilot API servers that the stack makes, by name.
        skypilot_clusters: Clusters on SkyPilot API servers, by name.
        skypilot_tenants: Tenants of SkyPilot API servers, by name.
        eks_clusters: Kubernetes on AWS, by name.
        gke_clusters: Kubernetes on Google Cloud, by name.
        aks_clusters: Kubernetes on Azure, by name.
        postgres_services: PostgreSQL databases, by name.
        redis_services: Redis databases, by name.
        model_servers: Models that are served on Kubernetes, by name.
        control_plane: The gateway in front of the clusters; None for none.
        policies: Limits that the policies hold.
    """

    stack: str
    stack_id: str
    credentials: Mapping[str, CredentialSource]
    node_classes: Mapping[str, NodeClass]
    clusters: Mapping[str, Cluster]
    settings: Settings
    skypilot_servers: Mapping[str, SkyPilotServer] = field(default_factory=dict)
    skypilot_clusters: Mapping[str, SkyPilotCluster] = field(default_factory=dict)
    skypilot_tenants: Mapping[str, SkyPilotTenant] = field(default_factory=dict)
    eks_clusters: Mapping[str, EksCluster] = field(default_factory=dict)
    gke_clusters: Mapping[str, GkeCluster] = field(default_factory=dict)
    aks_clusters: Mapping[str, AksCluster] = field(default_factory=dict)
    postgres_services: Mapping[str, PostgresServer] = field(default_factory=dict)
    redis_services: Mapping[str, RedisServer] = field(default_factory=dict)
    model_servers: Mapping[str, ModelServerSpec] = field(default_factory=dict)
    control_plane: ControlPlane | None = None
    policies: Policies = field(default_factory=Policies)

    def candidates(self, cluster: str) -> tuple[Candidate, ...]:
        """What the nodes of a cluster try, in order and without repeats; disabled groups left out."""
        spec = self.clusters[cluster]
        return expand(groups_of(spec, self.node_classes), gpu_count=spec.gpu_count, capacity=spec.capacity)

    def order(self, cluster: str) -> Order:
        """Whether the candidates of a cluster are tried as listed or cheapest first."""
        spec = self.clusters[cluster]
        if spec.order:
            return spec.order
        return self.node_classes[spec.node_class].order if spec.node_class else "listed"

    def weights_cache(self, cluster: str) -> tuple[str, WeightsCache] | None:
        """The weights cache of a cluster's nodes, with the name of its class; None for none."""
        name = self.clusters[cluster].node_class
        cache = self.node_classes[name].weights_cache if name else None
        return (name, cache) if name and cache else None

    def weights_caches(self) -> dict[str, WeightsCache]:
        """Every declared weights cache, by its node class."""
        return {name: c.weights_cache for name, c in self.node_classes.items() if c.weights_cache}

    def served(self) -> dict[str, Served]:
        """The clusters that the gateway serves, by name; none without a control plane."""
        if self.control_plane is None:
            return {}
        return {
            name: found
            for name, cluster in self.clusters.items()
            if (found := served(name, self.control_plane, cluster.args, cluster.ports)) is not None
        }

    def own_tls(self, cluster: str) -> bool:
        """Whether the nodes of a served cluster speak TLS with a certificate that the stack makes."""
        spec, plane = self.clusters[cluster], self.control_plane
        groups = groups_of(spec, self.node_classes)
        return plane is not None and own_tls(
            plane, cluster, groups, self.credentials, has_image=bool(spec.image)
        )

    def node_names(self) -> tuple[str, ...]:
        """Names of all declared nodes."""
        return tuple(
            name for cluster, spec in self.clusters.items() for name in node_names(cluster, spec.nodes)
        )

    def skypilot_server(self, cluster: str) -> str:
        """The credential set or server of this stack that a SkyPilot cluster runs on."""
        spec = self.skypilot_clusters[cluster]
        return self.skypilot_tenants[spec.tenant].server if spec.tenant else spec.server

    def skypilot_clusters_on(self, server: str) -> tuple[str, ...]:
        """Names of the SkyPilot clusters that run on a server."""
        return tuple(name for name in self.skypilot_clusters if self.skypilot_server(name) == server)


def readiness_port(cluster: Cluster) -> int:
    """The port that readiness asks: the one given, else the cluster's first that fits; 0 if none is asked."""
    readiness = cluster.readiness
    if readiness.kind not in ("http", "tcp"):
        return 0
    fitting = (int(port.split("/")[0]) for port in cluster.ports if port.endswith(f"/{readiness.kind}"))
    return readiness.port or next(fitting, 0)


def node_names(cluster: str, nodes: int) -> tuple[str, ...]:
    """Names of a cluster's nodes: `chat-0`, `chat-1` and so on."""
    return tuple(f"{cluster}-{index}" for index in range(nodes))


def groups_of(cluster: Cluster, node_classes: Mapping[str, NodeClass]) -> tuple[CandidateGroup, ...]:
    """The candidate groups of a cluster: its own, or those of its node class; empty for an unknown class."""
    if cluster.node_class is None:
        return cluster.candidates
    found = node_classes.get(cluster.node_class)
    return found.candidates if found else ()


def expand(
    groups: tuple[CandidateGroup, ...], *, gpu_count: int, capacity: CapacityName
) -> tuple[Candidate, ...]:
    """Spreads groups into candidates: by priority, then as written; GPU by GPU, each in every region.

    Args:
        groups: Candidate groups.
        gpu_count: GPUs in a node, for groups that do not say.
        capacity: Capacity type, for groups that do not say.
    """

    def spread() -> Iterator[Candidate]:
        for group in sorted((g for g in groups if g.enabled), key=lambda g: g.priority):
            for gpu in group.gpus:
                for region in group.regions or ("",):
                    yield Candidate(
                        cloud=group.cloud,
                        credentials=group.credentials,
                        region=region,
                        gpu=gpu,
                        gpu_count=group.gpu_count or gpu_count,
                        capacity=group.capacity or capacity,
                        bid_per_gpu_usd=group.bid_per_gpu_usd,
                        provision_deadline_s=group.provision_deadline_s,
                    )

    return tuple(dict.fromkeys(spread()))
