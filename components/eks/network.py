"""The network of a new EKS cluster: private subnets for nodes, public ones for the way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.kubernetes_pools.addresses import zonal
from stack_config.kubernetes_clusters import EksCluster


@dataclass(frozen=True, slots=True)
class EksNetwork:
    """A VPC.

    Attributes:
        vpc_id: Its id.
        subnets: Zone -> id of its private subnet.
    """

    vpc_id: pulumi.Output[str]
    subnets: Mapping[str, pulumi.Output[str]]


def make_network(
    name: str, cluster: EksCluster, tags: dict[str, str], opts: pulumi.ResourceOptions
) -> EksNetwork:
    """A VPC with a private and a public subnet in each zone, and NAT gateways.

    Nodes have private addresses alone; they reach the internet through NAT, and S3 through an endpoint, which
    costs nothing: images are there.

    Args:
        name: Name of the cluster, for the resources' names.
        cluster: The cluster.
        tags: Tags of everything.
        opts: Options of every resource.
    """
    from pulumi_aws import ec2

    region = cluster.region

    def tagged(part: str, **more: str) -> dict[str, str]:
        return {**tags, "Name": f"{name}-{part}", **more}

    vpc = ec2.Vpc(
        f"{name}-vpc",
        cidr_block=cluster.network_cidr,
        enable_dns_hostnames=True,
        enable_dns_support=True,
        region=region,
        tags=tagged("vpc"),
        opts=opts,
    )
    gateway = ec2.InternetGateway(
        f"{name}-gateway", vpc_id=vpc.id, region=region, tags=tagged("gateway"), opts=opts
    )
    outside = ec2.RouteTable(
        f"{name}-public",
        vpc_id=vpc.id,
        routes=[ec2.RouteTableRouteArgs(cidr_block="0.0.0.0/0", gateway_id=gateway.id)],
        region=region,
        tags=tagged("public"),
        opts=opts,
    )
    subnets: dict[str, pulumi.Output[str]] = {}
    tables: list[pulumi.Output[str]] = []
    nat: pulumi.Output[str] | None = None
    for zone, (inner, outer) in zip(
        cluster.zones, zonal(cluster.network_cidr, len(cluster.zones)), strict=True
    ):
        letter = zone[-1]
        public = ec2.Subnet(
            f"{name}-public-{letter}",
            vpc_id=vpc.id,
            availability_zone=zone,
            cidr_block=str(outer),
            map_public_ip_on_launch=False,
            region=region,
            tags=tagged(f"public-{letter}", **{"kubernetes.io/role/elb": "1"}),
            opts=opts,
        )
        ec2.RouteTableAssociation(
            f"{name}-public-{letter}",
            subnet_id=public.id,
            route_table_id=outside.id,
            region=region,
            opts=opts,
        )
        if nat is None or cluster.nat == "each":
            address = ec2.Eip(
                f"{name}-nat-{letter}", domain="vpc", region=region, tags=tagged(f"nat-{letter}"), opts=opts
            )
            nat = ec2.NatGateway(
                f"{name}-nat-{letter}",
                subnet_id=public.id,
                allocation_id=address.id,
                region=region,
                tags=tagged(f"nat-{letter}"),
                opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[gateway])),
            ).id
        table = ec2.RouteTable(
            f"{name}-private-{letter}",
            vpc_id=vpc.id,
            routes=[ec2.RouteTableRouteArgs(cidr_block="0.0.0.0/0", nat_gateway_id=nat)],
            region=region,
            tags=tagged(f"private-{letter}"),
            opts=opts,
        )
        private = ec2.Subnet(
            f"{name}-private-{letter}",
            vpc_id=vpc.id,
            availability_zone=zone,
            cidr_block=str(inner),
            map_public_ip_on_launch=False,
            region=region,
            tags=tagged(f"private-{letter}", **{"kubernetes.io/role/internal-elb": "1"}),
            opts=opts,
        )
        ec2.RouteTableAssociation(
            f"{name}-private-{letter}",
            subnet_id=private.id,
            route_table_id=table.id,
            region=region,
            opts=opts,
        )
        subnets[zone] = private.id
        tables.append(table.id)
    ec2.VpcEndpoint(
        f"{name}-s3",
        vpc_id=vpc.id,
        service_name=f"com.amazonaws.{region}.s3",
        vpc_endpoint_type="Gateway",
        route_table_ids=tables,
        region=region,
        tags=tagged("s3"),
        opts=opts,
    )
    return EksNetwork(vpc.id, subnets)
