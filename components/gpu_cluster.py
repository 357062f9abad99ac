"""GpuCluster: n equal nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import pulumi
from pydantic import BaseModel, ConfigDict, Field

from components.cost_table import NodeCost, node_cost
from components.node_args import node_args, weights_cache_arg
from dynamic_providers.gpu_node import GpuNode
from stack_config import Candidate, Cluster, WeightsCache, node_names


class GpuClusterArgs(BaseModel):
    """Arguments of a GpuCluster.

    Attributes:
        guard: Id of the stack's LeakGuard. Every node takes it as an input, so the guard is made before them.
        cluster: How many nodes, of what, running what.
        candidates: What every node tries, in order.
        order: Whether they are tried as listed or cheapest first.
        weights_cache: Node class and the disk that its nodes share in each place; None for none.
        env: Further environment variables, where outputs of other resources flow into the nodes; secret.
        api_key: Key that the nodes ask of their callers, instead of the cluster's own; secret.
        node_tls: Makes key and certificate of each node, by its name, where its server speaks TLS itself: the
            node's input `tls`.
        after_node: Declares what comes right after each node, such as its entry in a gateway's table: with
            `rolling` the next node waits for it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    guard: pulumi.Output[str] | str
    cluster: Cluster
    candidates: tuple[Candidate, ...] = Field(min_length=1)
    order: Literal["listed", "price"] = "listed"
    weights_cache: tuple[str, WeightsCache] | None = None
    env: dict[str, pulumi.Output[str] | str] = Field(default_factory=dict, repr=False)
    api_key: pulumi.Output[str] | str | None = Field(default=None, repr=False)
    node_tls: Callable[[str], Mapping[str, Any]] | None = None
    after_node: Callable[[str, GpuNode], pulumi.Resource] | None = None


class GpuCluster(pulumi.ComponentResource):
    """**Pulumi type:** `gpuplane:gpu:GpuCluster`. Creates one GpuNode for each node of the cluster.

    With `rolling` each node depends on the one before it and is ended before its replacement is made: a
    change goes through the cluster node by node, and never more than one is missing. The first time, too, the
    nodes are made one after the other.

    Args:
        name: Name of the cluster; its nodes are `<name>-0`, `<name>-1` and so on.
        args: Arguments.
        opts: Resource options.

    Attributes:
        nodes: The nodes by name.
        endpoints: Node name -> URLs; known once the nodes exist.
        hourly_usd: Actual price of all nodes, USD per hour.
    """

    nodes: Mapping[str, GpuNode]
    endpoints: pulumi.Output[dict[str, list[str]]]
    hourly_usd: pulumi.Output[float]

    def __init__(self, name: str, args: GpuClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("gpuplane:gpu:GpuCluster", name, None, opts)
        cluster = args.cluster
        common = node_args(cluster, args.candidates, args.order, env=args.env, api_key=args.api_key)
        if args.weights_cache is not None:
            common["weightsCache"] = weights_cache_arg(*args.weights_cache)
        nodes: dict[str, GpuNode] = {}
        before: list[pulumi.Resource] = []
        for node in node_names(name, cluster.nodes):
            adopt = {"adoptId": cluster.adopt_ids[node]} if node in cluster.adopt_ids else {}
            tls = {"tls": args.node_tls(node)} if args.node_tls is not None else {}
            nodes[node] = GpuNode(
                node,
                {**common, **adopt, **tls, "guard": args.guard},
                pulumi.ResourceOptions(
                    parent=self,
                    depends_on=before,
                    delete_before_replace=cluster.delete_before_replace or cluster.rolling,
                ),
            )
            registered = [] if args.after_node is None else [args.after_node(node, nodes[node])]
            if cluster.rolling:
                before = [nodes[node], *registered]
        self.nodes = nodes
        self.endpoints = pulumi.Output.all(**{node: made.endpoints for node, made in nodes.items()}).apply(
            # dict: `all` of nothing at all is a list.
            lambda found: {node: [e["url"] for e in ways or []] for node, ways in dict(found).items()}
        )
        self.hourly_usd = pulumi.Output.all(*(made.hourlyUsd for made in nodes.values())).apply(
            lambda prices: round(sum(price or 0.0 for price in prices), 6)
        )
        self.register_outputs({"endpoints": self.endpoints, "hourlyUsd": self.hourly_usd})

    def details(self) -> pulumi.Output[dict[str, dict[str, Any]]]:
        """Node name -> id, cloud, region, GPU, actual price and URLs."""
        return pulumi.Output.all(
            **{
                node: pulumi.Output.all(
                    id=made.instanceId,
                    cloud=made.cloud,
                    region=made.region,
                    gpu=made.gpu,
                    gpuCount=made.gpuCount,
                    hourlyUsd=made.hourlyUsd,
                    endpoints=made.endpoints,
                ).apply(_detail)
                for node, made in self.nodes.items()
            }
        ).apply(dict)

    def costs(self) -> pulumi.Output[list[NodeCost]]:
        """What each node is estimated to cost, or costs: known in a preview."""
        name = self._name
        read = [
            pulumi.Output.all(
                candidate=made.candidate,
                hourlyUsd=made.hourlyUsd,
                estimatedHourlyUsd=made.estimatedHourlyUsd,
            ).apply(partial(node_cost, name, node), run_with_unknowns=True)
            for node, made in self.nodes.items()
        ]
        return pulumi.Output.all(*read)


def _detail(outs: dict[str, Any]) -> dict[str, Any]:
    return {**outs, "endpoints": [way["url"] for way in outs["endpoints"] or []]}
