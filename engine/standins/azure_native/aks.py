"""Rules of AKS.

Sources: Microsoft's pages on node pools, spot pools, GPUs and network, and AKS's REST reference.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from engine.standins.azure_native import sizes
from engine.standins.checking import Finding
from engine.standins.rules import between, given, label, matching, network, objects, one, ordered, under
from engine.standins.values import Values, at

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_OWN_LABEL = "kubernetes.azure.com/"
_SPOT_LABEL = "kubernetes.azure.com/scalesetpriority"


def agent_pool(values: Values) -> Iterator[Finding]:
    """A pool of its own, with its name in `agentPoolName`."""
    yield from _name(values, "agentPoolName")
    yield from pool(values)


def pool(values: Values) -> Iterator[Finding]:
    """What holds for every pool, also for those inside a cluster."""
    yield from _machine(values)
    yield from _sizes(values)
    yield from _spot(values)
    yield from _taints_and_labels(values)
    yield from between(values, "osDiskSizeGB", 0, 2048)
    yield from between(values, "maxPods", 10, 250)


def _name(values: Values, path: str) -> Iterator[Finding]:
    if one(values, "osType") == "Windows":
        yield from matching(
            values, path, r"[a-z][a-z0-9]{0,5}", "a Windows pool has 1 to 6 letters and digits"
        )
    else:
        yield from matching(
            values, path, r"[a-z][a-z0-9]{0,11}", "a Linux pool has 1 to 12 letters and digits"
        )


def _machine(values: Values) -> Iterator[Finding]:
    size = one(values, "vmSize")
    if not isinstance(size, str):
        return
    if not sizes.exists(size):
        yield Finding("vmSize", f"{size!r} is no VM size")
        return
    if given(values, "gpuInstanceProfile") and not sizes.has_mig(size):
        yield Finding("gpuInstanceProfile", f"the GPUs of {size} can't be partitioned")
    if given(values, "gpuProfile") and not sizes.has_gpu(size):
        yield Finding("gpuProfile", f"{size} has no GPU")


def _sizes(values: Values) -> Iterator[Finding]:
    scaling = one(values, "enableAutoScaling")
    yield from between(values, "count", 0, 1000)
    yield from ordered(values, "minCount", "maxCount")
    for name in ("minCount", "maxCount"):
        yield from between(values, name, 0, 1000)
        if given(values, name) and (scaling is False or not given(values, "enableAutoScaling")):
            yield Finding(name, "needs enableAutoScaling")
        if scaling is True and not given(values, name):
            yield Finding(name, "is required with enableAutoScaling")
    if one(values, "mode") == "System":
        for name in ("minCount", "count"):
            if one(values, name) == 0:
                yield Finding(name, "a System pool has at least one node; only User pools may be empty")


def _spot(values: Values) -> Iterator[Finding]:
    if one(values, "scaleSetPriority") == "Spot":
        if one(values, "mode") == "System":
            yield Finding("scaleSetPriority", "a Spot pool can't be the System pool")
        if given(values, "capacityReservationGroupID"):
            yield Finding("capacityReservationGroupID", "a Spot pool can't use a capacity reservation")
        for name in ("maxSurge", "maxUnavailable"):
            if given(values, f"upgradeSettings.{name}"):
                yield Finding(f"upgradeSettings.{name}", "Spot pools don't have it")
        price = one(values, "spotMaxPrice")
        if isinstance(price, int | float) and price != -1 and price <= 0:
            yield Finding("spotMaxPrice", f"{price:g} is neither -1 (the on-demand price) nor above 0")
        return
    if given(values, "scaleSetPriority") and one(values, "scaleSetPriority") is None:
        return
    for name in ("scaleSetEvictionPolicy", "spotMaxPrice"):
        if given(values, name):
            yield Finding(name, "is for pools with scaleSetPriority Spot")


def _taints_and_labels(values: Values) -> Iterator[Finding]:
    for path, taint in at(values, "nodeTaints[]"):
        found = re.fullmatch(r"([^=:]+)(=[^:]*)?:(\w+)", taint)
        if not found or found[3] not in _EFFECTS:
            yield Finding(path, f"{taint!r}: a taint is key=value:Effect with {', '.join(_EFFECTS)}")
    for path, found_labels in objects(values, "nodeLabels"):
        for key, value in found_labels.items():
            yield from label(f"{path}.{key}", key, value)
            if key.startswith(_OWN_LABEL) and key != _SPOT_LABEL:
                yield Finding(f"{path}.{key}", f"labels under {_OWN_LABEL} are AKS's own")


def cluster(values: Values) -> Iterator[Finding]:
    """A cluster."""
    expression = r"[a-zA-Z0-9]([-_a-zA-Z0-9]{0,61}[a-zA-Z0-9])?"
    yield from matching(values, "resourceName", expression, "a name has at most 63 letters, digits, - and _")
    expression = r"[a-zA-Z0-9]([-a-zA-Z0-9]{0,52}[a-zA-Z0-9])?"
    yield from matching(values, "dnsPrefix", expression, "a prefix has at most 54 letters, digits and dashes")
    yield from matching(values, "kubernetesVersion", r"1\.\d{2}(\.\d+)?", "a Kubernetes version such as 1.34")
    if not given(values, "identity") and not given(values, "servicePrincipalProfile"):
        yield Finding("identity", "a cluster needs an identity or a service principal")
    yield from _pools(values)
    yield from _network(values)


def _pools(values: Values) -> Iterator[Finding]:
    pools = list(objects(values, "agentPoolProfiles[]"))
    provisioned = one(values, "nodeProvisioningProfile.mode") == "Auto"
    for path, each in pools:
        yield from under(path, _name(each, "name"))
        yield from under(path, pool(each))
        if provisioned and one(each, "enableAutoScaling") is True:
            yield Finding(
                f"{path}.enableAutoScaling", "with node provisioning (Auto) pools have a fixed size"
            )
    modes = {one(each, "mode") for _, each in pools}
    undecided = any(given(each, "mode") and one(each, "mode") is None for _, each in pools)
    if pools and "System" not in modes and not undecided:
        yield Finding("agentPoolProfiles", "a cluster needs a pool with the mode System")


def _network(values: Values) -> Iterator[Finding]:
    yield from network(values, "networkProfile.serviceCidr", 8, 28)
    yield from network(values, "networkProfile.podCidr", 8, 28)
    address, services = (one(values, f"networkProfile.{name}") for name in ("dnsServiceIP", "serviceCidr"))
    if isinstance(address, str) and isinstance(services, str):
        try:
            inside = ipaddress.ip_address(address) in ipaddress.ip_network(services)
        except ValueError:
            inside = False
        if not inside:
            yield Finding("networkProfile.dnsServiceIP", f"{address} is not within serviceCidr {services}")
    mode = one(values, "networkProfile.networkPluginMode")
    if mode == "overlay" and one(values, "networkProfile.networkPlugin") not in ("azure", None):
        yield Finding("networkProfile.networkPluginMode", "overlay needs the network plugin azure")
    outbound = one(values, "networkProfile.outboundType")
    if outbound in ("userAssignedNATGateway", "userDefinedRouting"):
        for path, each in objects(values, "agentPoolProfiles[]"):
            if not given(each, "vnetSubnetID"):
                yield Finding(f"{path}.vnetSubnetID", f"is required with outboundType {outbound}")
