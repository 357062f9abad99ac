"""The request bodies of RunPod REST v2 (OpenAPI document 2.0.0, snapshot of 2026-08-20)."""

from __future__ import annotations

from typing import Any

from emulators.schema import Check, Shape, array, boolean, integer, one_of, text, text_map

_CUDA = r"^\d+\.\d+$"
_CONTAINER: dict[str, Check] = {
    "image": text(),
    "args": text(),
    "disk": integer(1),
    "env": text_map(),
    "ports": array(text()),
    "registry": text(nullable=True),
}
_PERSISTENT = Shape({"size": integer(10), "path": text()}, ("size", "path"))
_NETWORK = Shape({"volumeId": text(), "path": text()}, ("volumeId", "path"))
_MOUNTS = Shape({"persistent": _PERSISTENT, "network": array(_NETWORK, 1)})
_TEMPLATE_MOUNTS = Shape({"persistent": _PERSISTENT})
# The last two fields of a GPU request came in autumn 2026, after the snapshot.
_GPU = Shape(
    {
        "id": text(),
        "count": integer(1),
        "allowedCudaVersions": array(text(pattern=_CUDA)),
        "minCudaVersion": text(pattern=_CUDA),
        "minRamPerGpu": integer(1),
        "minVcpuCountPerGpu": integer(1),
    },
    ("id",),
)
_CPU = Shape({"id": text(least=1), "vcpuCount": integer(2)}, ("id", "vcpuCount"))

_CREATE_POD = Shape(
    {
        **_CONTAINER,
        # entrypoint and cmd came in autumn 2026, after the snapshot.
        "entrypoint": array(text()),
        "cmd": array(text()),
        "name": text(least=1),
        "cloud": one_of("SECURE", "COMMUNITY"),
        "cpu": _CPU,
        "gpu": _GPU,
        "dataCenterIds": array(text()),
        "globalNetworking": boolean(),
        "mounts": _MOUNTS,
        "startJupyter": boolean(),
        "startSsh": boolean(),
        "templateId": text(least=1),
    },
    ("name",),
)

UPDATE_POD = Shape(
    {
        **_CONTAINER,
        "globalNetworking": boolean(),
        "locked": boolean(),
        "mounts": _MOUNTS,
        "name": text(least=1),
        "templateId": text(),
    }
)

POD_ACTION = Shape({"action": one_of("start", "stop", "restart", "terminate")}, ("action",))

SSH_KEYS = Shape(
    {"keys": array(text(pattern=r"^(ssh|ecdsa|sk)-[^\s]+ [^\s]+([ \t][^\n\r]*)?$"))},
    ("keys",),
)

CREATE_VOLUME = Shape(
    {
        "name": text(least=1),
        "size": integer(10, 4096),
        "dataCenter": text(least=1),
        "type": one_of("STANDARD", "HIGH_PERFORMANCE"),
    },
    ("name", "size", "dataCenter"),
)

UPDATE_VOLUME = Shape({"name": text(least=1), "size": integer(10, 4096)}, least=1)

_TEMPLATE: dict[str, Check] = {
    **_CONTAINER,
    "name": text(least=1),
    "allowedCudaVersions": array(text(pattern=_CUDA)),
    "category": one_of("CPU", "NVIDIA", "AMD"),
    "mounts": _TEMPLATE_MOUNTS,
    "public": boolean(),
    "serverless": boolean(),
    "startJupyter": boolean(),
    "startSsh": boolean(),
}

CREATE_TEMPLATE = Shape(_TEMPLATE, ("name", "image"))

UPDATE_TEMPLATE = Shape(_TEMPLATE)

CREATE_REGISTRY = Shape(
    {"name": text(least=1), "username": text(least=1), "password": text(least=1)},
    ("name", "username", "password"),
)


def create_pod(value: Any) -> list[str]:
    """Complaints about the body of a create: an image is required unless a template is named."""
    lines = _CREATE_POD(value)
    if isinstance(value, dict) and "templateId" not in value and "image" not in value:
        lines.append("$: missing property 'image'")
    return lines
