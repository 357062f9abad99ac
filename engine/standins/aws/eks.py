"""Rules of EKS.

Sources: the EKS API reference and user guide, the pages on managed node groups and capacity blocks.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from engine.standins.aws import machines
from engine.standins.checking import Finding
from engine.standins.rules import between, exclusive, given, labels, matching, one, ordered
from engine.standins.values import Values, at

_ROLE = r"arn:aws[a-z-]*:iam::\d{12}:role/.+"
_NAME = r"[0-9A-Za-z][A-Za-z0-9_-]*"
_NEVER_NODES = ("EC2", "EC2_LINUX", "EC2_WINDOWS", "FARGATE_LINUX", "HYBRID_LINUX", "HYPERPOD_LINUX")


def node_group_template(values: Values) -> Iterator[Finding]:
    """What a launch template excludes, and what needs one."""
    if given(values, "launchTemplate"):
        for name in ("diskSize", "remoteAccess"):
            if given(values, name):
                yield Finding(name, "can't be given with a launch template, which decides it")
        template = one(values, "launchTemplate") or {}
        if ("id" in template) == ("name" in template):
            yield Finding("launchTemplate", "exactly one of id and name is to be given")
    elif one(values, "amiType") == "CUSTOM":
        yield Finding("amiType", "CUSTOM needs a launch template with the image")


def node_group_capacity(values: Values) -> Iterator[Finding]:
    """Capacity blocks come by a launch template, which also says the instance type."""
    if one(values, "capacityType") != "CAPACITY_BLOCK":
        return
    if not given(values, "launchTemplate"):
        yield Finding("capacityType", "CAPACITY_BLOCK needs a launch template with the reservation's id")
    if given(values, "instanceTypes"):
        yield Finding("instanceTypes", "with CAPACITY_BLOCK the instance type stands in the launch template")


def node_group_scaling(values: Values) -> Iterator[Finding]:
    """Sizes of a node group."""
    yield from between(values, "scalingConfig.minSize", 0, 450)
    yield from between(values, "scalingConfig.maxSize", 1, 450)
    crossed = list(ordered(values, "scalingConfig.minSize", "scalingConfig.maxSize"))
    yield from crossed
    if not crossed:
        yield from ordered(values, "scalingConfig.minSize", "scalingConfig.desiredSize")
        yield from ordered(values, "scalingConfig.desiredSize", "scalingConfig.maxSize")
    yield from exclusive(
        values,
        "updateConfig.maxUnavailable",
        "updateConfig.maxUnavailablePercentage",
        because="EKS takes one of them",
    )
    yield from between(values, "updateConfig.maxUnavailable", 1, 100)
    yield from between(values, "updateConfig.maxUnavailablePercentage", 1, 100)


def node_group_machines(values: Values) -> Iterator[Finding]:
    """Instance types exist, and the image fits their processors and GPUs."""
    image = one(values, "amiType")
    for path, kind in at(values, "instanceTypes[]"):
        if kind not in machines.known_types():
            yield Finding(path, f"{kind!r} is no EC2 instance type")
        elif isinstance(image, str) and image != "CUSTOM":
            if ("ARM_64" in image) != machines.is_arm(kind):
                processor = "Arm" if machines.is_arm(kind) else "x86-64"
                yield Finding(path, f"{kind} has {processor} processors, and amiType {image} is for others")
            if ("NVIDIA" in image or image.endswith("GPU")) and not machines.has_nvidia(kind):
                yield Finding(path, f"{kind} has no NVIDIA GPU, and amiType {image} is for those that have")


def node_group_names(values: Values) -> Iterator[Finding]:
    """Names, ARNs, labels and taints."""
    yield from matching(values, "nodeGroupName", rf"(?=.{{1,63}}$){_NAME}", "a name of a node group")
    yield from matching(values, "nodeRoleArn", _ROLE, "has to be the ARN of an IAM role")
    yield from labels(values, "labels")
    if values.get("subnetIds") == []:
        yield Finding("subnetIds", "a node group needs a subnet")
    for path, key in at(values, "taints[].key"):
        if not 1 <= len(key) <= 63:
            yield Finding(path, "a key of a taint has 1 to 63 characters")


def cluster(values: Values) -> Iterator[Finding]:
    """Rules of a cluster."""
    yield from matching(values, "name", rf"(?=.{{1,100}}$){_NAME}", "a name of a cluster")
    yield from matching(values, "version", r"1\.\d{2}", "a Kubernetes version such as 1.34")
    yield from matching(values, "roleArn", _ROLE, "has to be the ARN of an IAM role")
    subnets = one(values, "vpcConfig.subnetIds")
    if isinstance(subnets, list) and len(subnets) < 2:
        yield Finding("vpcConfig.subnetIds", "EKS needs subnets in at least two availability zones")
    private, public = (one(values, f"vpcConfig.endpoint{kind}Access") for kind in ("Private", "Public"))
    if public is False and private is not True:
        yield Finding("vpcConfig.endpointPrivateAccess", "without the public endpoint there must be this one")
    if public is False and given(values, "vpcConfig.publicAccessCidrs"):
        yield Finding("vpcConfig.publicAccessCidrs", "there is no public endpoint that it could be for")
    for path, value in at(values, "encryptionConfig.resources[]"):
        if value != "secrets":
            yield Finding(path, f"{value!r}: EKS encrypts `secrets` only")
    yield from _service_range(values)


def _service_range(values: Values) -> Iterator[Finding]:
    path = "kubernetesNetworkConfig.serviceIpv4Cidr"
    value = one(values, path)
    if not isinstance(value, str):
        return
    try:
        found = ipaddress.IPv4Network(value)
    except ValueError as error:
        yield Finding(path, f"{value!r} is no IPv4 range: {error}")
        return
    if not found.is_private or not 12 <= found.prefixlen <= 24:
        yield Finding(path, f"{value!r} has to be private and between /12 and /24")


def access_entry(values: Values) -> Iterator[Finding]:
    """Who may have an access entry, and what goes with its type."""
    yield from matching(
        values,
        "principalArn",
        r"arn:aws[a-z-]*:(iam|sts)::\d{12}:(role|user|assumed-role)/.+",
        "an IAM principal",
    )
    kind = one(values, "type")
    if isinstance(kind, str) and kind not in ("STANDARD", *_NEVER_NODES):
        yield Finding("type", f"{kind!r} is none of STANDARD, {', '.join(_NEVER_NODES)}")
    elif kind in _NEVER_NODES and given(values, "kubernetesGroups"):
        yield Finding("kubernetesGroups", f"an entry of type {kind} is for nodes and has no groups")


def access_policy(values: Values) -> Iterator[Finding]:
    """Which policies there are for access entries, and their scope."""
    expression = r"arn:aws[a-z-]*:eks::aws:cluster-access-policy/Amazon\w+"
    yield from matching(values, "policyArn", expression, "has to be an access policy of EKS")
    scope = one(values, "accessScope.type")
    if isinstance(scope, str) and scope not in ("cluster", "namespace"):
        yield Finding("accessScope.type", f"{scope!r} is neither cluster nor namespace")
    if (scope == "namespace") != given(values, "accessScope.namespaces") and isinstance(scope, str):
        yield Finding("accessScope.namespaces", "is for the scope `namespace`, and that needs it")
