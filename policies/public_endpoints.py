"""No API server, database or admin port for everybody."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pulumi_policy import Severity

from policies.costs import NODE
from policies.ports import ADMIN, LOGIN, admin_ports
from policies.reading import UNKNOWN, Seen, inside, items, text
from policies.rules import resource_policy
from stack_config.policies import Rule, Stage

EVERYBODY = frozenset({"0.0.0.0/0", "::/0", "*", "Internet"})
_INTERNAL = (
    ("service.beta.kubernetes.io/aws-load-balancer-scheme", "internal"),
    ("service.beta.kubernetes.io/aws-load-balancer-internal", "true"),
    ("networking.gke.io/load-balancer-type", "Internal"),
    ("cloud.google.com/load-balancer-type", "Internal"),
    ("service.beta.kubernetes.io/azure-load-balancer-internal", "true"),
)
"""Annotations that keep a load balancer inside the network."""


def look(resource: Seen, limits: Rule, stage: Stage) -> Iterator[str]:
    """Reports what everybody on the internet could reach."""
    if find := _FINDERS.get(resource.type) or _FINDERS.get(_without_version(resource.type)):
        yield from find(resource.props)


def _without_version(token: str) -> str:
    """`azure-native:containerservice:X` of `azure-native:containerservice/v20240901:X`."""
    package, _, rest = token.partition(":")
    module, _, kind = rest.partition(":")
    return f"{package}:{module.partition('/')[0]}:{kind}" if package == "azure-native" else token


def _everybody(networks: Any) -> bool:
    return any(text(each) in EVERYBODY for each in items(networks))


def _eks(props: Mapping[str, Any]) -> Iterator[str]:
    network = props.get("vpcConfig")
    if network is UNKNOWN or inside(network, "endpointPublicAccess") in (False, UNKNOWN):
        return
    sources = inside(network, "publicAccessCidrs")
    if sources is None or _everybody(sources):  # AWS's own defaults: public, for all
        yield "has an API server for everybody"


def _gke(props: Mapping[str, Any]) -> Iterator[str]:
    if inside(props, "privateClusterConfig", "enablePrivateEndpoint") in (True, UNKNOWN):
        return
    blocks = inside(props, "masterAuthorizedNetworksConfig", "cidrBlocks")
    listed = inside(props, "masterAuthorizedNetworksConfig")
    if listed is None or _everybody([inside(block, "cidrBlock") for block in items(blocks)]):
        yield "has an API server for everybody"


def _aks(props: Mapping[str, Any]) -> Iterator[str]:
    profile = props.get("apiServerAccessProfile")
    if profile is UNKNOWN or inside(profile, "enablePrivateCluster") in (True, UNKNOWN):
        return
    sources = inside(profile, "authorizedIPRanges")
    if sources is not UNKNOWN and (not items(sources) or _everybody(sources)):
        yield "has an API server for everybody"


def _rds(props: Mapping[str, Any]) -> Iterator[str]:
    if props.get("publiclyAccessible") is True:
        yield "is a database with a public address"


def _cloud_sql(props: Mapping[str, Any]) -> Iterator[str]:
    networks = items(inside(props, "settings", "ipConfiguration", "authorizedNetworks"))
    if _everybody([inside(network, "value") for network in networks]):
        yield "is a database for everybody"


def _azure_database(props: Mapping[str, Any]) -> Iterator[str]:
    if "Enabled" in (props.get("publicNetworkAccess"), inside(props, "network", "publicNetworkAccess")):
        yield "is a database with a public address"


def _azure_firewall(props: Mapping[str, Any]) -> Iterator[str]:
    if (props.get("startIpAddress"), props.get("endIpAddress")) == ("0.0.0.0", "255.255.255.255"):
        yield "lets everybody in to a database"


def _security_group(props: Mapping[str, Any]) -> Iterator[str]:
    for rule in items(props.get("ingress")):
        yield from _aws_rule(rule)


def _security_group_rule(props: Mapping[str, Any]) -> Iterator[str]:
    if props.get("type") == "ingress":
        yield from _aws_rule(props)


def _aws_rule(rule: Any) -> Iterator[str]:
    sources = [*items(inside(rule, "cidrBlocks")), *items(inside(rule, "ipv6CidrBlocks"))]
    sources += [inside(rule, "cidrIpv4"), inside(rule, "cidrIpv6")]
    if not _everybody(sources):
        return
    anything = str(inside(rule, "protocol") or inside(rule, "ipProtocol")) == "-1"
    low, high = inside(rule, "fromPort"), inside(rule, "toPort")
    reached = admin_ports("0-65535" if anything else f"{low}-{high}", ADMIN | LOGIN)
    if reached:
        yield f"lets everybody in to port {reached[0]}"


def _gcp_firewall(props: Mapping[str, Any]) -> Iterator[str]:
    if props.get("direction") == "EGRESS" or not _everybody(props.get("sourceRanges")):
        return
    for allowed in items(props.get("allows")):
        for ports in items(inside(allowed, "ports")) or ["0-65535"]:
            if reached := admin_ports(str(ports), ADMIN | LOGIN):
                yield f"lets everybody in to port {reached[0]}"
                return


def _service(props: Mapping[str, Any]) -> Iterator[str]:
    spec = props.get("spec")
    if inside(spec, "type") != "LoadBalancer":
        return
    annotations = inside(props, "metadata", "annotations")
    if any(str(inside(annotations, key)).lower() == value.lower() for key, value in _INTERNAL):
        return
    sources = inside(spec, "loadBalancerSourceRanges")
    if sources is UNKNOWN or (items(sources) and not _everybody(sources)):
        return
    for port in items(inside(spec, "ports")):
        if reached := admin_ports(str(inside(port, "port")), ADMIN | LOGIN):
            yield f"gives everybody port {reached[0]}"


def _node(props: Mapping[str, Any]) -> Iterator[str]:
    for port in items(props.get("ports")):
        # SSH to a node asks for a key, and is how people look at it.
        if reached := admin_ports(text(port).partition("/")[0], ADMIN):
            yield f"gives everybody port {reached[0]}"


_FINDERS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    NODE: _node,
    "aws:eks/cluster:Cluster": _eks,
    "aws:rds/instance:Instance": _rds,
    "aws:rds/clusterInstance:ClusterInstance": _rds,
    "aws:ec2/securityGroup:SecurityGroup": _security_group,
    "aws:ec2/securityGroupRule:SecurityGroupRule": _security_group_rule,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _aws_rule,
    "gcp:container/cluster:Cluster": _gke,
    "gcp:sql/databaseInstance:DatabaseInstance": _cloud_sql,
    "gcp:compute/firewall:Firewall": _gcp_firewall,
    "azure-native:containerservice:ManagedCluster": _aks,
    "azure-native:dbforpostgresql:Server": _azure_database,
    "azure-native:dbforpostgresql:FirewallRule": _azure_firewall,
    "azure-native:redis:Redis": _azure_database,
    "azure-native:redis:FirewallRule": _azure_firewall,
    "kubernetes:core/v1:Service": _service,
}

policy = resource_policy(
    "public-endpoints",
    Rule,
    look,
    display_name="No public admin or database endpoint",
    description="API servers, databases and admin ports are not for everybody.",
    severity=Severity.CRITICAL,
    remediation_steps="make it private, or name the networks that may reach it (allowedSources).",
)
