"""Rules of GKE.

Sources: GKE's pages on GPUs, flex-start, reservations and node disks, and its API reference.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.standins.checking import Finding
from engine.standins.gcp import machines
from engine.standins.rules import (
    between,
    exclusive,
    given,
    labels,
    matching,
    network,
    objects,
    one,
    ordered,
    under,
)
from engine.standins.values import Values

_NAME = r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?"
_LOCATION = r"[a-z]+-[a-z]+\d+(-[a-z])?"


def node_pool(values: Values) -> Iterator[Finding]:
    """A node pool: its name, sizes and nodes."""
    yield from matching(values, "name", _NAME, "a name has at most 40 letters, digits and dashes")
    yield from matching(values, "location", _LOCATION, "a region or zone such as us-central1-a")
    yield from between(values, "initialNodeCount", 0, 5000)
    yield from _autoscaling(values)
    node = one(values, "nodeConfig")
    if isinstance(node, dict):
        yield from under("nodeConfig", node_config(node))
        if one(values, "queuedProvisioning.enabled") is True and given(node, "spot") and one(node, "spot"):
            yield Finding("queuedProvisioning.enabled", "queued nodes can't be spot")
    if one(values, "queuedProvisioning.enabled") is True and not given(values, "autoscaling"):
        yield Finding("queuedProvisioning.enabled", "needs autoscaling")


def _autoscaling(values: Values) -> Iterator[Finding]:
    yield from exclusive(
        values, "autoscaling", "nodeCount", because="the autoscaler decides how many nodes there are"
    )
    for least, most in (("minNodeCount", "maxNodeCount"), ("totalMinNodeCount", "totalMaxNodeCount")):
        yield from ordered(values, f"autoscaling.{least}", f"autoscaling.{most}")
        yield from between(values, f"autoscaling.{least}", 0, 15000)
    totals = any(given(values, f"autoscaling.total{name}NodeCount") for name in ("Min", "Max"))
    for name in ("minNodeCount", "maxNodeCount"):
        if totals and given(values, f"autoscaling.{name}"):
            yield Finding(f"autoscaling.{name}", "counts for each zone can't be given together with totals")


def node_config(node: Values) -> Iterator[Finding]:
    """The machines of a pool; paths are within `nodeConfig`."""
    yield from _machine(node)
    yield from _capacity(node)
    yield from labels(node, "labels")
    yield from between(node, "diskSizeGb", 10, 65536)
    yield from matching(node, "maxRunDuration", r"\d+s", "seconds such as 604800s")
    partition = r"\d+g\.\d+gb(\+me)?"
    yield from matching(node, "guestAccelerators[].gpuPartitionSize", partition, "a size such as 1g.5gb")


def _machine(node: Values) -> Iterator[Finding]:
    kind = one(node, "machineType")
    if not isinstance(kind, str):
        return
    if not machines.exists(kind):
        yield Finding("machineType", f"{kind!r} is no machine type")
        return
    built_in = machines.GPUS.get(kind)
    for path, gpu in objects(node, "guestAccelerators[]"):
        accelerator, count = one(gpu, "type"), one(gpu, "count")
        if built_in is not None:
            if accelerator is not None and accelerator != built_in[0]:
                yield Finding(f"{path}.type", f"{kind} has {built_in[0]} built in, not {accelerator!r}")
            elif count is not None and count != built_in[1]:
                yield Finding(f"{path}.count", f"{kind} has {built_in[1]} of {built_in[0]}, not {count}")
        elif machines.family(kind) != "n1":
            yield Finding(path, f"{kind} takes no GPU: only n1 does, and types that have them built in")
        elif accelerator is not None and accelerator not in machines.N1_ACCELERATORS:
            yield Finding(
                f"{path}.type", f"n1 takes {', '.join(machines.N1_ACCELERATORS)}, not {accelerator!r}"
            )
    disk, allowed = one(node, "diskType"), machines.boot_disks(kind)
    if isinstance(disk, str) and allowed and disk not in allowed:
        yield Finding("diskType", f"{kind} boots from {' or '.join(allowed)}, not from {disk}")


def _capacity(node: Values) -> Iterator[Finding]:
    affinity = one(node, "reservationAffinity.consumeReservationType")
    reserved = affinity in ("SPECIFIC_RESERVATION", "ANY_RESERVATION")
    ways = [name for name in ("spot", "preemptible", "flexStart") if one(node, name) is True]
    for name in ways[1:]:
        yield Finding(name, f"can't be given together with {ways[0]}: a node has one kind of capacity")
    if ways and reserved:
        yield Finding("reservationAffinity", f"can't be given together with {ways[0]}: it has no reservation")
    if affinity == "SPECIFIC_RESERVATION":
        for name in ("key", "values"):
            if not given(node, f"reservationAffinity.{name}"):
                yield Finding(f"reservationAffinity.{name}", "is required with SPECIFIC_RESERVATION")
    kind = one(node, "machineType")
    undecided = any(given(node, name) and one(node, name) is None for name in ("spot", "flexStart"))
    decided = ways or given(node, "reservationAffinity") or undecided
    if isinstance(kind, str) and not machines.sold_on_demand(kind) and not decided:
        yield Finding("machineType", f"{kind} is not sold on demand: spot, flexStart or a reservation")


def cluster(values: Values) -> Iterator[Finding]:
    """A cluster."""
    yield from matching(values, "name", _NAME, "a name has at most 40 letters, digits and dashes")
    yield from matching(values, "location", _LOCATION, "a region or zone such as us-central1-a")
    yield from network(values, "privateClusterConfig.masterIpv4CidrBlock", 28, 28)
    private = one(values, "privateClusterConfig.enablePrivateEndpoint")
    if private is True and one(values, "privateClusterConfig.enablePrivateNodes") is False:
        yield Finding("privateClusterConfig.enablePrivateEndpoint", "needs enablePrivateNodes")
    yield from matching(
        values, "workloadIdentityConfig.workloadPool", r".+\.svc\.id\.goog", "a pool is <project>.svc.id.goog"
    )
    if one(values, "enableAutopilot") is True:
        for name in ("removeDefaultNodePool", "nodeConfig", "nodePools", "initialNodeCount"):
            if given(values, name):
                yield Finding(name, "an Autopilot cluster has no node pools of its own")
    elif not any(given(values, name) for name in ("initialNodeCount", "nodePools")):
        yield Finding("initialNodeCount", "is required where no node pools are given; at least 1")
    if one(values, "removeDefaultNodePool") is True and one(values, "initialNodeCount") == 0:
        yield Finding("initialNodeCount", "the default pool has a node until it is removed: at least 1")
    node = one(values, "nodeConfig")
    if isinstance(node, dict):
        yield from under("nodeConfig", node_config(node))
