"""From a cluster of the stack file to the inputs of its nodes. Pure, but for the secrets that it wraps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pydantic.alias_generators import to_camel

from stack_config import Candidate, Cluster, WeightsCache, readiness_port
from stack_config.rules import API_KEY_VARIABLE

SAME = (
    "image",
    "args",
    "disk_gb",
    "volume_gb",
    "volume_path",
    "keep_on_failure",
    "max_hourly_usd",
    "budget_hourly_usd",
    "wait_for_capacity_min",
    "provision_deadline_s",
    "replace_trigger",
)
"""Fields of a cluster that its nodes take as they are, with the same defaults."""


def node_args(
    cluster: Cluster,
    candidates: Sequence[Candidate],
    order: str,
    *,
    env: Mapping[str, pulumi.Input[str]] | None = None,
    api_key: pulumi.Input[str] | None = None,
) -> dict[str, Any]:
    """The inputs that all nodes of a cluster have in common; what is not set is left out.

    Args:
        cluster: The cluster.
        candidates: What its nodes try.
        order: `listed` or `price`.
        env: Further environment variables, where outputs of other resources flow into the node.
        api_key: Key that the node's server asks of its callers, instead of the stack file's.
    """
    args: dict[str, Any] = {
        to_camel(name): getattr(cluster, name)
        for name in SAME
        if getattr(cluster, name) != Cluster.model_fields[name].default
    }
    args["candidates"] = [_candidate(candidate) for candidate in candidates]
    if order != "listed":
        args["order"] = order
    if cluster.template:
        args["templateId"] = cluster.template
    if cluster.ports:
        args["ports"] = list(cluster.ports)
    if cluster.ssh_public_keys:
        args["sshPublicKeys"] = list(cluster.ssh_public_keys)
    if cluster.budget_hourly_usd is not None:
        args["clusterNodes"] = max(1, cluster.nodes)
    if cluster.expires_at is not None:
        args["expiresAt"] = cluster.expires_at.isoformat()
    if cluster.startup:
        args["startup"] = secret(cluster.startup)
    if cluster.readiness.kind != "none" or cluster.readiness.gpu:
        args["readiness"] = _readiness(cluster)
    variables = {
        **{name: secret(value.get_secret_value()) for name, value in cluster.env.items()},
        **{name: secret(value) for name, value in (env or {}).items()},
    }
    key = api_key if api_key is not None else api_key_of(cluster)
    if key is not None:
        variables[API_KEY_VARIABLE] = secret(key)
    if variables:
        args["env"] = variables
    return args


def api_key_of(cluster: Cluster) -> str | None:
    """The key that the stack file gives a cluster, in clear text."""
    return None if cluster.api_key is None else cluster.api_key.get_secret_value()


def rotation(cluster: Cluster) -> str:
    """Another text for whatever replaces all nodes of a cluster on clouds that change nothing in place.

    What is not in it (environment, startup script) may be secret; such a node keeps its certificate.
    """
    fields = ("image", "args", "volume_gb", "volume_path", "ports", "ssh_public_keys", "replace_trigger")
    said = json.dumps([getattr(cluster, name) for name in fields])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def secret(value: pulumi.Input[str]) -> pulumi.Output[str]:
    """The value, marked as a secret."""
    return pulumi.Output.secret(value)


def _candidate(candidate: Candidate) -> dict[str, Any]:
    given: dict[str, Any] = {
        "cloud": candidate.cloud,
        "credentials": candidate.credentials,
        "gpu": candidate.gpu,
    }
    if candidate.region:
        given["region"] = candidate.region
    if candidate.gpu_count != 1:
        given["gpuCount"] = candidate.gpu_count
    if candidate.capacity != "on_demand":
        given["capacity"] = candidate.capacity
    if candidate.bid_per_gpu_usd is not None:
        given["bidPerGpuUsd"] = candidate.bid_per_gpu_usd
    if candidate.provision_deadline_s is not None:
        given["provisionDeadlineS"] = candidate.provision_deadline_s
    return given


def weights_cache_arg(node_class: str, cache: WeightsCache) -> dict[str, Any]:
    """The weights cache of a node class as its nodes take it."""
    return {"name": node_class, "sizeGb": cache.size_gb, "path": cache.path}


def _readiness(cluster: Cluster) -> dict[str, Any]:
    readiness = cluster.readiness
    asked: dict[str, Any] = {"kind": readiness.kind, "port": readiness_port(cluster)}
    for name in ("tries", "gpu", "timeout_s", "ssh_key_file"):
        if value := getattr(readiness, name):
            asked[to_camel(name)] = value
    for name in ("command", "ssh_key"):
        if (hidden := getattr(readiness, name)) is not None:
            asked[to_camel(name)] = secret(hidden.get_secret_value())
    if readiness.kind == "http":
        asked["path"] = readiness.path
    if readiness.headers:
        asked["headers"] = {
            name: secret(value.get_secret_value()) for name, value in readiness.headers.items()
        }
    return asked
