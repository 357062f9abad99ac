"""What RunPod's GraphQL API knows: fields, and inputs with their types.

Introspection is off there, so this is what its clients were seen to use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulators.runpod.graphql_query import Field, Operation, QueryError

_LEAF: dict[str, Any] = {}
_POD: dict[str, Any] = {
    **dict.fromkeys(
        (
            "id",
            "name",
            "desiredStatus",
            "imageName",
            "costPerHr",
            "adjustedCostPerHr",
            "gpuCount",
            "vcpuCount",
        ),
        _LEAF,
    ),
    **dict.fromkeys(("memoryInGb", "machineId", "podType", "lastStatusChange"), _LEAF),
    "machine": dict.fromkeys(("gpuDisplayName", "gpuTypeId", "dataCenterId", "podHostId"), _LEAF),
    "runtime": {
        "uptimeInSeconds": _LEAF,
        "ports": dict.fromkeys(("ip", "isIpPublic", "privatePort", "publicPort", "type"), _LEAF),
        "gpus": dict.fromkeys(("id", "gpuUtilPercent", "memoryUtilPercent"), _LEAF),
    },
}
_PRICE = (
    "minimumBidPrice",
    "uninterruptablePrice",
    "stockStatus",
    "minVcpu",
    "minMemory",
    "availableGpuCounts",
)
_GPU: dict[str, Any] = {
    **dict.fromkeys(
        ("id", "displayName", "memoryInGb", "secureCloud", "communityCloud", "maxGpuCount"), _LEAF
    ),
    **dict.fromkeys(("securePrice", "communityPrice", "secureSpotPrice", "communitySpotPrice"), _LEAF),
    "lowestPrice": dict.fromkeys(_PRICE, _LEAF),
}
QUERIES: dict[str, dict[str, Any]] = {
    "myself": {
        **dict.fromkeys(("id", "email", "clientBalance", "currentSpendPerHr", "spendLimit"), _LEAF),
        "pods": _POD,
    },
    "pod": _POD,
    "gpuTypes": _GPU,
}
MUTATIONS: dict[str, dict[str, Any]] = {
    "podFindAndDeployOnDemand": _POD,
    "podRentInterruptable": _POD,
    "podResume": _POD,
    "podBidResume": _POD,
    "podStop": _POD,
    "podTerminate": _LEAF,
}
"""Fields below each operation; one without any may have no selection (`podTerminate` gives nothing back)."""

_COMMON: dict[str, type] = {
    **dict.fromkeys(
        (
            "aiApiId",
            "cloudType",
            "containerRegistryAuthId",
            "countryCode",
            "cudaVersion",
            "dataCenterId",
            "dockerArgs",
        ),
        str,
    ),
    **dict.fromkeys(
        ("gpuTypeId", "imageName", "minCudaVersion", "name", "networkVolumeId", "port", "ports"), str
    ),
    **dict.fromkeys(("stopAfter", "templateId", "terminateAfter", "volumeKey", "volumeMountPath"), str),
    **dict.fromkeys(("containerDiskInGb", "gpuCount", "minDisk", "minDownload", "minMemoryInGb"), int),
    **dict.fromkeys(("minUpload", "minVcpuCount", "volumeInGb"), int),
    **dict.fromkeys(("startJupyter", "startSsh", "supportPublicIp"), bool),
    "allowedCudaVersions": list,
    "deployCost": float,
    "env": list,
}
ON_DEMAND_INPUT = {**_COMMON, "gpuTypeIdList": list, "savingsPlan": dict}
INTERRUPTIBLE_INPUT = {**_COMMON, "bidPerGpu": float}


def check_fields(operation: Operation) -> None:
    """Every field exists and has a selection exactly where it has fields below it.

    Raises:
        QueryError: One does not.
    """
    kind = "Mutation" if operation.kind == "mutation" else "Query"
    _check(operation.fields, MUTATIONS if kind == "Mutation" else QUERIES, kind)


def check_input(value: Any, shape: Mapping[str, type], name: str) -> dict[str, Any]:
    """An input object without unknown keys and wrong types; what is null is left out.

    Args:
        value: What was given.
        shape: Its keys and their types.
        name: Name of its type.

    Raises:
        QueryError: It does not fit.
    """
    if not isinstance(value, dict):
        raise QueryError(f'Expected value of type "{name}".')
    found: dict[str, Any] = {}
    for key, one in value.items():
        if key not in shape:
            raise QueryError(f'Field "{key}" is not defined by type "{name}".')
        if one is None:
            continue
        wanted = (int, float) if shape[key] is float else shape[key]
        if not isinstance(one, wanted) or (isinstance(one, bool) and shape[key] is not bool):
            raise QueryError(f'{shape[key].__name__} cannot represent value of "{name}.{key}".')
        found[key] = one
    for entry in found.get("env", []):
        if not isinstance(entry, dict) or set(entry) != {"key", "value"}:
            raise QueryError('Expected value of type "EnvironmentVariableInput": key and value.')
    return found


def _check(fields: list[Field], known: Mapping[str, Any], parent: str) -> None:
    for field in fields:
        if field.name not in known:
            raise QueryError(f'Cannot query field "{field.name}" on type "{parent}".')
        below = known[field.name]
        if below and field.selection is None:
            raise QueryError(f'Field "{field.name}" must have a selection of subfields.')
        if not below and field.selection is not None:
            raise QueryError(f'Field "{field.name}" must not have a selection since it has no subfields.')
        if field.selection is not None:
            _check(field.selection, below, field.name)
