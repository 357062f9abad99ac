"""Metrics for Prometheus, and alerts; its operator's kinds only where they are asked for."""

from __future__ import annotations

from components.sky_pilot_kubernetes.place import Place, Spec
from components.sky_pilot_kubernetes.pod import PodParts
from stack_config.skypilot_kubernetes import ServerMonitoring

API = "monitoring.coreos.com/v1"


def add_monitoring(place: Place, pod: PodParts) -> None:
    """Turns metrics on, and makes ServiceMonitor and PrometheusRule.

    Args:
        place: The server.
        pod: Gets environment.
    """
    monitoring = place.on.monitoring
    if monitoring is None:
        return
    pod.set({"SKY_API_SERVER_METRICS_ENABLED": "true"})
    from pulumi_kubernetes import apiextensions

    for kind, spec in custom_resources(place, monitoring):
        apiextensions.CustomResource(
            f"{place.name}-{kind.lower()}",
            api_version=API,
            kind=kind,
            metadata=place.meta(f"{place.name}-api-server", labels=dict(monitoring.labels)),
            spec=spec,
            opts=place.opts,
        )


def custom_resources(place: Place, monitoring: ServerMonitoring) -> list[tuple[str, Spec]]:
    """(kind, spec) of what is asked for. Pure.

    Args:
        place: The server.
        monitoring: What is asked for.
    """
    found: list[tuple[str, Spec]] = []
    if monitoring.service_monitor:
        spec = {
            "selector": {"matchLabels": {"app": place.app}},
            "namespaceSelector": {"matchNames": [place.namespace]},
            "endpoints": [{"port": "metrics", "path": "/metrics", "interval": f"{monitoring.interval_s}s"}],
        }
        found.append(("ServiceMonitor", spec))
    if monitoring.alerts:
        group = {"name": f"{place.name}-api-server", "rules": alerts(place)}
        found.append(("PrometheusRule", {"groups": [group]}))
    return found


def alerts(place: Place) -> list[Spec]:
    """Alerts on the server's own metrics (names: `sky/metrics/utils.py` of 0.14.1). Pure.

    Args:
        place: The server.
    """
    here = f'namespace="{place.namespace}",service="{place.name}-api-service"'
    failing = f'sum(rate(sky_apiserver_requests_total{{{here},status=~"5.."}}[10m]))'
    asked = f"sum(rate(sky_apiserver_requests_total{{{here}}}[10m]))"
    waiting = f"sum(rate(sky_apiserver_queue_wait_seconds_bucket{{{here}}}[10m])) by (le)"
    table = (
        (
            "SkyPilotApiServerDown",
            f"absent(up{{{here}}} == 1)",
            "5m",
            "critical",
            "No pod of the SkyPilot API server answers: nothing is launched, nothing stopped when idle.",
        ),
        (
            "SkyPilotApiServerErrors",
            f"{failing} / {asked} > 0.05",
            "10m",
            "warning",
            "More than 5 % of the requests fail with a server error.",
        ),
        (
            "SkyPilotApiServerRequestsWait",
            f"histogram_quantile(0.9, {waiting}) > 60",
            "15m",
            "warning",
            "One request in ten waits for more than a minute: the server needs more memory and CPU.",
        ),
        (
            "SkyPilotApiServerStalls",
            f"rate(sky_apiserver_event_loop_stall_total{{{here}}}[10m]) > 0.1",
            "15m",
            "warning",
            "The server's event loop stalls: requests time out, and probes may fail.",
        ),
    )
    return [
        {
            "alert": name,
            "expr": expression,
            "for": duration,
            "labels": {"severity": severity, "server": place.name},
            "annotations": {"summary": summary},
        }
        for name, expression, duration, severity, summary in table
    ]
