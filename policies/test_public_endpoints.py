"""What everybody could reach."""

from __future__ import annotations

from typing import Any

import pytest

from policies.public_endpoints import look
from policies.reading import UNKNOWN
from stack_config.policies import Rule
from tests.policies.made import made, node

ALL, SOME = "0.0.0.0/0", "203.0.113.0/24"
EKS, GKE = "aws:eks/cluster:Cluster", "gcp:container/cluster:Cluster"
AKS = "azure-native:containerservice:ManagedCluster"
RDS, SQL = "aws:rds/instance:Instance", "gcp:sql/databaseInstance:DatabaseInstance"
GROUP, RULE = (
    "aws:ec2/securityGroup:SecurityGroup",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
)
FIREWALL, SERVICE = "gcp:compute/firewall:Firewall", "kubernetes:core/v1:Service"
POSTGRES = "azure-native:dbforpostgresql:Server"
INTERNAL = {"annotations": {"networking.gke.io/load-balancer-type": "Internal"}}


def balanced(port: int, **spec: Any) -> dict[str, Any]:
    return {"spec": {"type": "LoadBalancer", "ports": [{"port": float(port)}], **spec}}


def blocks(*cidrs: str) -> dict[str, Any]:
    return {"masterAuthorizedNetworksConfig": {"cidrBlocks": [{"cidrBlock": cidr} for cidr in cidrs]}}


@pytest.mark.parametrize(
    ("token", "props"),
    [
        (EKS, {}),
        (EKS, {"vpcConfig": {"endpointPublicAccess": True, "publicAccessCidrs": [SOME, ALL]}}),
        (GKE, {}),
        (GKE, blocks(ALL)),
        (AKS, {}),
        (AKS, {"apiServerAccessProfile": {"authorizedIPRanges": [ALL]}}),
        ("azure-native:containerservice/v20240901:ManagedCluster", {}),
        (RDS, {"publiclyAccessible": True}),
        (SQL, {"settings": {"ipConfiguration": {"authorizedNetworks": [{"value": ALL}]}}}),
        (POSTGRES, {"network": {"publicNetworkAccess": "Enabled"}}),
        ("azure-native:redis:Redis", {"publicNetworkAccess": "Enabled"}),
        (
            "azure-native:dbforpostgresql:FirewallRule",
            {"startIpAddress": "0.0.0.0", "endIpAddress": "255.255.255.255"},
        ),
        (
            GROUP,
            {"ingress": [{"protocol": "tcp", "fromPort": 5000.0, "toPort": 6000.0, "cidrBlocks": [ALL]}]},
        ),
        (GROUP, {"ingress": [{"protocol": "-1", "ipv6CidrBlocks": ["::/0"]}]}),
        (RULE, {"ipProtocol": "tcp", "fromPort": 22.0, "toPort": 22.0, "cidrIpv4": ALL}),
        (FIREWALL, {"sourceRanges": [ALL], "allows": [{"protocol": "tcp", "ports": ["6379"]}]}),
        (FIREWALL, {"sourceRanges": [ALL], "allows": [{"protocol": "all"}]}),
        (SERVICE, balanced(5432)),
        (SERVICE, balanced(6379, loadBalancerSourceRanges=[ALL])),
    ],
)
def test_what_is_for_everybody_is_one_finding(token: str, props: dict[str, Any]) -> None:
    assert len(list(look(made(token, **props), Rule(), "none"))) == 1


@pytest.mark.parametrize(
    ("token", "props"),
    [
        (EKS, {"vpcConfig": {"endpointPublicAccess": False}}),
        (EKS, {"vpcConfig": {"endpointPublicAccess": True, "publicAccessCidrs": [SOME]}}),
        (EKS, {"vpcConfig": UNKNOWN}),
        (GKE, {"privateClusterConfig": {"enablePrivateEndpoint": True}}),
        (GKE, blocks(SOME)),
        (GKE, blocks()),
        (AKS, {"apiServerAccessProfile": {"enablePrivateCluster": True}}),
        (AKS, {"apiServerAccessProfile": {"authorizedIPRanges": [SOME]}}),
        (RDS, {"publiclyAccessible": False}),
        (SQL, {"settings": {"ipConfiguration": {"authorizedNetworks": [{"value": SOME}]}}}),
        (POSTGRES, {"network": {"publicNetworkAccess": "Disabled"}}),
        (
            GROUP,
            {"ingress": [{"protocol": "tcp", "fromPort": 5432.0, "toPort": 5432.0, "cidrBlocks": [SOME]}]},
        ),
        (GROUP, {"ingress": [{"protocol": "tcp", "fromPort": 443.0, "toPort": 443.0, "cidrBlocks": [ALL]}]}),
        (RULE, {"ipProtocol": "tcp", "fromPort": UNKNOWN, "toPort": UNKNOWN, "cidrIpv4": ALL}),
        (FIREWALL, {"sourceRanges": [ALL], "allows": [{"protocol": "tcp", "ports": ["443"]}]}),
        (FIREWALL, {"sourceRanges": [ALL], "direction": "EGRESS", "allows": [{"protocol": "all"}]}),
        (SERVICE, balanced(443)),
        (SERVICE, balanced(5432, loadBalancerSourceRanges=[SOME])),
        (SERVICE, {**balanced(5432), "metadata": INTERNAL}),
        (SERVICE, {"spec": {"type": "ClusterIP", "ports": [{"port": 5432.0}]}}),
        ("random:index:Id", {"publiclyAccessible": True}),
    ],
)
def test_what_is_not_is_none(token: str, props: dict[str, Any]) -> None:
    assert list(look(made(token, **props), Rule(), "none")) == []


def test_ports_of_nodes() -> None:
    open_node = node(ports=["8000/http", "22/tcp", "5432/tcp", "8888/http", UNKNOWN])
    assert list(look(open_node, Rule(), "none")) == ["gives everybody port 5432", "gives everybody port 8888"]
