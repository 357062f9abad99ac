"""Service and Ingress: how the server is reached."""

from __future__ import annotations

from typing import Any

import pulumi

from components.sky_pilot_kubernetes.place import METRICS_PORT, PORT, Place
from stack_config.skypilot_kubernetes import ServerIngress

TIMEOUT_S = 3600
"""Logs are followed, and requests waited for, in one connection."""
LARGEST_BODY = "1000m"
"""An upload comes in parts of 95 MB (`sky/client/common.py` of 0.14.1); the official chart's limit."""


def make_service(place: Place) -> pulumi.CustomResource:
    """Makes the Service: port 80, and 9090 for metrics."""
    from pulumi_kubernetes import core

    ports = [{"name": "http", "port": 80, "targetPort": PORT}]
    if place.metrics:
        ports.append({"name": "metrics", "port": METRICS_PORT, "targetPort": METRICS_PORT})
    service: pulumi.CustomResource = core.v1.Service(
        f"{place.name}-api-service",
        metadata=place.meta(f"{place.name}-api-service", labels={"app": place.app}),
        # A pod from which the second label is taken stays up, and gets no new requests.
        spec={"selector": {"app": place.app, "skypilot.co/ready": "true"}, "ports": ports},
        opts=place.opts,
    )
    return service


def make_ingress(place: Place, ingress: ServerIngress, service: pulumi.Resource) -> pulumi.CustomResource:
    """Makes the Ingress.

    Args:
        place: The server.
        ingress: How it is to be.
        service: What it leads to.
    """
    from pulumi_kubernetes import networking

    below = ingress.path != "/"
    backend = {"service": {"name": f"{place.name}-api-service", "port": {"number": 80}}}
    path = {
        "path": f"{ingress.path}(/|$)(.*)" if below else "/",
        "pathType": "ImplementationSpecific" if below else "Prefix",
        "backend": backend,
    }
    made: pulumi.CustomResource = networking.v1.Ingress(
        f"{place.name}-ingress",
        metadata=place.meta(f"{place.name}-ingress", annotations=ingress_annotations(ingress)),
        spec={
            "ingressClassName": ingress.class_name,
            "tls": [
                {"hosts": [ingress.host], "secretName": ingress.tls_secret or f"{place.name}-ingress-tls"}
            ],
            "rules": [{"host": ingress.host, "http": {"paths": [path]}}],
        },
        opts=place.with_options(depends_on=[service]),
    )
    return made


def ingress_annotations(ingress: ServerIngress) -> dict[str, str]:
    """Annotations of the Ingress: long time-outs, large bodies, answers as they come. Pure.

    Args:
        ingress: How it is to be.
    """
    nginx: dict[str, Any] = {
        "proxy-read-timeout": TIMEOUT_S,
        "proxy-send-timeout": TIMEOUT_S,
        "proxy-body-size": LARGEST_BODY,
        "proxy-buffering": "off",
        "force-ssl-redirect": "true",
    }
    if ingress.path != "/":
        nginx |= {"use-regex": "true", "rewrite-target": "/$2"}
    found = {f"nginx.ingress.kubernetes.io/{key}": str(value) for key, value in nginx.items()}
    if ingress.path != "/":
        found["skypilot.co/ingress-path"] = ingress.path
    if ingress.cert_issuer:
        found["cert-manager.io/cluster-issuer"] = ingress.cert_issuer
    if not ingress.wait:
        found["pulumi.com/skipAwait"] = "true"
    return {**found, **ingress.annotations}


def url(place: Place) -> str:
    """Base URL of the server.

    Args:
        place: The server.
    """
    ingress = place.on.ingress
    if ingress is None:
        return f"http://{place.name}-api-service.{place.namespace}.svc"
    return f"https://{ingress.host}{ingress.path.rstrip('/')}"
