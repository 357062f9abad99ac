"""The pods that serve a model. Pure but for the names of what they use."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import pulumi

from stack_config.model_servers import ModelServerSpec

Spec = dict[str, Any]

PORT, MASTER_PORT = 8000, 29501
"""Ports of vLLM: of its API, and of the meeting of several nodes (`vllm/config/parallel.py`)."""

WEIGHTS, SCRIPTS, CACHE = "/weights", "/gpuplane/scripts", "/cache"
"""Where a pod finds them."""

PROBE_S = 10

GPU_TAINTS = ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},)
"""What most GPU nodes have, and GKE adds by itself."""


@functools.cache
def script(name: str) -> str:
    """A script of this package, as text."""
    return resources.files("components.model_serving").joinpath(name).read_text("utf-8")


@dataclass(frozen=True)
class Uses:
    """Names of what the pods use.

    Attributes:
        key: Secret with the key `api-key`.
        token: Secret with the key `token` of Hugging Face; None for none.
        claim: Claim for weights; None for none.
        scripts: ConfigMap with scripts, for several nodes; None for one node.
        account: Service account.
    """

    key: pulumi.Input[str]
    token: pulumi.Input[str] | None = None
    claim: pulumi.Input[str] | None = None
    scripts: pulumi.Input[str] | None = None
    account: pulumi.Input[str] = "default"


def labels(name: str) -> dict[str, str]:
    """By which the pods of a server are found."""
    return {"app.kubernetes.io/name": "vllm", "app.kubernetes.io/instance": name}


def arguments(spec: ModelServerSpec) -> list[str]:
    """What `vllm serve` is called with, but for the ranks.

    Args:
        spec: What the stack file says.
    """
    found = [spec.model, "--host", "0.0.0.0", "--port", str(PORT)]
    found += ["--served-model-name", spec.served_name or spec.model]
    found += ["--tensor-parallel-size", str(spec.gpus)]
    if spec.nodes > 1:
        # As vLLM advises: the GPUs of a node share each layer, the nodes share the layers.
        found += ["--pipeline-parallel-size", str(spec.nodes), "--distributed-executor-backend", "mp"]
    if spec.model.startswith(("s3://", "gs://")) and not any(
        argument.split("=")[0] == "--load-format" for argument in spec.args
    ):
        found += ["--load-format", "runai_streamer"]
    return [*found, *spec.args]


def scheduling(spec: ModelServerSpec, pool: Mapping[str, Any] | None) -> Spec:
    """Node selector and tolerations.

    Args:
        spec: What the stack file says.
        pool: What a cluster of this stack says of the pool; None without one.
    """
    place = spec.kubernetes
    selector = {**(pool["nodeSelector"] if pool else {}), **place.node_selector}
    own = [{"key": each.key, "operator": "Exists", "effect": each.effect} for each in place.tolerations]
    wanted = [*(pool["tolerations"] if pool else []), *GPU_TAINTS, *own]
    distinct = {(each["key"], each["effect"]): each for each in wanted}
    return {
        "tolerations": list(distinct.values()),
        **({"nodeSelector": selector} if selector else {}),
    }


def pod(
    name: str, spec: ModelServerSpec, pool: Mapping[str, Any] | None, uses: Uses, group: str = ""
) -> Spec:
    """Spec of a pod.

    Args:
        name: Name of the server.
        spec: What the stack file says.
        pool: What a cluster of this stack says of the pool; None without one.
        uses: What it uses.
        group: Name of the StatefulSet, for a copy on several nodes.
    """
    volumes, mounts = _volumes(spec, uses)
    container: Spec = {
        "name": "vllm",
        "image": spec.image,
        "command": ["vllm", "serve"],
        "args": arguments(spec),
        "env": _environment(spec, uses),
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": _resources(spec, pool),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": mounts,
        **_probes(spec, {"httpGet": {"path": "/health", "port": "http"}}),
    }
    if group:
        leader = f"{group}-0.{group}.{spec.kubernetes.namespace}.svc"
        container["command"] = ["sh", f"{SCRIPTS}/start.sh"]
        container["env"] += [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "VLLM_HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "LEADER", "value": leader},
            {"name": "NODES", "value": str(spec.nodes)},
            {"name": "PORT", "value": str(PORT)},
            {"name": "MASTER_PORT", "value": str(MASTER_PORT)},
        ]
        container |= _probes(spec, {"exec": {"command": ["python3", f"{SCRIPTS}/probe.py"]}})
        # Locked memory is what RDMA between nodes needs (vLLM's advice).
        container["securityContext"]["capabilities"]["add"] = ["IPC_LOCK"]
    return {
        "serviceAccountName": uses.account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # A stream that has begun may end.
        "terminationGracePeriodSeconds": 120,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": volumes,
        **scheduling(spec, pool),
        **_apart(name, group),
    }


def _apart(name: str, group: str) -> Spec:
    """Copies on different nodes where that is possible; the pods of one copy always."""
    if group:
        term = {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": {**labels(name), "gpuplane/copy": group}},
        }
        return {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels(name)},
    }
    return {"topologySpreadConstraints": [spread]}


def _resources(spec: ModelServerSpec, pool: Mapping[str, Any] | None) -> Spec:
    """GPUs and memory: no more than asked for, and no less."""
    gpus = {pool["resource"] if pool else spec.kubernetes.gpu_resource: str(spec.gpus)}
    return {
        "requests": {"cpu": spec.cpu, "memory": spec.memory, **gpus},
        "limits": {"memory": spec.memory, **gpus},
    }


def _probes(spec: ModelServerSpec, ask: Spec) -> Spec:
    """Nobody is ended while it loads, and nobody gets requests before."""
    probe = {**ask, "periodSeconds": PROBE_S, "timeoutSeconds": 8}
    return {
        "startupProbe": {**probe, "failureThreshold": -(-spec.start_s // PROBE_S)},
        "readinessProbe": {**probe, "periodSeconds": 5, "failureThreshold": 3},
        "livenessProbe": {**probe, "failureThreshold": 6},
    }


def _environment(spec: ModelServerSpec, uses: Uses) -> list[Spec]:
    found: list[Spec] = [
        {"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": {"name": uses.key, "key": "api-key"}}},
        {"name": "HF_HOME", "value": WEIGHTS},
        # What it compiles; the image's own home may not be ours to write.
        {"name": "VLLM_CACHE_ROOT", "value": f"{CACHE}/vllm"},
    ]
    if uses.token is not None:
        found.append(
            {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": uses.token, "key": "token"}}}
        )
    return found + [{"name": name, "value": value} for name, value in sorted(spec.env.items())]


def _volumes(spec: ModelServerSpec, uses: Uses) -> tuple[list[Spec], list[Spec]]:
    volumes: list[Spec] = [
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": spec.shared_memory}},
        {"name": "cache", "emptyDir": {}},
        {"name": "weights", "persistentVolumeClaim": {"claimName": uses.claim}}
        if uses.claim is not None
        else {"name": "weights", "emptyDir": {}},
    ]
    mounts: list[Spec] = [
        {"name": "shm", "mountPath": "/dev/shm"},
        {"name": "cache", "mountPath": CACHE},
        {"name": "weights", "mountPath": WEIGHTS},
    ]
    if uses.scripts is not None:
        volumes.append({"name": "scripts", "configMap": {"name": uses.scripts}})
        mounts.append({"name": "scripts", "mountPath": SCRIPTS, "readOnly": True})
    return volumes, mounts
