"""NetworkPolicy: who may open connections to the server's pod."""

from __future__ import annotations

from components.sky_pilot_kubernetes.place import METRICS_PORT, OAUTH2_PORT, PORT, Place, Spec
from stack_config.skypilot_kubernetes import NetworkRules


def make_network_policies(place: Place) -> None:
    """Makes the policies, where they are asked for.

    Args:
        place: The server.
    """
    if place.on.network is None:
        return
    from pulumi_kubernetes import networking

    policies = {f"{place.name}-api-server": server_policy(place, place.on.network)}
    if place.on.oauth2 is not None:
        policies[f"{place.name}-oauth2-proxy"] = {
            "podSelector": {"matchLabels": {"app": f"{place.name}-oauth2-proxy"}},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [{"podSelector": {"matchLabels": {"app": place.app}}}],
                    "ports": [{"port": OAUTH2_PORT, "protocol": "TCP"}],
                }
            ],
        }
    for name, spec in policies.items():
        networking.v1.NetworkPolicy(name, metadata=place.meta(name), spec=spec, opts=place.opts)


def server_policy(place: Place, network: NetworkRules) -> Spec:
    """Policy of the server's pods. What leaves them is not limited: they talk to clouds. Pure.

    Args:
        place: The server.
        network: Who may come.
    """
    peers = [*_namespaces(network.namespaces), *({"ipBlock": {"cidr": cidr}} for cidr in network.cidrs)]
    incoming: list[Spec] = []
    if peers:
        incoming.append({"from": peers, "ports": [{"port": PORT, "protocol": "TCP"}]})
    if place.metrics and network.monitoring_namespaces:
        incoming.append(
            {
                "from": _namespaces(network.monitoring_namespaces),
                "ports": [{"port": METRICS_PORT, "protocol": "TCP"}],
            }
        )
    return {
        "podSelector": {"matchLabels": {"app": place.app}},
        "policyTypes": ["Ingress"],
        "ingress": incoming,
    }


def _namespaces(names: tuple[str, ...]) -> list[Spec]:
    return [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}} for name in names]
