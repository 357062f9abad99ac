"""The rules that hold for a cluster on every cloud. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from components.kubernetes_pools.shapes import TITLES, Cloud
from stack_config.errors import Problem
from stack_config.kubernetes_clusters import KubernetesCluster

LONGEST_NAME = 24
"""Characters of a cluster's name; clouds limit the names that are made of it, the stack's id included."""

_NAME = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")
_VERSION = re.compile(r"1\.[0-9]{1,2}")
_PRIVATE = [
    ipaddress.IPv4Network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
]


def broken_cluster_rules(
    cloud: Cloud, path: str, name: str, cluster: KubernetesCluster, existing: bool
) -> Iterator[Problem]:
    """Every broken rule of a cluster that does not depend on its pools.

    Args:
        cloud: Its cloud.
        path: Its place in the stack file.
        name: Its name.
        cluster: The cluster.
        existing: It is there already and only gets pools.
    """
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        near = re.sub(r"^[^a-z]+", "", re.sub(r"[^a-z0-9]+", "-", name.lower()))[:LONGEST_NAME].strip("-")
        yield Problem(
            path,
            f"a cluster's name has lower-case letters, digits and inner hyphens, a letter first, and at most "
            f"{LONGEST_NAME} characters",
            near,
        )
    if existing:
        yield from _not_ours(cloud, path, cluster)
        return
    if cluster.version and not _VERSION.fullmatch(cluster.version):
        yield Problem(f"{path}.version", f"{cluster.version!r} is not a minor version", next_step="like 1.34")
    if cluster.system.min > cluster.system.max:
        yield Problem(f"{path}.system.min", f"is above max ({cluster.system.max})", str(cluster.system.max))
    yield from _network(path, cluster.network_cidr)
    yield from _endpoint(cloud, path, cluster)


def _not_ours(cloud: Cloud, path: str, cluster: KubernetesCluster) -> Iterator[Problem]:
    """What can't be said about a cluster that somebody else made."""
    made = ("version", "endpoint", "allowed_sources", "network_cidr", "system")
    for field in made:
        if field in cluster.model_fields_set:
            alias = type(cluster).model_fields[field].alias or field
            yield Problem(
                f"{path}.{alias}",
                f"belongs to a new cluster, and this {TITLES[cloud]} cluster exists",
                next_step="leave it out, or leave existing out",
            )


def _network(path: str, cidr: str) -> Iterator[Problem]:
    where = f"{path}.networkCidr"
    try:
        net = ipaddress.IPv4Network(cidr)
    except ValueError:
        yield Problem(
            where, f"{cidr!r} is not an IPv4 network", _host_bits_cleared(cidr), "like 10.64.0.0/16"
        )
        return
    if not 12 <= net.prefixlen <= 18:
        yield Problem(
            where, f"a /{net.prefixlen} network does not fit", f"{net.network_address}/16", "use /12 to /18"
        )
    elif not any(net.subnet_of(private) for private in _PRIVATE):
        yield Problem(where, f"{cidr} is not a private network", "10.64.0.0/16")


def _endpoint(cloud: Cloud, path: str, cluster: KubernetesCluster) -> Iterator[Problem]:
    where = f"{path}.allowedSources"
    if cluster.endpoint == "public" and not cluster.allowed_sources:
        yield Problem(where, "is required for a public endpoint", next_step="name your own networks")
    if cluster.endpoint == "private" and cluster.allowed_sources and cloud != "gke":
        yield Problem(where, "is for a public endpoint", next_step="use endpoint: public, or leave it out")
    for index, source in enumerate(cluster.allowed_sources):
        try:
            net = ipaddress.IPv4Network(source)
        except ValueError:
            near = _host_bits_cleared(source)
            yield Problem(
                f"{where}[{index}]", f"{source!r} is not an IPv4 network", near, "like 203.0.113.0/24"
            )
            continue
        if net.prefixlen == 0:
            yield Problem(
                f"{where}[{index}]", "lets the whole internet in", next_step="name your own networks"
            )


def _host_bits_cleared(cidr: str) -> str:
    """`10.1.2.3/16` -> `10.1.0.0/16`; empty for what is no network at all."""
    try:
        return str(ipaddress.IPv4Network(cidr, strict=False))
    except ValueError:
        return ""
