"""The outputs of a cluster. They repeat the inputs: `diff`, `update` and `delete` see nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dynamic_providers.base import inputs_in
from dynamic_providers.sky_pilot_inputs import SkyPilotClusterInputs
from gpu_clouds.marker import Marker
from gpu_clouds.models import Instance, InstanceState
from gpu_clouds.skypilot.instances import infra_of_record
from gpu_clouds.skypilot.models import ClusterRecord

COMPUTED = (
    "clusterName",
    "clusterHash",
    "state",
    "cloud",
    "place",
    "gpus",
    "hourlyUsd",
    "endpoints",
    "jobId",
    "jobName",
    "setupName",
)
"""Outputs that are no inputs, known only after the real create."""

ESTIMATED = (
    "candidateInfra",
    "estimatedHourlyUsd",
    "estimatedMonthlyUsd",
    "estimateSource",
    "estimateDate",
)
"""Outputs of a create in preview; the real one has `hourlyUsd` instead."""

REPLACED = "REPLACED"
"""State of a cluster that somebody has made anew under the same name."""


def seen_outputs(instance: Instance, record: ClusterRecord | None) -> dict[str, Any]:
    """What the server shows of a cluster now.

    Args:
        instance: The cluster as an instance.
        record: In SkyPilot's own words; None where it is not listed.
    """
    outs: dict[str, Any] = {
        "state": str(instance.state),
        "endpoints": {str(way.port): way.url for way in instance.endpoints},
    }
    if instance.hourly_usd is not None:
        outs["hourlyUsd"] = instance.hourly_usd
    if record is not None:
        outs["clusterHash"] = record.cluster_hash
        outs["cloud"] = record.cloud.lower()
        outs["place"] = infra_of_record(record)
        outs["gpus"] = dict(record.accelerators)
    return outs


def refreshed(outs: Mapping[str, Any], instance: Instance, record: ClusterRecord) -> dict[str, Any]:
    """Old outputs with what the server shows now; what has drifted also shows as the input that it is."""
    new = {**outs, **seen_outputs(instance, record)}
    if instance.state is InstanceState.READY:
        if outs.get("state") not in (None, str(InstanceState.READY), str(InstanceState.STOPPED)):
            # A launch that failed half way is not as declared because its machines run.
            new["state"] = str(InstanceState.RUNNING)
        if outs.get("clusterHash") not in (None, "", record.cluster_hash):
            new["state"] = REPLACED
    if record.nodes is not None and record.nodes != outs.get("nodes", 1):
        new["nodes"] = record.nodes
    if record.autostop is not None and record.autostop != outs.get("autostopMin", -1):
        new.pop("autostopMin", None)
        new.pop("autodown", None)
        if record.autostop >= 0:
            new["autostopMin"] = record.autostop
            new |= {"autodown": True} if record.to_down else {}
    return new


def imported(
    instance: Instance, record: ClusterRecord, account: str, guard: str, name: str
) -> dict[str, Any]:
    """Outputs of a cluster that the state does not know yet, as far as its server tells them.

    Args:
        instance: The cluster as an instance.
        record: In SkyPilot's own words.
        account: Name of the credential set.
        guard: The stack that takes it over.
        name: Name of the resource.
    """
    found = Marker.parse(record.name)
    outs: dict[str, Any] = {
        "guard": found.stack_id if found else guard,
        "node": found.node if found else name,
        "credentials": account,
        "clusterName": record.name,
        "imported": True,
        **seen_outputs(instance, record),
    }
    if record.accelerators:
        outs["accelerators"] = [f"{gpu}:{count:g}" for gpu, count in record.accelerators.items()]
    if record.nodes is not None and record.nodes != 1:
        outs["nodes"] = record.nodes
    return outs


def old_inputs(outs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that a cluster's outputs repeat."""
    return inputs_in(SkyPilotClusterInputs, outs)


def computed(outs: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs that are no inputs."""
    return {key: outs[key] for key in COMPUTED if key in outs}
