"""The network of a new GKE cluster: a subnet with ranges for pods and services, and NAT for the way out."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.kubernetes_pools.addresses import divide
from stack_config.kubernetes_clusters import GkeCluster

PODS, SERVICES = "pods", "services"
"""Names of the secondary ranges."""


@dataclass(frozen=True, slots=True)
class GkeNetwork:
    """A network.

    Attributes:
        network: Its name.
        subnet: Name of the subnet of the nodes.
        ready: What has to exist before nodes can reach anything.
    """

    network: pulumi.Output[str]
    subnet: pulumi.Output[str]
    ready: list[pulumi.Resource]


def make_network(name: str, physical: str, cluster: GkeCluster, opts: pulumi.ResourceOptions) -> GkeNetwork:
    """A network of its own. Nodes have private addresses alone and leave by NAT.

    Args:
        name: Name of the cluster, for the resources' names.
        physical: Its name in Google Cloud; names of the network are made of it.
        cluster: The cluster.
        opts: Options of every resource.
    """
    from pulumi_gcp import compute

    addresses = divide(cluster.network_cidr)
    network = compute.Network(
        f"{name}-network",
        name=physical,
        project=cluster.project,
        auto_create_subnetworks=False,
        routing_mode="REGIONAL",
        opts=opts,
    )
    subnet = compute.Subnetwork(
        f"{name}-nodes",
        name=physical,
        project=cluster.project,
        region=cluster.region,
        network=network.id,
        ip_cidr_range=str(addresses.nodes),
        private_ip_google_access=True,
        secondary_ip_ranges=[
            compute.SubnetworkSecondaryIpRangeArgs(range_name=PODS, ip_cidr_range=str(addresses.pods)),
            compute.SubnetworkSecondaryIpRangeArgs(
                range_name=SERVICES, ip_cidr_range=str(addresses.services)
            ),
        ],
        opts=opts,
    )
    router = compute.Router(
        f"{name}-router",
        name=physical,
        project=cluster.project,
        region=cluster.region,
        network=network.id,
        opts=opts,
    )
    nat = compute.RouterNat(
        f"{name}-nat",
        name=physical,
        project=cluster.project,
        region=cluster.region,
        router=router.name,
        nat_ip_allocate_option="AUTO_ONLY",
        source_subnetwork_ip_ranges_to_nat="LIST_OF_SUBNETWORKS",
        subnetworks=[
            compute.RouterNatSubnetworkArgs(name=subnet.id, source_ip_ranges_to_nats=["ALL_IP_RANGES"])
        ],
        opts=opts,
    )
    return GkeNetwork(network.id, subnet.id, [nat])
