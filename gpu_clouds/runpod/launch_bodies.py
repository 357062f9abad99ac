"""What a launch sends. Pure."""

from __future__ import annotations

from gpu_clouds.models import InstanceSpec, InstanceTemplate


def environment(template: InstanceTemplate) -> dict[str, str]:
    """The pod's environment, with the keys that may log in."""
    env = dict(template.env)
    if template.ssh_public_keys:
        # The name that RunPod's images read their authorized keys from.
        env.setdefault("PUBLIC_KEY", "\n".join(template.ssh_public_keys))
    return env


def graphql_body(spec: InstanceSpec, native: str, center: str) -> dict[str, object]:
    """The input of both launching mutations; bid and end are added by whoever knows them.

    Args:
        spec: The launch, checked.
        native: RunPod's id of the GPU.
        center: The data centre; empty for any.
    """
    template = spec.template
    body: dict[str, object] = {
        "name": spec.name,
        "cloudType": "SECURE",
        "gpuTypeId": native,
        "gpuCount": spec.candidate.gpu_count,
        "containerDiskInGb": template.disk_gb,
        "volumeInGb": template.volume_gb,
    }
    optional = {
        "imageName": template.image,
        "templateId": template.template_id,
        "dataCenterId": center,
        "ports": ",".join(template.ports),
        "dockerArgs": template.args,
        "networkVolumeId": spec.cache.volume.id if spec.cache else "",
        "volumeMountPath": spec.cache.path
        if spec.cache
        else template.volume_path
        if template.volume_gb
        else "",
        "env": [{"key": name, "value": value} for name, value in environment(template).items()],
    }
    return body | {name: value for name, value in optional.items() if value}
