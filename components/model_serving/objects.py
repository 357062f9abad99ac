"""The specs of the objects around the pods: workloads, services, who may connect, scaling, ingress. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.model_serving.pods import PORT, Spec, Uses, labels, pod
from stack_config.model_servers import ModelIngress, ModelScaling, ModelServerSpec

TIMEOUT_S = 3600
"""An answer may take long, and its first word too."""

NEW_NODE_S = 900
"""What an autoscaler may take to bring a node with GPUs, on top of the start of the server."""

WAITING = {"hpa": "vllm_num_requests_waiting", "keda": "vllm:num_requests_waiting"}
"""Requests that wait: vLLM's own metric, which an adapter has to give a name without a colon."""

Pool = Mapping[str, Any] | None


def deployment(name: str, spec: ModelServerSpec, pool: Pool, uses: Uses) -> Spec:
    """Spec of a Deployment, where a copy has one pod.

    Args:
        name: Name of the server.
        spec: What the stack file says.
        pool: What a cluster of this stack says of the pool; None without one.
        uses: What the pods use.
    """
    rolling = {"maxSurge": 1, "maxUnavailable": 0} if spec.surge else {"maxSurge": 0, "maxUnavailable": 1}
    return {
        "replicas": spec.scaling.min if spec.scaling else spec.replicas,
        "selector": {"matchLabels": labels(name)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
        "progressDeadlineSeconds": spec.start_s + NEW_NODE_S,
        "revisionHistoryLimit": 3,
        "template": {"metadata": {"labels": labels(name)}, "spec": pod(name, spec, pool, uses)},
    }


def stateful_set(name: str, group: str, spec: ModelServerSpec, pool: Pool, uses: Uses) -> Spec:
    """Spec of a StatefulSet: one copy on several nodes, whose pods start together.

    Args:
        name: Name of the server.
        group: Name of the StatefulSet, and of its headless service.
        spec: What the stack file says.
        pool: What a cluster of this stack says of the pool; None without one.
        uses: What the pods use.
    """
    mine = {**labels(name), "gpuplane/copy": group}
    return {
        "serviceName": group,
        "replicas": spec.nodes,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": mine},
        "template": {"metadata": {"labels": mine}, "spec": pod(name, spec, pool, uses, group)},
    }


def headless_service(name: str, group: str) -> Spec:
    """Names for the pods of a copy, also before they are ready: they have to find each other first."""
    return {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {**labels(name), "gpuplane/copy": group},
        "ports": [{"name": "http", "port": PORT, "targetPort": PORT}],
    }


def service(name: str, spec: ModelServerSpec) -> Spec:
    """Port 80 of every copy; of one on several nodes only the first pod serves."""
    first = {"apps.kubernetes.io/pod-index": "0"} if spec.nodes > 1 else {}
    return {
        "selector": {**labels(name), **first},
        "ports": [{"name": "http", "port": 80, "targetPort": PORT}],
    }


def policy(name: str) -> Spec:
    """Everybody may ask the API, which wants its key; the ports between pods are for its own pods."""
    return {
        "podSelector": {"matchLabels": labels(name)},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"ports": [{"port": PORT, "protocol": "TCP"}]},
            {"from": [{"podSelector": {"matchLabels": labels(name)}}]},
        ],
    }


def disruption_budget(name: str) -> Spec:
    """One pod at a time, when nodes are drained."""
    return {"maxUnavailable": 1, "selector": {"matchLabels": labels(name)}}


def autoscaler(name: str, scaling: ModelScaling) -> Spec:
    """Spec of a HorizontalPodAutoscaler."""
    return {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": scaling.min,
        "maxReplicas": scaling.max,
        "metrics": [
            {
                "type": "Pods",
                "pods": {
                    "metric": {"name": scaling.metric or WAITING["hpa"]},
                    "target": {"type": "AverageValue", "averageValue": str(scaling.target)},
                },
            }
        ],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": min(3600, scaling.cooldown_s)}},
    }


def scaled_object(name: str, namespace: str, scaling: ModelScaling) -> Spec:
    """Spec of KEDA's ScaledObject."""
    metric = scaling.metric or WAITING["keda"]
    query = f'sum({metric}{{namespace="{namespace}",pod=~"{name}-.*"}})'
    return {
        "scaleTargetRef": {"name": name},
        "minReplicaCount": scaling.min,
        "maxReplicaCount": scaling.max,
        "cooldownPeriod": scaling.cooldown_s,
        "triggers": [
            {
                "type": "prometheus",
                "metadata": {
                    "serverAddress": scaling.prometheus_url,
                    "query": query,
                    "threshold": str(scaling.target),
                },
            }
        ],
    }


def ingress(name: str, wanted: ModelIngress) -> Spec:
    """Spec of the Ingress: TLS always."""
    backend = {"service": {"name": name, "port": {"number": 80}}}
    return {
        "ingressClassName": wanted.class_name,
        "tls": [{"hosts": [wanted.host], "secretName": wanted.tls_secret or f"{name}-tls"}],
        "rules": [
            {
                "host": wanted.host,
                "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
            }
        ],
    }


def ingress_annotations(wanted: ModelIngress) -> dict[str, str]:
    """Long time-outs, answers word by word, no plain HTTP."""
    nginx = {
        "proxy-read-timeout": str(TIMEOUT_S),
        "proxy-send-timeout": str(TIMEOUT_S),
        "proxy-buffering": "off",
        "proxy-body-size": "64m",
        "force-ssl-redirect": "true",
    }
    found = {f"nginx.ingress.kubernetes.io/{key}": value for key, value in nginx.items()}
    if wanted.cert_issuer:
        found["cert-manager.io/cluster-issuer"] = wanted.cert_issuer
    if not wanted.wait:
        found["pulumi.com/skipAwait"] = "true"
    return {**found, **wanted.annotations}
