"""What fits together in a model server, and what does not. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from components.databases.on_kubernetes import amount
from components.databases.rules import place_problems
from stack_config.errors import Problem, listing, nearest
from stack_config.model_servers import ModelServerSpec

SECTION = "gpuplane:modelServers"

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
_VERSION = re.compile(r":v0\.([0-9]+)\.")
NO_RAY_SINCE = 12
"""vLLM 0.12 is the first that works on several nodes without Ray (its pull request 23691)."""

OURS = {
    *("--model", "--served-model-name", "--host", "--port", "--api-key", "--tensor-parallel-size", "-tp"),
    *("--pipeline-parallel-size", "-pp", "--nnodes", "-n", "--node-rank", "-r", "--master-addr"),
    *("--master-port", "--headless", "--distributed-executor-backend", "--download-dir"),
    *("--ssl-keyfile", "--ssl-certfile"),
}
"""Arguments that are made of other fields."""

OURS_ENV = {"VLLM_API_KEY", "HF_TOKEN", "HF_HOME", "VLLM_HOST_IP", "HUGGING_FACE_HUB_TOKEN"}
"""Variables that are made of other fields."""

Pools = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Cluster -> pool -> what the cluster says of it (components/kubernetes_pools/outputs.py)."""


def broken_rules(name: str, spec: ModelServerSpec, pools: Pools) -> list[Problem]:
    """Every broken rule of one model server.

    Args:
        name: Its name.
        spec: What the stack file says of it.
        pools: The pools of the clusters that the stack makes.
    """
    path = f"{SECTION}.{name}"
    return [
        *_name(path, name),
        *place_problems(f"{path}.kubernetes", spec.kubernetes, frozenset(pools)),
        *_pool(path, spec, pools),
        *_nodes(path, spec),
        *_secrets(path, spec),
        *_weights(path, spec),
        *_scaling(path, spec),
        *_ingress(path, spec),
    ]


def _name(path: str, name: str) -> Iterator[Problem]:
    if not _NAME.fullmatch(name):
        yield Problem(
            path, "a name has lower-case letters, digits and inner hyphens, a letter first, 40 at most"
        )


def _pool(path: str, spec: ModelServerSpec, pools: Pools) -> Iterator[Problem]:
    place, where = spec.kubernetes, f"{path}.kubernetes.pool"
    if not place.pool:
        return
    if not place.cluster:
        yield Problem(where, "is a pool of a cluster of this stack", next_step="name that cluster")
        return
    known = pools.get(place.cluster, {})
    if place.cluster in pools and place.pool not in known:
        yield Problem(
            where,
            f"cluster {place.cluster} has no pool {place.pool!r}",
            nearest(place.pool, list(known)),
            f"use {listing(list(known))}",
        )
    elif place.cluster in pools:
        pool = known[place.pool]
        if spec.gpus > pool["gpusPerNode"]:
            yield Problem(
                f"{path}.gpus",
                f"a node of pool {place.pool} has {pool['gpusPerNode']} GPUs, not {spec.gpus}",
                str(pool["gpusPerNode"]),
                "use several nodes for one copy, or a pool of larger machines",
            )
        most = spec.scaling.max if spec.scaling else spec.replicas
        fit = pool["max"] * (pool["gpusPerNode"] // spec.gpus)
        if spec.gpus <= pool["gpusPerNode"] and most * spec.nodes > fit:
            yield Problem(
                f"{path}.{'scaling.max' if spec.scaling else 'replicas'}",
                f"{most * spec.nodes} pods with {spec.gpus} GPUs do not fit into pool {place.pool}: at its "
                f"max it has room for {fit}",
                next_step="raise the pool's max, or lower this",
            )


def _nodes(path: str, spec: ModelServerSpec) -> Iterator[Problem]:
    for argument in spec.args:
        flag = argument.split("=", 1)[0]
        if flag in OURS:
            yield Problem(f"{path}.args", f"{flag} is made of other keys", next_step="leave it out")
    for variable in spec.env:
        if variable in OURS_ENV:
            yield Problem(f"{path}.env.{variable}", "is made of other keys", next_step="leave it out")
    shared, whole = amount(spec.shared_memory), amount(spec.memory)
    if shared > whole / 2:
        yield Problem(f"{path}.sharedMemory", "is more than half of memory, which it is a part of")
    if spec.nodes == 1:
        return
    if spec.scaling is not None:
        yield Problem(
            f"{path}.scaling", "copies on several nodes do not scale by load", next_step="use replicas"
        )
    if spec.surge:
        yield Problem(
            f"{path}.surge", "copies on several nodes start anew in their place", next_step="leave it out"
        )
    found = _VERSION.search(spec.image)
    if found and int(found[1]) < NO_RAY_SINCE:
        yield Problem(
            f"{path}.image", f"several nodes need vLLM 0.{NO_RAY_SINCE} or later", "vllm/vllm-openai:v0.19.1"
        )


def _secrets(path: str, spec: ModelServerSpec) -> Iterator[Problem]:
    if spec.hf_token is not None and spec.hf_token_secret is not None:
        yield Problem(path, "has hfToken and hfTokenSecret", next_step="keep one of them")
    if spec.api_key is not None and spec.key_rotation:
        yield Problem(f"{path}.keyRotation", "the key is given, not made", next_step="leave it out")
    key = spec.api_key.get_secret_value() if spec.api_key is not None else None
    if key is not None and key != "[secret]" and len(key) < 16:
        yield Problem(f"{path}.apiKey", "has fewer than 16 characters", next_step="leave it out: one is made")


def _weights(path: str, spec: ModelServerSpec) -> Iterator[Problem]:
    bucket = spec.model.startswith(("s3://", "gs://"))
    if "://" in spec.model and not bucket:
        yield Problem(f"{path}.model", "is neither a name nor a bucket", next_step="use s3://… or gs://…")
    weights, where = spec.weights, f"{path}.weights"
    if bucket and weights is not None:
        yield Problem(where, "weights of a bucket are read from there", next_step="leave it out")
    elif weights is not None:
        if bool(weights.claim) == (weights.size is not None):
            yield Problem(where, "has to have either claim or size")
        most = spec.scaling.max if spec.scaling else spec.replicas
        pods = most * spec.nodes + (1 if spec.surge else 0)
        if weights.size is not None and weights.access_mode == "ReadWriteOnce" and pods > 1:
            yield Problem(
                f"{where}.accessMode", f"{pods} pods may need it at once, on several nodes", "ReadWriteMany"
            )


def _scaling(path: str, spec: ModelServerSpec) -> Iterator[Problem]:
    scaling, where = spec.scaling, f"{path}.scaling"
    if scaling is None:
        return
    if scaling.min > scaling.max:
        yield Problem(f"{where}.min", f"is above max ({scaling.max})", str(scaling.max))
    if scaling.kind == "keda" and not scaling.prometheus_url:
        yield Problem(f"{where}.prometheusUrl", "is required for kind keda")
    if scaling.kind == "hpa" and scaling.prometheus_url:
        yield Problem(f"{where}.prometheusUrl", "is not used with kind hpa", next_step="leave it out")
    if spec.replicas != 1:
        yield Problem(f"{path}.replicas", "the number follows scaling", next_step="leave it out")


def _ingress(path: str, spec: ModelServerSpec) -> Iterator[Problem]:
    ingress, where = spec.ingress, f"{path}.ingress"
    if ingress is None:
        return
    if bool(ingress.tls_secret) == bool(ingress.cert_issuer):
        yield Problem(where, "needs a certificate", next_step="give one of tlsSecret and certIssuer")
    for key, value in ingress.annotations.items():
        if key.endswith("ssl-redirect") and value == "false":
            yield Problem(f"{where}.annotations.{key}", "would answer without TLS", next_step="leave it out")
