"""What may be rented, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulumi_policy import Severity

from policies.costs import CLUSTER, NODE, POOLED, pools_of
from policies.reading import Seen, items, text
from policies.rules import Broken, stack_policy
from stack_config.policies import PlacementRule, Stage


@dataclass(frozen=True, slots=True)
class Place:
    """Something that may be rented: a failover may end up with any of them.

    Attributes:
        cloud: Name of the cloud; empty for any.
        region: Region in the words of the stack file; empty for any.
        gpu: GPU; empty for none.
    """

    cloud: str
    region: str
    gpu: str


_REGION_OF = {
    "aws:eks/cluster:Cluster": ("aws", "region"),
    "gcp:container/cluster:Cluster": ("gcp", "location"),
    "azure-native:containerservice:ManagedCluster": ("azure", "location"),
}
"""What has a region besides nodes -> its cloud, and the property."""


def look(resources: Sequence[Seen], limits: PlacementRule, stage: Stage) -> Iterator[Broken]:
    """Reports every cloud, region and GPU that a node may end up with and that is not listed."""
    for resource in resources:
        for what in dict.fromkeys(_wrong(resource, limits)):
            yield Broken(resource, what)


def places(resource: Seen) -> list[Place]:
    """All that a resource may be rented as."""
    props = resource.props
    if resource.type == NODE:
        return [_candidate(each) for each in items(props.get("candidates")) if isinstance(each, Mapping)]
    if resource.type == CLUSTER:
        gpus = [text(each).partition(":")[0] for each in items(props.get("accelerators"))] or [""]
        infra = [text(each).partition("/") for each in items(props.get("infra"))] or [("", "", "")]
        return [Place(cloud, region, gpu) for cloud, _, region in infra for gpu in gpus]
    return []


def _wrong(resource: Seen, limits: PlacementRule) -> Iterator[str]:
    for place in places(resource):
        yield from _refused("cloud", place.cloud, limits.clouds)
        yield from _refused("region", place.region, limits.regions)
        if place.gpu:
            yield from _refused("GPU", place.gpu, limits.gpus)
    if cloud := POOLED.get(resource.type):
        yield from _refused("cloud", cloud, limits.clouds)
        for pool in pools_of(resource).values():
            yield from _refused("GPU", text(pool.get("gpu")), limits.gpus)
    if resource.type in _REGION_OF:
        cloud, key = _REGION_OF[resource.type]
        yield from _refused("cloud", cloud, limits.clouds)
        if region := text(resource.props.get(key)):
            yield from _refused("region", region, limits.regions)


def _candidate(candidate: Mapping[str, Any]) -> Place:
    return Place(text(candidate.get("cloud")), text(candidate.get("region")), text(candidate.get("gpu")))


def _refused(what: str, word: str, allowed: Sequence[str]) -> Iterator[str]:
    if allowed and not any(_fits(word, each) for each in allowed):
        shown = f"{what} {word}" if word else f"any {what}"
        yield (
            f"may be in {shown}, which is not allowed"
            if what != "GPU"
            else f"may use {shown}, which is not allowed"
        )


def _fits(word: str, allowed: str) -> bool:
    """Upper and lower case are alike; a star at the end stands for anything."""
    word, allowed = word.lower(), allowed.lower()
    return word.startswith(allowed[:-1]) if allowed.endswith("*") else word == allowed


policy = stack_policy(
    "placement",
    PlacementRule,
    look,
    display_name="Clouds, regions and GPUs",
    description="Nodes are rented only as what and where the stack allows.",
    severity=Severity.HIGH,
    remediation_steps="take the candidate out, or allow it in gpuplane:policies.placement.",
)
