"""The outputs of a node. They repeat the inputs, because `diff`, `update` and `delete` see nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dynamic_providers.base import inputs_in
from dynamic_providers.estimates import candidate_output
from dynamic_providers.inputs import NodeInputs
from gpu_clouds import marker
from gpu_clouds.marker import Marker
from gpu_clouds.models import Candidate, CapacityType, Endpoint, Instance, InstanceState
from gpu_clouds.readiness import with_https

COMPUTED = (
    "candidate",
    "instanceId",
    "marker",
    "state",
    "cloud",
    "region",
    "gpu",
    "gpuCount",
    "hourlyUsd",
    "endpoints",
    "ssh",
)
"""Outputs that are no inputs, known only after the real create; a preview estimates `candidate`."""

ESTIMATED = ("estimatedHourlyUsd", "estimatedMonthlyUsd", "estimateSource", "estimateDate")
"""Outputs of a create in preview; the real one has `hourlyUsd` instead."""


def node_outputs(
    inputs: Mapping[str, Any],
    candidate: Candidate,
    instance: Instance,
    *,
    ready: bool,
    hourly_usd: float | None,
) -> dict[str, Any]:
    """All outputs of a node.

    Args:
        inputs: Its inputs, normalised.
        candidate: The candidate that won.
        instance: The node as its cloud shows it.
        ready: It answered its readiness probe; otherwise the cloud's own state is kept, and the next `up`
            goes on.
        hourly_usd: What it costs, USD per hour.
    """
    state = InstanceState.READY if ready else instance.state
    if not ready and state is InstanceState.READY:
        state = InstanceState.RUNNING  # reachable by its cloud's word, but the probe had no answer
    outs: dict[str, Any] = {
        **inputs,
        "candidate": candidate_output(candidate),
        "instanceId": instance.id,
        "marker": instance.name,
        **_seen(instance, candidate, inputs),
        "state": str(state),
    }
    if hourly_usd is not None:
        outs["hourlyUsd"] = hourly_usd
    return outs


def refreshed(outs: Mapping[str, Any], instance: Instance) -> dict[str, Any]:
    """Old outputs with what the cloud shows now; a drifted image also shows as the input that it is."""
    candidate_gpu = outs.get("gpu", "")
    new = {**outs, **_seen(instance, None, outs)}
    new["gpu"] = instance.gpu or candidate_gpu
    new["gpuCount"] = instance.gpu_count or outs.get("gpuCount", 0)
    new["region"] = instance.region or outs.get("region", "")
    if instance.hourly_usd is not None:
        new["hourlyUsd"] = instance.hourly_usd
    if instance.image and outs.get("image") and instance.image != outs["image"]:
        new["image"] = instance.image
    if taken_back(outs, instance):
        return {**new, "state": str(InstanceState.FAILED)}
    # A node whose probe had no answer yet is not ready because its cloud calls it so.
    probed = outs.get("state") == InstanceState.READY or instance.state is not InstanceState.READY
    new["state"] = str(instance.state if probed else InstanceState.RUNNING)
    return new


def taken_back(outs: Mapping[str, Any], instance: Instance) -> bool:
    """Whether the cloud has stopped an interruptible node: nobody else stops one."""
    candidate = outs.get("candidate")
    spot = isinstance(candidate, Mapping) and candidate.get("capacity") == CapacityType.SPOT
    return spot and instance.state is InstanceState.STOPPED


def imported(instance: Instance, credentials: str, stack_id: str, name: str) -> dict[str, Any]:
    """Outputs of a node that the state does not know yet, as far as its cloud tells them.

    Args:
        instance: The node.
        credentials: The credential set that shows it.
        stack_id: The stack that takes it over.
        name: Name of the resource.
    """
    found = Marker.parse(instance.name)
    candidate = Candidate(
        instance.cloud, credentials, instance.region, instance.gpu, max(1, instance.gpu_count)
    )
    inputs: dict[str, Any] = {
        "guard": found.stack_id if found else stack_id,
        "node": found.node if found else name,
        "candidates": [candidate_output(candidate)],
    }
    if instance.image:
        inputs["image"] = instance.image
    ready = instance.state is InstanceState.READY
    outs = node_outputs(inputs, candidate, instance, ready=ready, hourly_usd=instance.hourly_usd)
    return {**outs, "imported": True}


def old_inputs(outs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that a node's outputs repeat."""
    return inputs_in(NodeInputs, outs)


def computed(outs: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs that are no inputs."""
    return {key: outs[key] for key in COMPUTED if key in outs}


def is_ours(outs: Mapping[str, Any]) -> bool:
    """Whether the node carries the marker of this stack, so that it can be found by its name."""
    found = Marker.parse(str(outs.get("marker", "")))
    return found is not None and (found.owner, found.stack_id) == (marker.DECLARED, outs.get("guard"))


def _seen(instance: Instance, candidate: Candidate | None, inputs: Mapping[str, Any]) -> dict[str, Any]:
    own_tls = inputs.get("tls")
    port = int(own_tls["port"]) if isinstance(own_tls, Mapping) else 0
    return {
        "cloud": instance.cloud,
        "region": instance.region,
        "gpu": instance.gpu or (candidate.gpu if candidate else ""),
        "gpuCount": instance.gpu_count or (candidate.gpu_count if candidate else 0),
        "endpoints": [
            {"port": e.port, "protocol": e.protocol, "url": _url(e, port)} for e in instance.endpoints
        ],
        "ssh": instance.ssh,
    }


def _url(endpoint: Endpoint, own_tls_port: int) -> str:
    """Its address; a cloud does not know that what runs on a port speaks TLS."""
    https = endpoint.protocol == "http" and endpoint.port == own_tls_port
    return with_https(endpoint.url) if https else endpoint.url
