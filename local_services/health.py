"""Whether a service answers."""

from __future__ import annotations

import socket

import httpx

from local_services.spec import ServiceSpec

PROBE_S = 5.0


def answers(spec: ServiceSpec) -> bool:
    """One look; true for a service that has neither a health URL nor a health port.

    Args:
        spec: The service.
    """
    if spec.health_url:
        try:
            # Asked directly: a proxy of the environment knows nothing of this machine.
            return httpx.get(spec.health_url, timeout=PROBE_S, trust_env=False).status_code == 200
        except (httpx.HTTPError, OSError):
            return False
    if spec.health_port:
        try:
            with socket.create_connection(("127.0.0.1", spec.health_port), timeout=PROBE_S):
                return True
        except OSError:
            return False
    return True
