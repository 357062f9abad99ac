"""Ports of databases and of what administers something."""

from __future__ import annotations

from collections.abc import Collection

LOGIN = frozenset({22, 3389})
"""SSH and remote desktop."""

ADMIN = frozenset(
    {
        1433, 1521, 3306, 5432, 6379, 9042, 11211, 27017,  # databases and caches
        2375, 2376, 2379, 2380, 6443, 10250,  # Docker, etcd, Kubernetes
        3000, 5601, 9090, 9093, 9200,  # Grafana, Kibana, Prometheus, Alertmanager, Elasticsearch
        6006, 8265, 8787, 8888,  # TensorBoard, Ray, Dask, Jupyter: they run what they are sent, or show data
        46580,  # SkyPilot's API server
    }
)  # fmt: skip
"""Ports whose service trusts who reaches it, or guards data with a password alone."""


def admin_ports(ports: str, wanted: Collection[int]) -> list[int]:
    """Which of the wanted ports are in `5432` or `5000-6000`, in order; none for anything else."""
    low, _, high = ports.partition("-")
    try:
        first = int(float(low))
        last = int(float(high)) if high else first
    except ValueError:
        return []
    return sorted(port for port in wanted if first <= port <= last)
