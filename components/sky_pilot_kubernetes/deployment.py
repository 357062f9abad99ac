"""The server's pods, and what they find when they start."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pulumi

import local_services
from components.sky_pilot_kubernetes.place import METRICS_PORT, OURS, PORT, Place, Spec
from components.sky_pilot_kubernetes.pod import PodParts

CHECKSUM = "gpuplane/checksum"
CONTAINER = "skypilot-api"
PROGRAMS = ("start_skypilot.py", "sky_pilot_pod.py")
"""Of local_services: what becomes the server, run by the image's Python."""
PROBE_S = 5


def declared_text(place: Place, pod: PodParts) -> str:
    """What the start program reads: no secret is in it. Pure.

    Args:
        place: The server.
        pod: What was collected for it.
    """
    declared = {
        "config": pod.config,
        "server": pod.server,
        "files": pod.files,
        "commands": pod.commands,
        "user": pod.user,
        "arguments": ["--deploy", "--foreground", *(["--enable-basic-auth"] if pod.user else [])],
    }
    return json.dumps(declared, sort_keys=True, indent=1)


def add_programs(place: Place, pod: PodParts) -> None:
    """Makes the ConfigMap with the start program and what is declared, and mounts it.

    Its name changes with its content, as those of the Secrets do.

    Args:
        place: The server.
        pod: Gets the volume.
    """
    from pulumi_kubernetes import core

    folder = Path(local_services.__file__).parent
    data = {name: (folder / name).read_text(encoding="utf-8") for name in PROGRAMS}
    made = core.v1.ConfigMap(
        f"{place.name}-declared",
        metadata=place.meta(),
        data={**data, "declared.json": declared_text(place, pod)},
        opts=place.opts,
    )
    items = [{"key": name, "path": f"local_services/{name}"} for name in PROGRAMS]
    items.append({"key": "declared.json", "path": "declared.json"})
    pod.volumes.append({"name": "gpuplane", "configMap": {"name": made.metadata.name, "items": items}})
    pod.mounts.append({"name": "gpuplane", "mountPath": OURS, "readOnly": True})


def checksum(place: Place, pod: PodParts) -> pulumi.Output[str]:
    """Changes with everything that the pod reads at its start; of Secrets it has the names, which change too.

    Args:
        place: The server.
        pod: What was collected for it.
    """
    found = [pod.volumes, pod.env, pod.env_from, declared_text(place, pod), place.on.restart_trigger]
    return pulumi.Output.json_dumps(found).apply(lambda text: hashlib.sha256(text.encode()).hexdigest()[:16])


def image(place: Place) -> str:
    """The image, pinned by version and, where one is given, by digest. Pure.

    Args:
        place: The server.
    """
    digest = f"@{place.on.digest}" if place.on.digest else ""
    return f"{place.on.image}:{place.on.version}{digest}"


def own_environment(place: Place) -> list[Spec]:
    """Environment variables that every server has. Pure.

    Args:
        place: The server.
    """
    on = place.on
    plain = {"SKYPILOT_DISABLE_USAGE_COLLECTION": "1", "SKYPILOT_GRACE_PERIOD_SECONDS": str(on.grace_s)}
    if on.ingress is not None:
        plain["SKYPILOT_INGRESS_HOST"] = on.ingress.host
    fields = {"POD_IP": "status.podIP"}
    if on.update == "rolling":
        plain["SKYPILOT_ROLLING_UPDATE_ENABLED"] = "true"
        fields["SKYPILOT_APISERVER_UUID"] = "metadata.uid"
    sizes = {
        "SKYPILOT_POD_CPU_CORE_LIMIT": "requests.cpu",
        "SKYPILOT_POD_MEMORY_BYTES_LIMIT": "requests.memory",
    }
    return [
        *({"name": name, "value": value} for name, value in plain.items()),
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()),
        *(
            {
                "name": name,
                "valueFrom": {"resourceFieldRef": {"containerName": CONTAINER, "resource": resource}},
            }
            for name, resource in sizes.items()
        ),
    ]


def container(place: Place, pod: PodParts) -> Spec:
    """The server's container. Pure.

    Args:
        place: The server.
        pod: What was collected for it.
    """
    on = place.on
    health = {"httpGet": {"path": "/api/health", "port": PORT}, "timeoutSeconds": 5}
    size = {"cpu": on.cpu, "memory": on.memory}
    ports = [{"name": "http", "containerPort": PORT}]
    if place.metrics:
        ports.append({"name": "metrics", "containerPort": METRICS_PORT})
    return {
        "name": CONTAINER,
        "image": image(place),
        "imagePullPolicy": "IfNotPresent",
        # tini takes in orphans: the server starts many processes.
        "command": ["tini", "--", "python3", "-m", "local_services.sky_pilot_pod"],
        "workingDir": OURS,
        "env": [*own_environment(place), *pod.env],
        "envFrom": pod.env_from,
        "ports": ports,
        "volumeMounts": pod.mounts,
        "resources": {"requests": size, "limits": size},
        "startupProbe": {
            **health,
            "periodSeconds": PROBE_S,
            "failureThreshold": max(1, round(place.args.start_timeout_s / PROBE_S)),
        },
        "livenessProbe": {**health, "periodSeconds": 30, "failureThreshold": 3},
        # One of several workers answers first: a pod that takes over waits for three answers.
        "readinessProbe": {
            **health,
            "periodSeconds": PROBE_S,
            "successThreshold": 3 if on.update == "rolling" else 1,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def pod_spec(place: Place, pod: PodParts, account: str) -> Spec:
    """The pod. Pure.

    Args:
        place: The server.
        pod: What was collected for it.
        account: Its service account.
    """
    on = place.on
    found: Spec = {
        "serviceAccountName": account,
        "automountServiceAccountToken": on.workloads.enabled,
        "terminationGracePeriodSeconds": on.grace_s,
        "containers": [container(place, pod)],
        "volumes": pod.volumes,
    }
    if on.pull_secrets:
        found["imagePullSecrets"] = [{"name": name} for name in on.pull_secrets]
    if on.node_selector:
        found["nodeSelector"] = dict(on.node_selector)
    if on.tolerations:
        found["tolerations"] = tolerations(place)
    return found


def tolerations(place: Place) -> list[Spec]:
    """Tolerations as Kubernetes has them. Pure.

    Args:
        place: The server.
    """
    return [
        {key: value for key, value in each.model_dump().items() if value} for each in place.on.tolerations
    ]


def strategy(place: Place) -> Spec:
    """How pods are replaced. Pure.

    Args:
        place: The server.
    """
    if place.on.update == "recreate":
        return {"type": "Recreate"}
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def make_deployment(place: Place, pod: PodParts, account: str) -> Any:
    """Makes the Deployment.

    Args:
        place: The server.
        pod: What was collected for it.
        account: Its service account.
    """
    from pulumi_kubernetes import apps

    seconds = f"{round(place.args.start_timeout_s + place.on.grace_s)}s"
    labels = {"app": place.app}
    return apps.v1.Deployment(
        f"{place.name}-api-server",
        metadata=place.meta(f"{place.name}-api-server", labels=labels),
        spec={
            "replicas": place.on.replicas,
            "strategy": strategy(place),
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {
                    "labels": {**labels, "skypilot.co/ready": "true"},
                    "annotations": {CHECKSUM: checksum(place, pod)},
                },
                "spec": pod_spec(place, pod, account),
            },
        },
        opts=place.with_options(
            depends_on=pod.after,
            custom_timeouts=pulumi.CustomTimeouts(create=seconds, update=seconds),
        ),
    )
