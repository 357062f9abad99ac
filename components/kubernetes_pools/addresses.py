"""How the one network that a stack file names is divided among nodes, pods and services. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network


@dataclass(frozen=True, slots=True)
class Addresses:
    """Parts of a network; no two overlap.

    Attributes:
        nodes: A quarter, for machines.
        services: An eighth, for Kubernetes services.
        control_plane: 16 addresses, for GKE's control plane.
        pods: The other half, for pods, where they have addresses of their own.
    """

    nodes: IPv4Network
    services: IPv4Network
    control_plane: IPv4Network
    pods: IPv4Network


def divide(cidr: str) -> Addresses:
    """Divides a network.

    Args:
        cidr: `10.64.0.0/16`; anything from /12 to /18.
    """
    first, pods = IPv4Network(cidr).subnets(prefixlen_diff=1)
    nodes, rest = first.subnets(prefixlen_diff=1)
    services, spare = rest.subnets(prefixlen_diff=1)
    return Addresses(nodes, services, next(iter(spare.subnets(new_prefix=28))), pods)


def zonal(cidr: str, zones: int) -> list[tuple[IPv4Network, IPv4Network]]:
    """A private and a public subnet for each zone; the private ones share half of the network.

    Args:
        cidr: The network.
        zones: How many zones; at most eight.
    """
    private, public = IPv4Network(cidr).subnets(prefixlen_diff=1)
    bits = max(zones - 1, 0).bit_length()
    privates = private.subnets(prefixlen_diff=bits)
    publics = public.subnets(new_prefix=min(28, public.prefixlen + 7))
    return [(inner, outer) for _, inner, outer in zip(range(zones), privates, publics, strict=False)]
