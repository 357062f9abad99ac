"""The network of a new AKS cluster: a subnet for nodes, and NAT for the way out."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.kubernetes_pools.addresses import divide
from stack_config.kubernetes_clusters import AksCluster


@dataclass(frozen=True, slots=True)
class AksNetwork:
    """A virtual network.

    Attributes:
        subnet_id: The subnet of all nodes.
        way_out: The public address that nodes come from.
    """

    subnet_id: pulumi.Output[str]
    way_out: pulumi.Output[str]


def make_network(
    name: str,
    physical: str,
    cluster: AksCluster,
    group: pulumi.Input[str],
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> AksNetwork:
    """A virtual network of its own. Nodes have private addresses alone and leave by a NAT gateway.

    Args:
        name: Name of the cluster, for the resources' names.
        physical: Its name in Azure; names of the network are made of it.
        cluster: The cluster.
        group: Name of the resource group.
        tags: Tags of everything.
        opts: Options of every resource.
    """
    from pulumi_azure_native import network as azure

    addresses = divide(cluster.network_cidr)
    way_out = azure.PublicIPAddress(
        f"{name}-nat",
        resource_group_name=group,
        public_ip_address_name=f"{physical}-nat",
        location=cluster.region,
        sku=azure.PublicIPAddressSkuArgs(name=azure.PublicIPAddressSkuName.STANDARD),
        public_ip_allocation_method=azure.IPAllocationMethod.STATIC,
        tags=tags,
        opts=opts,
    )
    nat = azure.NatGateway(
        f"{name}-nat",
        resource_group_name=group,
        nat_gateway_name=f"{physical}-nat",
        location=cluster.region,
        sku=azure.NatGatewaySkuArgs(name=azure.NatGatewaySkuName.STANDARD),
        public_ip_addresses=[azure.SubResourceArgs(id=way_out.id)],
        tags=tags,
        opts=opts,
    )
    net = azure.VirtualNetwork(
        f"{name}-network",
        resource_group_name=group,
        virtual_network_name=physical,
        location=cluster.region,
        address_space=azure.AddressSpaceArgs(address_prefixes=[str(addresses.nodes)]),
        tags=tags,
        # Subnets are resources of their own.
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=["subnets"])),
    )
    subnet = azure.Subnet(
        f"{name}-nodes",
        resource_group_name=group,
        virtual_network_name=net.name,
        subnet_name="nodes",
        address_prefix=str(addresses.nodes),
        nat_gateway=azure.SubResourceArgs(id=nat.id),
        default_outbound_access=False,
        opts=opts,
    )
    return AksNetwork(subnet.id, way_out.ip_address)
